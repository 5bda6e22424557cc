//! The bank's days: when something happens in them, by how many operations came before it.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::profile::Days;

const DAY_US: i64 = 86_400_000_000;
/// How busy each hour of a day is, beside the others: quiet nights, a peak at noon and one after work.
const HOURS: [f64; 24] = [
    2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 5.0, 9.0, 12.0, 13.0, 13.0, 14.0, 16.0, 14.0, 13.0, 13.0, 14.0, 17.0, 16.0, 12.0, 9.0, 6.0,
    4.0, 3.0,
];

/// Turns numbers of operations into times of the bank's days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calendar {
    midnight: i64,
    per_day: f64,
    begins: f64,
    pattern: bool,
}

impl Calendar {
    /// The days of one of so many lanes, each of which does the same share of the bank's operations.
    pub fn new(days: Days, lanes: u64) -> Self {
        let time = days.start.rem_euclid(DAY_US);
        let time_of_day = time as f64 / DAY_US as f64;
        Self {
            midnight: days.start - time,
            per_day: days.operations.max(1) as f64 / lanes.max(1) as f64,
            begins: if days.pattern { work_before(time_of_day) } else { time_of_day },
            pattern: days.pattern,
        }
    }

    /// How many days have passed since the first midnight when so many operations are done.
    pub fn days(&self, operations: u64) -> f64 {
        let days = self.begins + operations as f64 / self.per_day;
        let whole = days.floor();
        if self.pattern {
            whole + time_of_day(days - whole)
        } else {
            days
        }
    }

    /// The bank's time when so many operations are done, in microseconds since the epoch.
    pub fn at(&self, operations: u64) -> i64 {
        self.midnight + (self.days(operations) * DAY_US as f64) as i64
    }

    /// How long after the first operation this one is due, where a day takes `operations per day / rate` seconds.
    pub fn due(&self, operations: u64, rate: u32) -> Duration {
        let days = self.days(operations) - self.days(0);
        Duration::from_secs_f64((days * self.per_day / f64::from(rate)).max(0.0))
    }
}

/// The share of a day's operations that come before a time of it (both from 0 to 1).
fn work_before(time_of_day: f64) -> f64 {
    let hours = time_of_day * 24.0;
    let hour = (hours.floor() as usize).min(23);
    let before: f64 = HOURS[..hour].iter().sum();
    (before + HOURS[hour] * (hours - hour as f64)) / HOURS.iter().sum::<f64>()
}

/// The time at which this share of a day's operations is done.
fn time_of_day(share: f64) -> f64 {
    let mut left = share * HOURS.iter().sum::<f64>();
    for (hour, work) in (0..).zip(HOURS) {
        if left < work {
            return (f64::from(hour) + left / work) / 24.0;
        }
        left -= work;
    }
    1.0
}

/// A month, counted from year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i32);

impl Month {
    /// The month of a time in microseconds since the epoch.
    pub fn of(at: i64) -> Self {
        let date = date(at);
        Self(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }

    /// The one after it.
    pub fn next(self) -> Self {
        // The calendar ends with the year 9999.
        Self((self.0 + 1).min(9_999 * 12 + 11))
    }

    /// A time of one of its days, 1 to 28, in microseconds since the epoch.
    pub fn time(self, day: u8, second: u32) -> i64 {
        let first = jiff::civil::date((self.0 / 12) as i16, (self.0 % 12) as i8 + 1, 1);
        let date = first.saturating_add((i64::from(day) - 1).days());
        let midnight = date
            .to_zoned(TimeZone::UTC)
            .map_or(i64::MAX / 2, |day| day.timestamp().as_microsecond());
        midnight + i64::from(second) * 1_000_000
    }
}

fn date(at: i64) -> Date {
    let timestamp = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
    timestamp.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-20T15:00Z.
    const START: i64 = 1_768_921_200_000_000;

    fn calendar(pattern: bool, lanes: u64) -> Calendar {
        let days = Days {
            start: START,
            operations: 1_000,
            pattern,
        };
        Calendar::new(days, lanes)
    }

    #[test]
    fn a_day_has_its_operations_wherever_it_begins() {
        for (pattern, lanes) in [(false, 1), (true, 1), (true, 4)] {
            let calendar = calendar(pattern, lanes);
            let per_day = 1_000 / lanes;
            let off = |operations, expected: i64| (calendar.at(operations) - expected).abs();
            assert!(off(0, START) < 1_000_000, "{pattern}, {lanes} lanes");
            assert!(off(3 * per_day, START + 3 * DAY_US) < 1_000_000, "{pattern}, {lanes} lanes");
            assert!((0..5_000).all(|n| calendar.at(n) < calendar.at(n + 1)), "time goes on");
        }
    }

    #[test]
    fn a_rate_is_kept_over_whole_days_and_exceeded_at_noon_alone() {
        let even = calendar(false, 1);
        assert_eq!(even.due(0, 10), Duration::ZERO);
        assert!((even.due(250, 10).as_secs_f64() - 25.0).abs() < 0.001);
        let daily = calendar(true, 1);
        assert!((daily.due(2_000, 10).as_secs_f64() - 200.0).abs() < 0.001);
        let noon = work_before(13.0 / 24.0) - work_before(12.0 / 24.0);
        let night = work_before(3.0 / 24.0) - work_before(2.0 / 24.0);
        assert!((noon / night - 16.0).abs() < 0.001);
    }

    #[test]
    fn months_follow_each_other_over_the_turn_of_a_year() {
        let december = Month::of(1_766_620_800_000_000); // 2025-12-25
        assert_eq!(december.time(25, 0), 1_766_620_800_000_000);
        assert_eq!(december.next().time(1, 60), 1_767_225_660_000_000);
        assert_eq!(Month::of(december.next().time(28, 86_399)), december.next());
    }
}
