//! What is in the lake, and the proof that nothing is missing or doubled.
//!
//! - [`overview`]: the files by their names alone, as counts and ranges; [`list`]: each of them.
//! - [`verify`] reads every file's footer, or its offsets too, and shows that each partition's files follow one another without gap or
//!   overlap. [`compare_with_log`] lays the log's own records beside them.
//! - [`retain`] deletes what is old, and notes what it has deleted ([`floors`]). [`accept`] takes a topic that was made anew for the
//!   next generation of a table.
//!
//! No memory grows with the number of files, but for [`list`] and reports that keep files.

mod accept;
mod check;
mod files;
mod floors;
mod log;
mod overview;
mod ranges;
mod report;
mod retain;
mod seams;
mod verify;

pub use crate::group::generations::Generation;
pub use accept::{Accepted, accept};
pub use check::read_offsets;
pub use files::{Folders, LakeFile, Listed, Listing, each, folders, last_intents, list};
pub use floors::{Floors, floors};
pub use log::{LogReport, PartitionLog, compare_with_log};
pub use overview::{Overview, Totals, overview};
pub use ranges::Ranges;
pub use report::{CheckedFile, PartitionReport, Problem, TableReport};
pub use retain::{Keeper, Removal, Retention, retain};
pub use verify::{Keep, Scope, generations, is_over, verify, verify_in};

use broker::BrokerError;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The footers: a few kilobytes of each file.
    Footers,
    /// Every row's offset as well: the whole of each file is fetched.
    Offsets,
}

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
