//! A table whose rows live for a tenth of a second of stream time.

use std::time::Duration;

use broker::partition_for_key;
use topology::dsl::{Builder, Materialized};
use topology::store::TimestampedKeyValue;
use topology::{EngineSettings, Topic, Topology};

pub const VALUES: Topic<i64, i64> = Topic::new("values");
pub const OTHERS: Topic<i64, i64> = Topic::new("others");
pub const ROWS: Topic<i64, i64> = Topic::new("rows");
pub const JOINED: Topic<i64, i64> = Topic::new("joined");
pub const TOTALS: Topic<i64, i64> = Topic::new("totals");
pub const RECENT: TimestampedKeyValue<i64, i64> = TimestampedKeyValue::new("recent");
pub const PARTITIONS: u32 = 2;
pub const TTL_MS: i64 = 100;

pub fn recent() -> Materialized {
    Materialized::named("recent").expire_after(Duration::from_millis(TTL_MS as u64))
}

pub fn settings(threads: usize) -> EngineSettings {
    EngineSettings {
        partitions: PARTITIONS,
        threads,
        ..EngineSettings::default()
    }
}

pub fn partition(key: i64) -> usize {
    partition_for_key(&key.to_be_bytes(), PARTITIONS) as usize
}

/// A table whose rows expire, its changes, and a stream that is joined with it: at each record, the row of its key.
pub fn table() -> Topology {
    let b = Builder::new("expiry");
    let table = b.table(VALUES, recent());
    table.to_stream().to_compacted(ROWS);
    let others = b.stream(OTHERS);
    others.left_join(&table, |_, _, row| row.copied().unwrap_or(-1)).to(JOINED);
    b.build().unwrap()
}
