//! What a table of the source is to the processor that applies it.

use std::sync::atomic::AtomicU64;

use schemas::state::{Applied, TableState};
use topology::store::{KeyValue, StoreKey};

use super::rules::{Cleaning, Violation};

/// A table: how its rows become Silver.
pub trait Entity: Send + 'static {
    /// The row's id.
    type Id: StoreKey + Copy;
    /// The row as the change log has it.
    type Row: Send + Sync + Clone + 'static;
    /// The row as Silver has it.
    type Clean: Clone + PartialEq + Send + Sync + 'static;
    /// The processor's name.
    const NAME: &'static str;
    /// The rows.
    const ROWS: KeyValue<Self::Id, Applied<Self::Clean>>;
    /// How far snapshots and truncates are.
    const TABLE: KeyValue<i64, TableState>;

    /// Reports how many rows' deletion is held back.
    fn held_rows() -> &'static AtomicU64;
    /// The id of a key of the change log.
    fn id(key: i64) -> Self::Id;
    /// The other way.
    fn number(id: Self::Id) -> i64;
    /// Cleans a row, or says which rule it breaks.
    fn clean(id: Self::Id, row: &Self::Row, with: &mut Cleaning<'_, Self::Clean>) -> Result<Self::Clean, Violation>;
}
