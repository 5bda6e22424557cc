//! Where files are: `<table>/day=YYYY-MM-DD/p=NN/<start>-<end>-s<schema>.parquet`.
//!
//! A file's name says which offsets it covers: of `start` to `end`, both included, every record of its day that the log showed
//! (transaction markers and aborted records take offsets, too, and are in no file). Where a range has records of several days, it
//! has as many files; the next range of the partition starts at `end + 1`.
//!
//! A topic that was deleted and made anew begins at offset 0 again: from its second **generation** on, a table's files are
//! `…/p=NN/g<generation>-<start>-<end>-s<schema>.parquet`. What the sink notes for itself is beside the days, in folders that begin
//! with `_`, as readers of such trees leave out: `_topics/` ([`crate::group::generations`]), `_intents/` ([`crate::group::protocol`]) and
//! `_retained/` (`crate::group::floors`).
//!
//! Files of earlier versions may hold more days than the one that they are under, which is their first record's; their footers
//! name no days.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use object_store::path::Path;

use crate::group::protocol::{Days, Intent};

/// A file, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The table.
    pub table: String,
    /// The UTC day of its records' timestamps.
    pub day: Date,
    /// The partition of the table's topic.
    pub partition: u32,
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// The first offset that it covers.
    pub start: i64,
    /// The last offset that it covers.
    pub end: i64,
    /// The version of the table's shape when the file was decided upon.
    pub schema: u32,
}

impl FileName {
    /// Its place in the store.
    pub fn path(&self) -> Path {
        Path::from(self.to_string())
    }

    /// The file at a place; `None` if no file of ours can be there.
    pub fn parse(path: &Path) -> Option<Self> {
        let parts: Vec<_> = path.parts().collect();
        let [table, day, partition, file] = parts.as_slice() else {
            return None;
        };
        let (range, schema) = file.as_ref().strip_suffix(".parquet")?.rsplit_once("-s")?;
        let (generation, range) = match range.strip_prefix('g') {
            Some(rest) => rest.split_once('-')?,
            None => ("1", range),
        };
        let (start, end) = range.split_once('-')?;
        let name = Self {
            table: table.as_ref().to_owned(),
            day: day.as_ref().strip_prefix("day=")?.parse().ok()?,
            partition: partition.as_ref().strip_prefix("p=")?.parse().ok()?,
            generation: generation.parse().ok().filter(|generation| *generation > 0)?,
            start: start.parse().ok()?,
            end: end.parse().ok()?,
            schema: schema.parse().ok()?,
        };
        // One spelling only: a second one would be a second file of the same range.
        let is_range = name.start >= 0 && name.end >= name.start && name.end < i64::MAX;
        (is_range && name.path() == *path).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            day,
            partition,
            generation,
            start,
            end,
            schema,
        } = self;
        write!(f, "{table}/day={day}/p={partition:02}/")?;
        if *generation > 1 {
            write!(f, "g{generation}-")?;
        }
        write!(f, "{start}-{end}-s{schema}.parquet")
    }
}

impl Intent {
    /// Its files.
    pub fn files(&self) -> Vec<FileName> {
        match &self.days {
            Days::Split(days) => days.keys().map(|day| self.file(*day)).collect(),
            Days::Whole(day) => vec![self.file(*day)],
        }
    }

    /// Its file of a day.
    pub fn file(&self, day: Date) -> FileName {
        FileName {
            table: self.table.clone(),
            day,
            partition: self.partition,
            generation: self.place.generation,
            start: self.start,
            end: self.end,
            schema: self.schema,
        }
    }
}

/// The UTC day of a Kafka timestamp in milliseconds; records without one (−1) belong to 1970-01-01.
pub fn day_of(timestamp_ms: i64) -> Date {
    let at = Timestamp::from_millisecond(timestamp_ms.max(0)).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::protocol::Place;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let name = FileName {
            table: "bronze.accounts".into(),
            day: day_of(1_700_000_000_000),
            partition: 3,
            generation: 1,
            start: 0,
            end: 12_345,
            schema: 1,
        };
        assert_eq!(name.path().as_ref(), "bronze.accounts/day=2023-11-14/p=03/0-12345-s1.parquet");
        assert_eq!(FileName::parse(&name.path()), Some(name.clone()));
        let second = FileName { generation: 2, ..name };
        assert_eq!(
            second.path().as_ref(),
            "bronze.accounts/day=2023-11-14/p=03/g2-0-12345-s1.parquet"
        );
        assert_eq!(FileName::parse(&second.path()), Some(second));
    }

    #[test]
    fn a_range_has_a_file_for_each_day() {
        let names = |days, generation| {
            let intent = Intent {
                table: "t".into(),
                partition: 2,
                place: Place {
                    generation,
                    ..Place::default()
                },
                start: 10,
                end: 19,
                schema: 1,
                days,
            };
            intent.files().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let days = [(day_of(0), "cd".into()), (day_of(86_400_000), "ef".into())];
        assert_eq!(
            names(Days::Split(days.into()), 3),
            [
                "t/day=1970-01-01/p=02/g3-10-19-s1.parquet",
                "t/day=1970-01-02/p=02/g3-10-19-s1.parquet"
            ]
        );
        // As an earlier version decided.
        assert_eq!(names(Days::Whole(day_of(0)), 1), ["t/day=1970-01-01/p=02/10-19-s1.parquet"]);
    }

    #[test]
    fn what_is_not_ours_is_no_file() {
        for path in [
            "t/day=2023-11-14/p=03/0-1.parquet",
            "t/day=2023-11-14/p=03/5-1-s1.parquet",
            "t/day=2023-11-14/p=3/0-1-s1.parquet",
            "t/day=2023-11-14/p=03/00-1-s1.parquet",
            "t/day=2023-13-14/p=03/0-1-s1.parquet",
            "t/p=03/0-1-s1.parquet",
            "t/day=2023-11-14/p=03/g1-0-1-s1.parquet",
            "t/day=2023-11-14/p=03/g0-0-1-s1.parquet",
            "t/day=2023-11-14/p=03/g-0-1-s1.parquet",
            "t/day=2023-11-14/p=03/0-1-s1.parquet.tmp",
            "t/day=2023-11-14/p=03/0-9223372036854775807-s1.parquet",
        ] {
            assert_eq!(FileName::parse(&Path::from(path)), None, "{path}");
        }
    }

    #[test]
    fn a_day_is_utc_and_never_fails() {
        for (timestamp_ms, day) in [
            (-1, "1970-01-01"),
            (86_399_999, "1970-01-01"),
            (86_400_000, "1970-01-02"),
            (i64::MAX, "1970-01-01"),
        ] {
            assert_eq!(day_of(timestamp_ms).to_string(), day);
        }
    }
}
