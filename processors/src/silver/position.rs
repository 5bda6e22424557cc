//! Which events of a row are new.
//!
//! Delivery is at least once, so an event may come again, and with it those after it. Three things say where an event belongs: its
//! LSN, which rises from change to change of a row as long as the server lives; its commit time, which goes on over a restored or
//! promoted server, where the LSN starts lower; and whether it was streamed or read by a snapshot.
//!
//! - A streamed event is compared with streamed ones alone. A snapshot never hides what is streamed after it: a transaction that
//!   was open when the snapshot was taken has changes below the snapshot's LSN, and was not seen by it. Where the stream then
//!   shows again what the snapshot knew, the row passes through its own past and arrives at the same end.
//! - A lower LSN with a later commit time is a new epoch of the source. Neither alone says so: clocks are set back, too.
//! - Incremental snapshots give no LSN, only the time at which the row was read.

use schemas::bronze::Op;
use schemas::state::{Applied, SourcePosition, TableState};
use topology::Micros;

/// Where in the source a change was made, as rows carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePosition {
    /// The LSN of the change; 0 where the source gives none.
    pub lsn: i64,
    /// When it was committed.
    pub committed_at_us: Micros,
}

impl From<SourcePosition> for ChangePosition {
    fn from(at: SourcePosition) -> Self {
        Self {
            lsn: at.lsn.unwrap_or(0),
            committed_at_us: at.committed_at,
        }
    }
}

/// How an event came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the write-ahead log.
    Streamed,
    /// Read by a snapshot of the whole table.
    Snapshot,
    /// Read by an incremental snapshot, between streamed events.
    Incremental,
    /// The table was emptied.
    Truncate,
}

impl Kind {
    /// By the event's operation and the snapshot's marker in its `source`.
    pub fn of(op: Op, marker: Option<&str>, at: SourcePosition) -> Self {
        match op {
            Op::Truncate => Self::Truncate,
            Op::Read if marker == Some("incremental") || at.lsn.is_none() => Self::Incremental,
            Op::Read => Self::Snapshot,
            _ => Self::Streamed,
        }
    }
}

/// What an event is to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// To be applied.
    New,
    /// To be applied; the source's log starts lower than it was.
    Regression,
    /// A duplicate, or from before what is applied.
    Stale,
}

/// Judges an event of a row. `in_order`: all of the table's events come in the order of its commits.
pub fn judge<R>(kind: Kind, at: SourcePosition, applied: &Applied<R>, table: &TableState, in_order: bool) -> Verdict {
    if is_outdated(kind, at, table) {
        return Verdict::Stale;
    }
    match kind {
        Kind::Streamed => applied.streamed.map_or(Verdict::New, |known| streamed(at, known)),
        // Once in a snapshot is enough: what was streamed since is newer.
        _ if applied.snapshot == Some(at) => Verdict::Stale,
        Kind::Snapshot => match applied.streamed {
            Some(known) if is_before(at, known) => Verdict::Stale,
            // Over several partitions, what was streamed after the snapshot may be here before it.
            Some(known) if !in_order && at.committed_at < known.committed_at => Verdict::Stale,
            Some(known) if lower(at, known) && at.committed_at > known.committed_at => Verdict::Regression,
            _ => Verdict::New,
        },
        Kind::Incremental => match applied.streamed {
            Some(known) if known.committed_at > at.committed_at => Verdict::Stale,
            _ => Verdict::New,
        },
        Kind::Truncate => Verdict::New,
    }
}

/// Whether the whole table was found to be otherwise since: emptied, or as a later snapshot shows it.
pub fn is_outdated(kind: Kind, at: SourcePosition, table: &TableState) -> bool {
    let is_before_truncate = || table.truncated.is_some_and(|truncated| is_before(at, truncated));
    match kind {
        Kind::Streamed => is_before_truncate(),
        Kind::Snapshot => is_before_truncate() || is_sent_again(at, table),
        Kind::Incremental => {
            let mut known = [table.truncated, table.completed].into_iter().flatten();
            known.any(|known| known.committed_at > at.committed_at)
        }
        Kind::Truncate => false,
    }
}

fn streamed(at: SourcePosition, known: SourcePosition) -> Verdict {
    match (at.lsn, known.lsn) {
        (Some(lsn), Some(known_lsn)) if lsn <= known_lsn => match at.committed_at > known.committed_at {
            true => Verdict::Regression,
            false => Verdict::Stale,
        },
        _ => Verdict::New,
    }
}

fn lower(at: SourcePosition, than: SourcePosition) -> bool {
    matches!((at.lsn, than.lsn), (Some(lsn), Some(other)) if lsn < other)
}

/// Whether it is of the newest complete snapshot, or of one before: the connector may send its last batch again. Blocking snapshots
/// of a source at rest have one LSN.
pub(super) fn is_sent_again(at: SourcePosition, table: &TableState) -> bool {
    let is_known = |completed: SourcePosition| at.lsn <= completed.lsn && at.committed_at <= completed.committed_at;
    table.completed.is_some_and(is_known)
}

/// Whether both the LSN and the time say so.
pub(super) fn is_before(at: SourcePosition, other: SourcePosition) -> bool {
    lower(at, other) && at.committed_at <= other.committed_at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: i64, committed_at: i64) -> SourcePosition {
        SourcePosition {
            lsn: Some(lsn),
            committed_at: Micros(committed_at),
        }
    }

    #[track_caller]
    fn check(
        kind: Kind,
        event: SourcePosition,
        streamed: Option<SourcePosition>,
        snapshot: Option<SourcePosition>,
        expected: Verdict,
    ) {
        let applied = Applied::<()> {
            streamed,
            snapshot,
            ..Applied::default()
        };
        assert_eq!(judge(kind, event, &applied, &TableState::default(), true), expected);
    }

    #[test]
    fn a_streamed_event_is_a_duplicate_by_lsn_and_time() {
        let known = Some(at(100, 50));
        check(Kind::Streamed, at(100, 50), known, None, Verdict::Stale);
        check(Kind::Streamed, at(90, 40), known, None, Verdict::Stale);
        check(Kind::Streamed, at(110, 50), known, None, Verdict::New);
        check(Kind::Streamed, at(110, 40), known, None, Verdict::New);
        check(Kind::Streamed, at(90, 60), known, None, Verdict::Regression);
        check(Kind::Streamed, at(100, 60), known, None, Verdict::Regression);
    }

    #[test]
    fn a_snapshot_hides_nothing_that_is_streamed_after_it() {
        check(Kind::Streamed, at(90, 60), None, Some(at(100, 50)), Verdict::New);
        check(Kind::Streamed, at(90, 40), None, Some(at(100, 50)), Verdict::New);
    }

    #[test]
    fn a_snapshot_counts_once_and_not_before_what_was_streamed() {
        check(Kind::Snapshot, at(100, 50), None, Some(at(100, 50)), Verdict::Stale);
        check(
            Kind::Snapshot,
            at(100, 50),
            Some(at(90, 60)),
            Some(at(100, 50)),
            Verdict::Stale,
        );
        check(Kind::Snapshot, at(100, 50), Some(at(100, 50)), None, Verdict::New);
        check(Kind::Snapshot, at(90, 40), Some(at(100, 50)), None, Verdict::Stale);
        check(Kind::Snapshot, at(90, 60), Some(at(100, 50)), None, Verdict::Regression);
    }

    #[test]
    fn what_the_whole_table_was_found_to_be_is_newer_than_what_was_read_before() {
        let (lower, same) = (at(90, 40), at(100, 40));
        let read = |committed_at| SourcePosition {
            lsn: None,
            committed_at: Micros(committed_at),
        };
        let truncated = TableState {
            truncated: Some(at(100, 50)),
            ..TableState::default()
        };
        let completed = TableState {
            completed: Some(at(100, 50)),
            ..TableState::default()
        };
        for (table, kind, event, expected) in [
            (truncated, Kind::Streamed, lower, Verdict::Stale),
            (truncated, Kind::Snapshot, lower, Verdict::Stale),
            (truncated, Kind::Incremental, read(40), Verdict::Stale),
            (truncated, Kind::Incremental, read(60), Verdict::New),
            (completed, Kind::Streamed, lower, Verdict::New),
            (completed, Kind::Snapshot, lower, Verdict::Stale),
            (completed, Kind::Snapshot, same, Verdict::Stale),
            (completed, Kind::Snapshot, at(90, 60), Verdict::New),
            (completed, Kind::Incremental, read(40), Verdict::Stale),
            (completed, Kind::Incremental, read(60), Verdict::New),
        ] {
            let verdict = judge(kind, event, &Applied::<()>::default(), &table, true);
            assert_eq!(verdict, expected, "{kind:?} {event:?} {table:?}");
        }
    }

    #[test]
    fn an_incremental_snapshot_repairs_unless_something_newer_was_streamed() {
        let read = SourcePosition {
            lsn: None,
            committed_at: Micros(60),
        };
        check(Kind::Incremental, read, Some(at(100, 50)), None, Verdict::New);
        check(Kind::Incremental, read, Some(at(100, 70)), None, Verdict::Stale);
        check(Kind::Incremental, read, Some(at(100, 50)), Some(read), Verdict::Stale);
    }
}
