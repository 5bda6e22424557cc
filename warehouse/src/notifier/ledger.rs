//! What a restart finds: which offsets Snowflake has received, how far listings have come, which files are in no report.
//!
//! It stands in the lake, as `_riverbank/snowpipe/<ACCOUNT>.<DATABASE>.json`, and says less than is true when it is lost, old or
//! overwritten by another instance: then more is reported again, which does no harm within 14 days. It never says more.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::civil::Date;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::lake::{Lake, LakeError};
use super::memory::Memory;
use super::stream::{Received, Stream};
use super::watch::{Failure, PipeState, Watch};
use crate::snowflake::PipeName;
use sinks::lake::Ranges;

/// The ledger's form.
const VERSION: u32 = 1;

/// As it stands in the lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// What is received.
    pub streams: Vec<StreamEntry>,
    /// The day from which on each table is listed again; a table that is not named was never listed as a whole.
    pub listed_to: BTreeMap<String, Date>,
    /// The pipes' files that are in no report.
    pub pipes: BTreeMap<PipeName, PipeState>,
    /// The files that failed.
    pub failures: Vec<Failure>,
}

/// A stream's received offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEntry {
    table: String,
    generation: u32,
    partition: u32,
    received: Ranges,
    base: Option<i64>,
}

impl Ledger {
    /// Where it stands: each account and database has its own.
    pub fn path(account: &str, database: &str) -> Path {
        Self::folder().join(format!("{account}.{database}.json"))
    }

    /// Where all of them stand.
    pub fn folder() -> Path {
        Path::from_iter(["_riverbank", "snowpipe"])
    }

    /// What is known now.
    pub fn of(memory: &Memory, listed_to: &BTreeMap<String, Date>, watch: &Watch) -> Self {
        let entry = |(stream, received): (&Stream, &Received)| StreamEntry {
            table: stream.table.clone(),
            generation: stream.generation,
            partition: stream.partition,
            received: received.offsets.clone(),
            base: received.base,
        };
        let (pipes, failures) = watch.state();
        Self {
            version: VERSION,
            streams: memory
                .received()
                .filter(|(_, received)| !received.offsets.is_empty())
                .map(entry)
                .collect(),
            listed_to: listed_to.clone(),
            pipes: pipes.clone(),
            failures,
        }
    }

    /// What is received, by stream.
    pub fn received(&self) -> BTreeMap<Stream, Received> {
        let pair = |entry: &StreamEntry| {
            let stream = Stream {
                table: entry.table.clone(),
                generation: entry.generation,
                partition: entry.partition,
            };
            let received = Received {
                offsets: entry.received.clone(),
                base: entry.base,
            };
            (stream, received)
        };
        self.streams.iter().map(pair).collect()
    }

    /// Reads it; nothing is received where there is none.
    pub async fn load(lake: &dyn Lake, path: &Path) -> Result<Self, LakeError> {
        let Some(json) = lake.read_note(path).await? else {
            return Ok(Self::default());
        };
        let damaged = |reason: String| LakeError::Damaged {
            path: path.to_string(),
            reason,
        };
        let ledger: Self = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        match ledger.version {
            VERSION => Ok(ledger),
            other => Err(damaged(format!("it is of version {other}, and {VERSION} is known"))),
        }
    }

    /// Writes it, over the one that is there.
    pub async fn save(&self, lake: &dyn Lake, path: &Path) -> Result<(), LakeError> {
        let json = serde_json::to_vec(self).map_err(|error| LakeError::Damaged {
            path: path.to_string(),
            reason: error.to_string(),
        })?;
        lake.write_note(path, Bytes::from(json)).await
    }
}
