//! What is in the lake, and the proof that nothing is missing or doubled.
//!
//! [`list`] reads names only. [`verify`] reads every file's footer, or its offsets too, and shows that each partition's files
//! follow one another without gap or overlap. [`compare_with_log`] lays the log's own records beside them. [`accept`] takes a topic
//! that was made anew for the next generation of a table.

mod accept;
mod files;
mod log;
mod verify;

pub use crate::group::generations::Generation;
pub use accept::{Accepted, accept};
pub use files::{LakeFile, Listing, last_intents, list};
pub use log::{LogReport, PartitionLog, compare_with_log};
pub use verify::{CheckedFile, Depth, PartitionReport, Problem, TableReport, generations, is_over, read_offsets, verify};

use broker::BrokerError;

/// Why the lake could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store did not answer.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// What the sinks have noted could not be read.
    #[error("{0}")]
    Notes(String),
    /// The log did not answer.
    #[error("the log failed: {0}")]
    Log(#[from] BrokerError),
}
