//! Decimals as bytes, and in plain notation, of any size.

use wire::Decimal;

/// More zeros than a `NUMERIC` of Postgres can need are not written out.
const MOST_ZEROS: u32 = 150_000;

/// A big-endian two's complement integer at a scale; `None` where it has more than 128 bits, or a scale below zero.
pub fn decimal(bytes: &[u8], scale: i32) -> Option<Decimal> {
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        0xff
    } else {
        0
    };
    let (head, tail) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut wide = [fill; 16];
    wide[16 - tail.len()..].copy_from_slice(tail);
    let unscaled = i128::from_be_bytes(wide);
    let whole = head.iter().all(|byte| *byte == fill) && (unscaled < 0) == (fill == 0xff);
    whole.then_some(Decimal {
        unscaled,
        scale: u32::try_from(scale).ok()?,
    })
}

/// The same in plain notation: `-12.30`. Exact, whatever its size.
pub fn plain(bytes: &[u8], scale: i32) -> String {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut digits = match decimal(bytes, 0) {
        Some(small) => small.unscaled.unsigned_abs().to_string(),
        None => magnitude(bytes, negative),
    };
    let places = scale.unsigned_abs();
    if places > MOST_ZEROS {
        digits.push_str(&format!("E{}", -i64::from(scale)));
    } else if scale < 0 && digits != "0" {
        digits.extend(std::iter::repeat_n('0', places as usize));
    } else if scale > 0 {
        let places = places as usize;
        if digits.len() <= places {
            digits.insert_str(0, &"0".repeat(places + 1 - digits.len()));
        }
        digits.insert(digits.len() - places, '.');
    }
    if negative {
        digits.insert(0, '-');
    }
    digits
}

/// The digits of a large integer, nine at a time.
fn magnitude(bytes: &[u8], negative: bool) -> String {
    const BASE: u64 = 1_000_000_000;
    // Least significant first.
    let mut groups: Vec<u64> = vec![0];
    let mut multiply_add = |factor: u64, mut carry: u64| {
        for group in &mut groups {
            let sum = *group * factor + carry;
            (*group, carry) = (sum % BASE, sum / BASE);
        }
        if carry > 0 {
            groups.push(carry);
        }
    };
    for byte in bytes {
        multiply_add(256, u64::from(if negative { !byte } else { *byte }));
    }
    if negative {
        // Two's complement: what was inverted is one too small.
        multiply_add(1, 1);
    }
    let mut digits = String::new();
    for (place, group) in groups.iter().rev().enumerate() {
        digits.push_str(&if place == 0 {
            group.to_string()
        } else {
            format!("{group:09}")
        });
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_notation_is_exact_at_every_size() {
        let large = [&[0x7f_u8][..], &[0xff; 31]].concat();
        let least = [&[0x80_u8][..], &[0; 31]].concat();
        let (power, below) = (
            "57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "57896044618658097711785492504343953926634992332820282019728792003956564819967",
        );
        for (bytes, scale, text) in [
            (&[0x04, 0xce][..], 2, "12.30".to_owned()),
            (&[0xfb, 0x32], 2, "-12.30".to_owned()),
            (&[0xff], 4, "-0.0001".to_owned()),
            (&[], 0, "0".to_owned()),
            (&[0], 3, "0.000".to_owned()),
            (&[5], -3, "5000".to_owned()),
            (&[5], i32::MIN, "5E2147483648".to_owned()),
            (&large, 0, below.to_owned()),
            (&least, 0, format!("-{power}")),
            (&least, 77, format!("-0.{power}")),
        ] {
            assert_eq!(plain(bytes, scale), text);
        }
    }

    #[test]
    fn up_to_128_bits_a_decimal_is_a_number() {
        let of = |bytes: &[u8]| decimal(bytes, 2).map(|decimal| decimal.unscaled);
        assert_eq!(of(&i128::MIN.to_be_bytes()), Some(i128::MIN));
        assert_eq!(of(&[&[0xff; 4][..], &(-5_i128).to_be_bytes()].concat()), Some(-5));
        assert_eq!(of(&[&[0][..], &[0xff; 16]].concat()), None);
        assert_eq!(of(&[&[0xff][..], &i128::MAX.to_be_bytes()].concat()), None);
        assert_eq!(decimal(&[1], -1), None);
    }
}
