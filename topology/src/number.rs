//! Numbers of variable length, as in Avro: seven bits in each byte, the lowest first.

/// Appends a number.
#[inline]
pub(crate) fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads the number at a place, and moves on behind it; `None` where there is none.
#[inline]
pub(crate) fn take(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads the place of a part whose length stands before it, and moves on behind it.
#[inline]
pub(crate) fn take_part(bytes: &[u8], len: u64, at: &mut usize) -> Option<std::ops::Range<usize>> {
    let part = *at..at.checked_add(usize::try_from(len).ok()?).filter(|end| *end <= bytes.len())?;
    *at = part.end;
    Some(part)
}
