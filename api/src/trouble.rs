//! What other parts of the program complain of, and what of the service suffers by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a trouble takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Affects {
    /// The state stores: this instance cannot answer.
    Reads,
    /// The processing: this instance answers, but not from what came last.
    Processing,
    /// The system of record: nothing can be written.
    Writes,
    /// The lake: Parquet files are late.
    Lake,
    /// The Iceberg tables: they lack files that are there.
    Iceberg,
    /// What reports files to Snowpipe: they are loaded late.
    Snowpipe,
    /// The source: what is answered is old.
    Source,
}

/// Why something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// What suffers by it.
    pub affects: Affects,
    /// What it is, for people.
    #[schema(example = "the object store refuses the login")]
    pub reason: String,
}

impl Trouble {
    /// A trouble that affects this, for this reason.
    pub fn new(affects: Affects, reason: impl Into<String>) -> Self {
        Self {
            affects,
            reason: reason.into(),
        }
    }
}

/// Tells what holds up another part of the program (a sink, the change capture); nothing while all is well. Asked at each
/// probe and scrape, so it answers from what it knows.
pub type Troubles = Arc<dyn Fn() -> Vec<Trouble> + Send + Sync>;
