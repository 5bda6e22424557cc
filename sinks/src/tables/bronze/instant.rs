//! Instants as texts.

use jiff::Timestamp;

/// Days from 0000-03-01 to the epoch.
const DAYS_TO_EPOCH: i64 = 719_468;

/// The microseconds since the epoch of an instant in RFC 3339; `None` if it is none.
///
/// Two of them are in most rows, and nearly all are `2026-01-31T23:59:59.123456Z`: those are read here, a tenth of the time that the
/// general parser needs for whatever else is allowed.
pub fn micros(text: &str) -> Option<i64> {
    usual(text.as_bytes()).or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond))
}

/// In UTC, with at most six places; `None` for any other, which may be one nevertheless.
fn usual(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
    ] = head
    else {
        return None;
    };
    let two = |tens, ones| Some(digit(tens)? * 10 + digit(ones)?);
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    let is_day = (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    // In the last year of the general parser's, not every instant is one.
    if year == 0 || year == 9_999 || !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match tail {
        b"Z" => 0,
        [b'.', places @ .., b'Z'] if (1..=6).contains(&places.len()) => {
            let all = places.iter().try_fold(0, |all, place| Some(all * 10 + digit(*place)?))?;
            all * 10_i64.pow(6 - places.len() as u32)
        }
        _ => return None,
    };
    let seconds = (days_since_epoch(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

fn digit(letter: u8) -> Option<i64> {
    letter.is_ascii_digit().then(|| i64::from(letter - b'0'))
}

fn days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of years from 0: counted from March on, so that a leap day is the year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - DAYS_TO_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(text: &str) -> Option<i64> {
        text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
    }

    #[test]
    fn every_day_is_what_the_general_parser_says() {
        let mut read = 0;
        for year in [1, 4, 99, 100, 400, 1582, 1900, 1969, 1970, 1999, 2000, 2023, 2024, 2100, 9998] {
            for month in 0..=13 {
                for day in 0..=32 {
                    for time in ["00:00:00", "23:59:59.999999", "12:30:01.5"] {
                        let text = format!("{year:04}-{month:02}-{day:02}T{time}Z");
                        assert_eq!(usual(text.as_bytes()), general(&text), "{text}");
                        read += usize::from(usual(text.as_bytes()).is_some());
                    }
                }
            }
        }
        assert_eq!(read, 3 * (15 * 365 + 4));
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_general_parser() {
        for text in [
            "2026-01-31T23:59:60Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T23:59:59.1234567Z",
            "2026-01-31T23:59:59.Z",
            "2026-01-31T23:59:59+01:00",
            "2026-01-31t23:59:59z",
            "2026-01-31 23:59:59Z",
            "0000-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "-000044-03-15T00:00:00Z",
            "+012026-01-31T23:59:59Z",
            "infinity",
            "",
            "2026-01-31T23:59:5\u{e9}Z",
            "2026-01-3/T23:59:59Z",
        ] {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
            assert_eq!(micros(text), general(text), "{text}");
        }
    }
}
