//! What a snapshot did not show, and what a truncate took, is deleted: mark and sweep.
//!
//! Rows can go while nobody listens: a slot that was lost, a database that was restored, a table that was truncated. A new snapshot
//! shows those that are there. With its first row a new generation of the table begins, every row that is seen from then on is
//! marked with it, and after its last row those of an earlier generation are deleted, with all that hangs on them. In steps, so
//! that a table of many millions of rows holds up nobody; rows that come meanwhile are of the new generation.
//!
//! Only where the table's topic has one partition: in several, the last row may come before others. And only between a first and a
//! last row that were both seen: Debezium marks the only row of a table as one of the two.

use std::ops::{Bound, ControlFlow};

use schemas::state::{Applied, SourcePosition, Sweep, TableState};
use topology::ProcessError;
use topology::store::{KeyValueStore, StoreValue};

use super::entity::Entity;
use super::position::is_before;
use crate::counters::{ROWS_SWEPT, SOURCE_TRUNCATES, count};

/// Rows that are looked at in one step.
pub const ROWS_PER_STEP: usize = 50_000;

/// A row of a snapshot has come.
pub fn snapshot_begins(table: &mut TableState, marker: Option<&str>, at: SourcePosition) {
    let is_first = matches!(marker, Some("first" | "first_in_data_collection"));
    // The connector may send its last batch again.
    if is_first && table.snapshot != Some(at) && table.completed != Some(at) {
        table.generation += 1;
        table.snapshot = Some(at);
        tracing::info!(lsn = at.lsn, "a snapshot begins");
    }
}

/// A row of a snapshot is applied.
pub fn snapshot_ends(table: &mut TableState, marker: Option<&str>, at: SourcePosition) {
    let is_last = matches!(marker, Some("last" | "last_in_data_collection"));
    if is_last && table.snapshot.take().is_some() {
        table.completed = Some(at);
        table.sweep = Some(from_the_start(table, at));
    }
}

/// From the table's beginning, what is older than its newest generation.
fn from_the_start(table: &TableState, at: SourcePosition) -> Sweep {
    Sweep {
        after: None,
        generation: table.generation,
        at,
    }
}

/// The table was emptied.
pub fn truncate(table: &mut TableState, at: SourcePosition) {
    let is_known = |known: SourcePosition| at == known || is_before(at, known);
    if table.truncated.is_some_and(is_known) {
        return;
    }
    tracing::warn!(lsn = at.lsn, "the source truncated a table: its rows are deleted");
    count(&SOURCE_TRUNCATES, 1);
    table.generation += 1;
    table.truncated = Some(at);
    table.sweep = Some(from_the_start(table, at));
}

/// Rows to delete.
pub type Gone<E> = Vec<(<E as Entity>::Id, Applied<<E as Entity>::Clean>)>;

/// The next rows to delete, and how far the sweep is then. Where the table's events come out of order, one that was streamed after
/// the truncate may be here before it.
pub fn next_rows<E: Entity>(
    rows: &mut KeyValueStore<E::Id, Applied<E::Clean>>,
    table: &mut TableState,
    in_order: bool,
    most: usize,
) -> Result<Gone<E>, ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let Some(sweep) = table.sweep else { return Ok(Vec::new()) };
    let from = sweep.after.map_or(Bound::Unbounded, |id| Bound::Excluded(E::id(id)));
    let (mut gone, mut looked_at, mut last) = (Vec::new(), 0, None);
    rows.scan((from, Bound::Unbounded), |id, applied| {
        looked_at += 1;
        last = Some(E::number(id));
        let is_newer = |streamed: SourcePosition| streamed != sweep.at && !is_before(streamed, sweep.at);
        let came_early = !in_order && applied.streamed.is_some_and(is_newer);
        if applied.row.is_some() && applied.generation < sweep.generation && !came_early {
            gone.push((id, applied));
        }
        if looked_at < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    table.sweep = (looked_at == most).then_some(Sweep { after: last, ..sweep });
    count(&ROWS_SWEPT, gone.len() as u64);
    Ok(gone)
}
