//! Applies the change log of one table: at-least-once events in, each change of a row once out.
//!
//! Which events are new is judged per row ([`super::position`]); the state is our own last row, never the event's `before`, since
//! a table with the default replica identity sends none. Snapshots and truncates are of the table: what they did not show is
//! deleted ([`super::sweep`]).

use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::bronze::{CdcKey, Envelope, Op};
use schemas::rules::Rule;
use schemas::silver::Rejected;
use schemas::state::{Applied, SourcePosition, TableState};
use topology::store::{KeyValue, KeyValueStore, StoreValue};
use topology::{Context, ProcessError, Processor, Punctuation, PunctuationType, ReadAhead, Record, Schedule};

use super::entity::Entity;
use super::position::{ChangePosition, Kind, Verdict, is_outdated, judge};
use super::rules::{Cleaning, Violation};
use super::sweep::{self, ROWS_PER_STEP};
use crate::counters::{SOURCE_OUTDATED, SOURCE_REGRESSIONS, SOURCE_REPEATED, count};
use crate::stores::TABLE;

/// What an event did to a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<T> {
    /// The row as it was; `None`: there was none.
    pub before: Option<T>,
    /// The row as it is; `None`: it was deleted.
    pub after: Option<T>,
    /// Which change of the row it is: 1, 2, … also over deletes.
    pub version: i64,
    /// Where it was made.
    pub at: ChangePosition,
    /// The source's transaction that made it; `None`: a snapshot, or the source does not say.
    pub tx_id: Option<i64>,
    /// The change's number among those of its table in that transaction, from 1, where the connector says so.
    pub order: Option<i64>,
    /// Whether it was streamed, in its place among the source's commits; else a snapshot showed it, or rows of an earlier time are being deleted.
    pub is_streamed: bool,
}

/// Where a change comes from.
struct Origin {
    at: SourcePosition,
    tx_id: Option<i64>,
    order: Option<i64>,
    is_streamed: bool,
}

impl Origin {
    /// A truncate, or a snapshot that did not show the row.
    fn of_sweep(at: SourcePosition, tx_id: Option<i64>) -> Self {
        Self {
            at,
            tx_id,
            order: None,
            is_streamed: false,
        }
    }
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// The row changed.
    Changed(Change<T>),
    /// The event breaks a rule. Unless the row changed as well, the last good version stays in force.
    Rejected(Rejected),
}

/// The processor that applies a table's change log.
pub struct Apply<E: Entity> {
    /// Whether all of the table comes in order, so that what a snapshot did not show is known.
    in_order: bool,
    /// The table's state as the store has it; read again after it was changed.
    table: Option<TableState>,
    entity: PhantomData<fn() -> E>,
}

impl<E: Entity> Apply<E> {
    /// `in_order`: the table's topic has one partition, and so the order of the source's commits.
    pub fn new(in_order: bool) -> Self {
        Self {
            in_order,
            table: None,
            entity: PhantomData,
        }
    }
}

impl<E: Entity> Drop for Apply<E> {
    /// The next owner of the table reports what is held back.
    fn drop(&mut self) {
        E::held_rows().store(0, Ordering::Relaxed);
    }
}

impl<E: Entity> Processor for Apply<E>
where
    Applied<E::Clean>: StoreValue,
{
    type KeyIn = CdcKey;
    type In = Envelope<E::Row>;
    type KeyOut = E::Id;
    type Out = Outcome<E::Clean>;
    type Stores = (KeyValue<E::Id, Applied<E::Clean>>, KeyValue<i64, TableState>);
    const READ_AHEAD: Option<ReadAhead<Self>> = Some(|key, (rows, _)| rows.read_ahead(E::id(key.id)));

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(1), PunctuationType::WallClockTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<CdcKey, Envelope<E::Row>>) -> Result<(), ProcessError> {
        let event = &record.value;
        let at = SourcePosition {
            lsn: event.source.lsn,
            committed_at: event.source.committed_at_us(),
        };
        let marker = event.source.snapshot.as_deref();
        let kind = Kind::of(event.op, marker, at);
        let (id, in_order) = (E::id(record.key.id), self.in_order);
        let known = self.table(cx.stores.1)?;
        match kind {
            Kind::Truncate => {
                let mut table = *known;
                // What an earlier one took went then.
                while table.sweep.is_some() {
                    self.sweep(cx, &mut table)?;
                }
                sweep::truncate(&mut table, at, event.source.tx_id);
                self.went_on(cx, table)
            }
            Kind::Snapshot if in_order => {
                let mut table = *known;
                sweep::snapshot_begins(&mut table, marker, at);
                apply(cx, id, event, (kind, at), &table, in_order)?;
                sweep::snapshot_ends(&mut table, marker, at);
                self.went_on(cx, table)
            }
            Kind::Streamed if in_order && known.snapshot.is_some() => {
                let mut table = *known;
                sweep::streaming_goes_on(&mut table, at);
                apply(cx, id, event, (kind, at), &table, in_order)?;
                self.went_on(cx, table)
            }
            _ => apply(cx, id, event, (kind, at), known, in_order),
        }
    }

    fn dead_letter(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let mut table = *self.table(cx.stores.1)?;
        // It may have been a row of a snapshot.
        table.has_gap |= self.in_order;
        self.keep(cx.stores.1, table);
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let mut table = *self.table(cx.stores.1)?;
        E::held_rows().store(table.held.map_or(0, |held| held.rows as u64), Ordering::Relaxed);
        self.sweep(cx, &mut table)?;
        self.keep(cx.stores.1, table);
        Ok(())
    }
}

impl<E: Entity> Apply<E>
where
    Applied<E::Clean>: StoreValue,
{
    fn table(&mut self, tables: &mut KeyValueStore<i64, TableState>) -> Result<&TableState, ProcessError> {
        if self.table.is_none() {
            self.table = Some(tables.get(&TABLE)?.unwrap_or_default());
        }
        Ok(self.table.get_or_insert_default())
    }

    fn keep(&mut self, tables: &mut KeyValueStore<i64, TableState>, table: TableState) {
        if self.table != Some(table) {
            tables.put(TABLE, table);
            // The record may yet fail further on, which undoes the write.
            self.table = None;
        }
    }

    /// A snapshot or a truncate may have gone on.
    fn went_on(&mut self, cx: &mut Context<'_, Self>, mut table: TableState) -> Result<(), ProcessError> {
        if self.table != Some(table) {
            self.sweep(cx, &mut table)?;
            self.keep(cx.stores.1, table);
        }
        Ok(())
    }

    /// Deletes some of the rows that a snapshot or a truncate did not leave.
    fn sweep(&self, cx: &mut Context<'_, Self>, table: &mut TableState) -> Result<(), ProcessError> {
        if !sweep::is_due(table) {
            return Ok(());
        }
        for (id, applied, by) in sweep::step::<E>(cx.stores.0, table, self.in_order, ROWS_PER_STEP)? {
            change::<E>(cx, id, applied, None, Origin::of_sweep(by.at, by.tx_id));
        }
        Ok(())
    }
}

/// One row's event.
fn apply<E: Entity>(
    cx: &mut Context<'_, Apply<E>>,
    id: E::Id,
    event: &Envelope<E::Row>,
    (kind, at): (Kind, SourcePosition),
    table: &TableState,
    in_order: bool,
) -> Result<(), ProcessError>
where
    Applied<E::Clean>: StoreValue,
{
    let stored = cx.stores.0.get(&id)?;
    let is_known = stored.is_some();
    let mut applied = stored.unwrap_or_default();
    let seen_in = applied.generation;
    applied.generation = table.generation;
    match judge(kind, at, &applied, table, in_order) {
        Verdict::Stale => {
            match kind {
                Kind::Streamed => count_dropped(at, applied.streamed),
                // In another order, what was streamed after it may have come before it.
                Kind::Snapshot if in_order => count_dropped(at, applied.snapshot),
                // Where the row has something newer, that is as it must be; where the whole table is said to be newer, a clock may be behind.
                Kind::Incremental if is_outdated(kind, at, table) => count(&SOURCE_OUTDATED, 1),
                _ => {}
            }
            let shows = kind != Kind::Streamed && !is_outdated(kind, at, table);
            if is_known && seen_in != table.generation && shows {
                cx.stores.0.put(id, applied);
            }
            return Ok(());
        }
        Verdict::Regression => count(&SOURCE_REGRESSIONS, 1),
        Verdict::New => {}
    }
    // A truncate is swept in steps: where this row's turn has not come, it comes now, before the row does again.
    let truncate = table.sweep.filter(|sweep| in_order && table.truncated == Some(sweep.at));
    if let Some(sweep) = truncate.filter(|sweep| applied.row.is_some() && seen_in < sweep.generation) {
        change::<E>(cx, id, applied, None, Origin::of_sweep(sweep.at, sweep.tx_id));
        applied = cx.stores.0.get(&id)?.unwrap_or_default();
    }
    match kind {
        Kind::Streamed => applied.streamed = Some(at),
        _ => applied.snapshot = Some(at),
    }
    let mut with = Cleaning {
        stored: applied.row.as_ref(),
        may_omit: event.op == Op::Update && event.before.is_none(),
        at: at.into(),
        is_streamed: kind == Kind::Streamed,
        notes: Vec::new(),
    };
    let cleaned = match (event.op, &event.after) {
        (Op::Delete, _) => Ok(None),
        (Op::Create | Op::Update | Op::Read, Some(row)) => E::clean(id, row, &mut with).map(Some),
        (op, _) => Err(Violation::new(
            Rule::CompleteEvent,
            format!("an event of kind {op:?} has no row"),
        )),
    };
    let mut notes = with.notes;
    match cleaned {
        Ok(after) => {
            let is_streamed = kind == Kind::Streamed;
            let block = event.transaction.as_ref().filter(|_| is_streamed);
            let origin = Origin {
                at,
                tx_id: event.source.tx_id.filter(|_| is_streamed),
                order: block.map(|block| block.data_collection_order),
                is_streamed,
            };
            change::<E>(cx, id, applied, after, origin);
        }
        Err(violation) => {
            cx.stores.0.put(id, applied);
            notes.push(violation);
        }
    }
    for violation in notes {
        let rejected = rejected(cx, violation);
        cx.out.forward(id, Outcome::Rejected(rejected));
    }
    Ok(())
}

/// Counts an event that was not applied. Where the connector sends again what it sent, the last event of each row is one that is
/// known; where none is, it is not sent again but from an earlier time, by a server whose clock is behind.
fn count_dropped(at: SourcePosition, known: Option<SourcePosition>) {
    let counter = if known == Some(at) {
        &SOURCE_REPEATED
    } else {
        &SOURCE_OUTDATED
    };
    count(counter, 1);
}

/// Keeps a row as it is now, and reports the change, if there was a row or is one.
fn change<E: Entity>(
    cx: &mut Context<'_, Apply<E>>,
    id: E::Id,
    mut applied: Applied<E::Clean>,
    after: Option<E::Clean>,
    origin: Origin,
) where
    Applied<E::Clean>: StoreValue,
{
    let before = std::mem::replace(&mut applied.row, after.clone());
    applied.version += 1;
    let version = applied.version;
    cx.stores.0.put(id, applied);
    if before.is_some() || after.is_some() {
        let change = Change {
            before,
            after,
            version,
            at: origin.at.into(),
            tx_id: origin.tx_id,
            order: origin.order,
            is_streamed: origin.is_streamed,
        };
        cx.out.forward(id, Outcome::Changed(change));
    }
}

/// The record in hand, with the rule that it breaks.
fn rejected<P: Processor>(cx: &Context<'_, P>, violation: Violation) -> Rejected {
    Rejected {
        topic: cx.at.topic.to_string(),
        partition: cx.at.partition as i32,
        offset: cx.at.offset.as_i64(),
        key: cx.at.key.as_ref().map(|b| b.to_vec()),
        value: cx.at.value.as_ref().map(|b| b.to_vec()),
        rule: violation.rule.to_string(),
        reason: violation.reason,
        rejected_at: cx.now_ms.to_micros().0,
    }
}

impl<T: Clone> Outcome<T> {
    /// The change, if it is one.
    pub fn changed(&self) -> Option<Change<T>> {
        match self {
            Outcome::Changed(change) => Some(change.clone()),
            Outcome::Rejected(_) => None,
        }
    }

    /// The new row of a change: `Some(None)` is a delete.
    pub fn row(&self) -> Option<Option<T>> {
        match self {
            Outcome::Changed(change) => Some(change.after.clone()),
            Outcome::Rejected(_) => None,
        }
    }

    /// The rejection, if it is one.
    pub fn rejected(&self) -> Option<Rejected> {
        match self {
            Outcome::Changed(_) => None,
            Outcome::Rejected(rejected) => Some(rejected.clone()),
        }
    }
}
