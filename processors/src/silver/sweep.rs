//! What a snapshot did not show, and what a truncate took, is deleted: mark and sweep.
//!
//! Rows can go while nobody listens: a slot that was lost, a database that was restored, a table that was truncated. A new snapshot
//! shows those that are there. With its first row a new generation of the table begins, every row that is seen from then on is
//! marked with it, and after its last row those of an earlier generation are deleted, with all that hangs on them. In steps, so
//! that a table of many millions of rows holds up nobody; rows that come meanwhile are of the new generation.
//!
//! ```text
//!   first row ──► marking ──last row──► weighing ──few are missing, or twice──► sweeping ──►
//!                                           └──many, or a gap──► held: the next snapshot is asked again
//! ```
//!
//! **Nothing distinguishes a snapshot of a part of a table from one of all of it** (Debezium's `additional-conditions` and
//! `snapshot.select.statement.overrides` leave the events as they are). So the missing rows are counted first, and if they are many
//! the sweep is held back until another snapshot, at least ten minutes later, does not show them either. So it is if a record could not be processed meanwhile,
//! which may have been a row. A truncate needs no second word.
//!
//! Only where the table's topic has one partition: in several, the last row may come before others. Debezium marks a table's only
//! row as its last one; a table without rows is not shown at all.

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use schemas::state::{Applied, Held, SourcePosition, Sweep, TableState, Weighing};
use topology::ProcessError;
use topology::store::{KeyValueStore, StoreValue};

use super::entity::Entity;
use super::position::{is_before, is_sent_again};
use crate::counters::{ROWS_SWEPT, SOURCE_REPEATED, SOURCE_TRUNCATES, count};

/// Rows that are looked at in one step.
pub const ROWS_PER_STEP: usize = 50_000;

/// So many missing rows are deleted without a second snapshot, whatever their share.
pub const FEW_ROWS: i64 = 10;

/// And so are more of them that are less than one in so many of the table's rows…
pub const FEW_SHARE: i64 = 10;

/// … but never more than this.
pub const MANY_ROWS: i64 = 10_000;

/// How much later than the first one a snapshot must be to be a second word: a connector that is started again takes
/// the same snapshot at once, and nobody has looked at it meanwhile.
pub const CONFIRMS_AFTER: Duration = Duration::from_secs(600);

/// Whether a snapshot is believed only once another one has said the same.
fn are_many(missing: i64, rows: i64) -> bool {
    missing > MANY_ROWS || (missing > FEW_ROWS && missing * FEW_SHARE > rows)
}

/// A row of a snapshot has come.
pub fn snapshot_begins(table: &mut TableState, marker: Option<&str>, at: SourcePosition) {
    if table.snapshot == Some(at) || is_sent_again(at, table) {
        return;
    }
    let has_gap = match marker {
        Some("first" | "first_in_data_collection") => false,
        // The table's only row, unless it belongs to rows that came before it: those of a snapshot have one LSN, and where it reads
        // with several connections, times of their own.
        Some("last" | "last_in_data_collection") if table.snapshot.is_none_or(|open| open.lsn != at.lsn) => table.has_gap,
        // The first row was not seen.
        _ if table.snapshot.is_none() => true,
        _ => return,
    };
    table.generation += 1;
    table.snapshot = Some(at);
    table.has_gap = has_gap;
    tracing::info!(lsn = at.lsn, "a snapshot begins");
}

/// A row of a snapshot is applied.
pub fn snapshot_ends(table: &mut TableState, marker: Option<&str>, at: SourcePosition) {
    let is_last = matches!(marker, Some("last" | "last_in_data_collection"));
    if is_last && !is_sent_again(at, table) && table.snapshot.take().is_some() {
        table.completed = Some(at);
        table.weighing = Some(Weighing {
            after: None,
            generation: table.generation,
            at,
            has_gap: std::mem::take(&mut table.has_gap),
            rows: 0,
            missing: 0,
            missing_again: 0,
        });
    }
}

/// A row was streamed. The connector goes on streaming when a snapshot is done, so one that is older is over, whether its last row was seen or
/// not: it may have been unreadable, or the snapshot was broken off. Of what it has not shown it says nothing.
pub fn streaming_goes_on(table: &mut TableState, at: SourcePosition) {
    if let Some(open) = table.snapshot.filter(|open| is_before(*open, at)) {
        tracing::warn!(
            lsn = open.lsn,
            "a snapshot has ended without its last row: what it has not shown is not deleted"
        );
        table.snapshot = None;
        table.has_gap = false;
    }
}

/// The table was emptied, by this transaction.
pub fn truncate(table: &mut TableState, at: SourcePosition, tx_id: Option<i64>) {
    let is_known = |known: SourcePosition| at == known || is_before(at, known);
    if table.truncated.is_some_and(is_known) {
        count(&SOURCE_REPEATED, 1);
        return;
    }
    tracing::warn!(lsn = at.lsn, "the source truncated a table: its rows are deleted");
    count(&SOURCE_TRUNCATES, 1);
    table.generation += 1;
    table.truncated = Some(at);
    table.weighing = None;
    table.held = None;
    table.sweep = Some(Sweep {
        after: None,
        generation: table.generation,
        at,
        tx_id,
    });
}

/// Whether there is something to count or to delete.
pub fn is_due(table: &TableState) -> bool {
    table.sweep.is_some() || table.weighing.is_some()
}

/// Rows to delete, and the sweep that takes them.
pub type Gone<E> = Vec<(<E as Entity>::Id, Applied<<E as Entity>::Clean>, Sweep)>;

/// Goes on counting and sweeping, over so many rows, and returns those to delete.
pub fn step<E: Entity>(
    rows: &mut KeyValueStore<E::Id, Applied<E::Clean>>,
    table: &mut TableState,
    in_order: bool,
    most: usize,
) -> Result<Gone<E>, ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let (mut gone, mut left) = (Vec::new(), most);
    while left > 0 {
        left -= match (table.sweep, table.weighing) {
            (Some(sweep), _) => next_rows::<E>(rows, table, sweep, in_order, left, &mut gone)?,
            // What is about to be deleted does not count.
            (None, Some(weighing)) if gone.is_empty() => weigh::<E>(rows, table, weighing, left)?,
            _ => break,
        };
    }
    count(&ROWS_SWEPT, gone.len() as u64);
    Ok(gone)
}

/// Looks at rows from an id on; returns how many they were, and the last one's id.
fn look_at<E: Entity>(
    rows: &mut KeyValueStore<E::Id, Applied<E::Clean>>,
    after: Option<i64>,
    most: usize,
    mut look: impl FnMut(E::Id, Applied<E::Clean>),
) -> Result<(usize, Option<i64>), ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(E::id(id)));
    let (mut looked_at, mut last) = (0, None);
    rows.scan((from, Bound::Unbounded), |id, applied| {
        looked_at += 1;
        last = Some(E::number(id));
        look(id, applied);
        if looked_at < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok((looked_at, last))
}

/// The next rows to delete. Where the table's events come out of order, one that was streamed after the truncate may be here
/// before it.
fn next_rows<E: Entity>(
    rows: &mut KeyValueStore<E::Id, Applied<E::Clean>>,
    table: &mut TableState,
    sweep: Sweep,
    in_order: bool,
    most: usize,
    gone: &mut Gone<E>,
) -> Result<usize, ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let (looked_at, last) = look_at::<E>(rows, sweep.after, most, |id, applied| {
        let is_newer = |streamed: SourcePosition| streamed != sweep.at && !is_before(streamed, sweep.at);
        let came_early = !in_order && applied.streamed.is_some_and(is_newer);
        if applied.row.is_some() && applied.generation < sweep.generation && !came_early {
            gone.push((id, applied, sweep));
        }
    })?;
    table.sweep = (looked_at == most).then_some(Sweep { after: last, ..sweep });
    Ok(looked_at)
}

/// Counts rows, and at the table's end decides what becomes of those that are missing.
fn weigh<E: Entity>(
    rows: &mut KeyValueStore<E::Id, Applied<E::Clean>>,
    table: &mut TableState,
    mut weighing: Weighing,
    most: usize,
) -> Result<usize, ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let held_below = table.held.map_or(0, |held| held.generation);
    let (looked_at, last) = look_at::<E>(rows, weighing.after, most, |_, applied| {
        if applied.row.is_some() {
            weighing.rows += 1;
            weighing.missing += i64::from(applied.generation < weighing.generation);
            weighing.missing_again += i64::from(applied.generation < held_below);
        }
    })?;
    weighing.after = last;
    table.weighing = (looked_at == most).then_some(weighing);
    if table.weighing.is_none() {
        decide(table, weighing, E::NAME);
    }
    Ok(looked_at)
}

fn decide(table: &mut TableState, counted: Weighing, table_name: &str) {
    let held_below = table.held.map_or(0, |held| held.generation);
    let once = counted.missing - counted.missing_again;
    let is_too_soon = |held: Held| counted.at.committed_at < held.at.committed_at + CONFIRMS_AFTER;
    let says_nothing = counted.has_gap || (counted.missing_again > 0 && table.held.is_some_and(is_too_soon));
    // How many are held back, what another snapshot would have to confirm, and what goes now.
    let (rows, to_confirm, below) = match says_nothing {
        true => (counted.missing, held_below, 0),
        false if are_many(once, counted.rows) => (once, counted.generation, held_below),
        false => (0, counted.generation, counted.generation),
    };
    let at = match table.held {
        Some(held) if says_nothing => held.at,
        _ => counted.at,
    };
    table.held = (rows > 0).then_some(Held {
        at,
        rows,
        generation: to_confirm,
    });
    table.sweep = (below > 0 && counted.missing > 0).then_some(Sweep {
        after: None,
        generation: below,
        at,
        tx_id: None,
    });
    if rows > 0 {
        tracing::error!(
            table = table_name,
            rows,
            of = counted.rows,
            lsn = at.lsn,
            has_gap = counted.has_gap,
            "a snapshot did not show these rows: they are not deleted before another one does not show them either; what to do: \
             docs/runbooks/lost-slot.md"
        );
    }
}

#[cfg(test)]
mod tests {
    use topology::Micros;

    use super::*;

    const AT: SourcePosition = SourcePosition {
        lsn: Some(1),
        committed_at: Micros(1),
    };

    /// What is held back, and below which generation rows go, when a snapshot of generation 7 has missed so many rows.
    #[track_caller]
    fn check(held: Option<i64>, counted: (i64, i64, i64), has_gap: bool, expected: (i64, Option<i64>)) {
        check_after(CONFIRMS_AFTER, held, counted, has_gap, expected);
    }

    /// So long after the first one.
    #[track_caller]
    fn check_after(after: Duration, held: Option<i64>, counted: (i64, i64, i64), has_gap: bool, expected: (i64, Option<i64>)) {
        let (rows, missing, missing_again) = counted;
        let mut table = TableState {
            held: held.map(|generation| Held {
                at: AT,
                rows: 1,
                generation,
            }),
            ..TableState::default()
        };
        let weighing = Weighing {
            after: None,
            generation: 7,
            at: SourcePosition {
                committed_at: AT.committed_at + after,
                ..AT
            },
            has_gap,
            rows,
            missing,
            missing_again,
        };
        decide(&mut table, weighing, "test");
        let held = table.held.map_or(0, |held| held.rows);
        assert_eq!((held, table.sweep.map(|sweep| sweep.generation)), expected);
    }

    #[test]
    fn few_rows_are_swept_many_are_held_back() {
        check(None, (1_000, 0, 0), false, (0, None));
        check(None, (10, 10, 0), false, (0, Some(7)));
        check(None, (11, 11, 0), false, (11, None));
        check(None, (5_000, 500, 0), false, (0, Some(7)));
        check(None, (5_000, 501, 0), false, (501, None));
        check(None, (10_000_000, 10_000, 0), false, (0, Some(7)));
        check(None, (10_000_000, 10_001, 0), false, (10_001, None));
    }

    #[test]
    fn a_snapshot_that_is_taken_again_at_once_is_no_second_word() {
        let soon = CONFIRMS_AFTER - Duration::from_micros(1);
        check_after(soon, Some(5), (5_000, 4_000, 4_000), false, (4_000, None));
        check_after(soon, Some(5), (5_000, 4_000, 3_990), false, (4_000, None));
        // What it shows is there, and what it misses alone is judged as ever.
        check_after(soon, Some(5), (5_000, 0, 0), false, (0, None));
        check_after(soon, Some(5), (5_000, 5, 0), false, (0, Some(7)));
    }

    #[test]
    fn what_two_snapshots_did_not_show_goes_and_what_one_did_not_is_judged_alone() {
        check(Some(5), (5_000, 4_000, 4_000), false, (0, Some(7)));
        check(Some(5), (5_000, 4_000, 3_995), false, (0, Some(7)));
        check(Some(5), (5_000, 4_000, 1_000), false, (3_000, Some(5)));
        check(Some(5), (5_000, 0, 0), false, (0, None));
    }

    #[test]
    fn a_snapshot_with_a_gap_deletes_and_confirms_nothing() {
        check(None, (1_000, 1, 0), true, (1, None));
        check(None, (1_000, 0, 0), true, (0, None));
        check(Some(5), (1_000, 900, 800), true, (900, None));
    }
}
