//! How far a table is: for each partition of its topic, in the summary of the snapshot that holds the rows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::metadata::Metadata;

/// In a snapshot's summary, and, for the case that all such snapshots are expired, among the table's properties.
pub const OFFSETS: &str = "riverbank.offsets";
/// In a snapshot's summary: the source's position (LSN) that every partition's rows have come to. A measure of lag, and no place to cut
/// tables at: a transaction's changes have positions of their own, between those of transactions that committed before it.
pub const WATERMARK: &str = "riverbank.watermark";
/// In a snapshot's summary: the commit time that every partition's rows have come to. Rows of a transaction share it, so tables are cut
/// at it (`docs/consistent-reads.md`).
pub const WATERMARK_TIME: &str = "riverbank.watermark-time";

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// Every file of offsets before this one is in the table.
    pub next: i64,
    /// The earliest day of the range before it.
    pub day: Option<Date>,
    /// The highest source position of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<i64>,
    /// The latest commit at the source of its rows, in microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
}

/// How far a table is, by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress(pub BTreeMap<u32, At>);

/// It is not known which files the table has: to guess would double or lose some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Snapshots, and no word about offsets.
    #[error("the table has snapshots, and neither they nor its property {OFFSETS} say which offsets are in it")]
    Missing,
    /// Something that is not ours.
    #[error("{OFFSETS} is {0:?}, which this version cannot read")]
    Foreign(String),
}

impl Progress {
    /// What the table's newest snapshot says, or the newest of those before it that says anything: other writers' have nothing to say.
    pub fn read(metadata: &Metadata) -> Result<Self, Unknown> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|_| Unknown::Foreign(text.to_owned()));
        let Some(mut snapshot) = metadata.current_snapshot() else {
            return Ok(Self::default());
        };
        loop {
            if let Some(text) = snapshot["summary"][OFFSETS].as_str() {
                return parse(text);
            }
            let parent = snapshot["parent-snapshot-id"].as_i64();
            match parent.and_then(|id| metadata.snapshot(id)) {
                Some(parent) => snapshot = parent,
                None => break,
            }
        }
        match metadata.property(OFFSETS) {
            Some(text) => parse(text),
            None => Err(Unknown::Missing),
        }
    }

    /// As it stands in a summary.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The source position up to which the table is whole, as far as its rows say. A topic's partition has its rows in the order of
    /// the source; so a table is whole up to what its slowest partition has.
    pub fn watermark(&self) -> Option<i64> {
        let lowest = self.0.values().map(|at| at.lsn).min();
        lowest.flatten()
    }

    /// The commit time that the table's slowest partition has come to. Partitions are in the order of commits, but for moments: the source
    /// takes a commit's time before its place in the log.
    pub fn watermark_time(&self) -> Option<Timestamp> {
        let lowest = self.0.values().map(|at| at.time_us).min();
        Timestamp::from_microsecond(lowest.flatten()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(times: &[Option<i64>]) -> Progress {
        let at = |time_us: Option<i64>| At {
            generation: 1,
            next: 1,
            day: None,
            lsn: None,
            time_us,
        };
        Progress((0..).zip(times.iter().copied().map(at)).collect())
    }

    #[test]
    fn a_table_is_as_far_as_its_slowest_partition() {
        let time = progress(&[Some(2_000_000), Some(1_500_000)]).watermark_time();
        assert_eq!(time.map(|time| time.to_string()).as_deref(), Some("1970-01-01T00:00:01.5Z"));
        // What an earlier version noted says nothing of times.
        let noted: Progress = serde_json::from_str(r#"{"0":{"generation":1,"next":7,"day":"2026-01-31","lsn":12}}"#).unwrap();
        assert_eq!((noted.watermark_time(), noted.watermark()), (None, Some(12)));
        assert_eq!(progress(&[Some(1), None]).watermark_time(), None);
        assert_eq!(progress(&[]).watermark_time(), None);
    }
}
