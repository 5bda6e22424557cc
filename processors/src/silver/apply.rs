//! Applies the change log of one table: at-least-once events in, each change of a row once out.
//!
//! Per row key, an event whose LSN is not above the last one applied is a duplicate and is dropped. Not per partition:
//! interleaved transactions make that wrong. The state is our own last row, never the event's `before`, since a table with the
//! default replica identity sends none.

use std::marker::PhantomData;

use schemas::bronze::{CdcKey, Envelope, Op};
use schemas::silver::Rejected;
use topology::store::{KeyValue, StoreKey, StoreValue};
use topology::{Context, ProcessError, Processor, ReadAhead, Record};

use super::Violation;

/// A table: how its rows become Silver.
pub trait Entity: Send + 'static {
    /// The row's id.
    type Id: StoreKey + Copy;
    /// The row as the change log has it.
    type Row: Send + Sync + Clone + 'static;
    /// The row as Silver has it.
    type Clean: StoreValue + PartialEq;
    /// The processor's name.
    const NAME: &'static str;
    /// The current rows.
    const ROWS: KeyValue<Self::Id, Self::Clean>;
    /// The LSNs of deletes.
    const DELETED: KeyValue<Self::Id, i64>;

    /// The id of a key of the change log.
    fn id(key: i64) -> Self::Id;
    /// Cleans a row, or says which rule it breaks.
    fn clean(id: Self::Id, row: &Self::Row, stored: Option<&Self::Clean>, at: SourcePosition) -> Result<Self::Clean, Violation>;
    /// The LSN of the event that made this version.
    fn lsn(row: &Self::Clean) -> i64;
}

/// Where in the source a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePosition {
    /// The LSN of the change; 0 where the source gives none.
    pub lsn: i64,
    /// When it was committed, in microseconds since the epoch.
    pub committed_at_us: i64,
}

/// What an event did to a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<T> {
    /// The row as it was; `None`: there was none.
    pub before: Option<T>,
    /// The row as it is; `None`: it was deleted.
    pub after: Option<T>,
    /// The LSN of the change.
    pub lsn: i64,
    /// When it was committed, in microseconds since the epoch.
    pub committed_at_us: i64,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// The row changed.
    Changed(Change<T>),
    /// The event breaks a rule; the last good version stays in force.
    Rejected(Rejected),
}

/// The processor that applies a table's change log.
pub struct Apply<E>(PhantomData<fn() -> E>);

impl<E> Default for Apply<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Entity> Processor for Apply<E> {
    type KeyIn = CdcKey;
    type In = Envelope<E::Row>;
    type KeyOut = E::Id;
    type Out = Outcome<E::Clean>;
    type Stores = (KeyValue<E::Id, E::Clean>, KeyValue<E::Id, i64>);
    const NAME: &'static str = E::NAME;
    const STORES: Self::Stores = (E::ROWS, E::DELETED);
    const READ_AHEAD: Option<ReadAhead<Self>> = Some(|key, (rows, _)| rows.read_ahead(E::id(key.id)));

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<CdcKey, Envelope<E::Row>>) -> Result<(), ProcessError> {
        let id = E::id(record.key.id);
        let event = &record.value;
        let at = SourcePosition {
            lsn: event.source.lsn.unwrap_or(0),
            committed_at_us: event.source.committed_at_us(),
        };
        let (rows, deleted) = &mut cx.stores;
        let stored = rows.get(&id)?;
        let applied = match &stored {
            Some(row) => Some(E::lsn(row)),
            None => deleted.get(&id)?,
        };
        // A snapshot shows a row as of an LSN that an event may have too; everything else must be newer than what is applied.
        let stale = match (event.op, applied) {
            (_, None) => false,
            (Op::Read, Some(applied)) => at.lsn < applied,
            (_, Some(applied)) => at.lsn <= applied && event.source.lsn.is_some(),
        };
        if stale {
            return Ok(());
        }
        let cleaned = match (event.op, &event.after) {
            (Op::Delete, _) => Ok(None),
            (Op::Create | Op::Update | Op::Read, Some(row)) => E::clean(id, row, stored.as_ref(), at).map(Some),
            (op, _) => Err(Violation::new(
                "complete_event",
                format!("an event of kind {op:?} has no row"),
            )),
        };
        match cleaned {
            Ok(after) => {
                match &after {
                    Some(row) => {
                        rows.put(id, row.clone());
                        if stored.is_none() && applied.is_some() {
                            deleted.delete(id);
                        }
                    }
                    None => {
                        rows.delete(id);
                        deleted.put(id, at.lsn);
                    }
                }
                if stored.is_some() || after.is_some() {
                    let change = Change {
                        before: stored,
                        after,
                        lsn: at.lsn,
                        committed_at_us: at.committed_at_us,
                    };
                    cx.out.forward(id, Outcome::Changed(change));
                }
            }
            Err(violation) => {
                let rejected = Rejected {
                    topic: cx.at.topic.to_string(),
                    partition: cx.at.partition as i32,
                    offset: cx.at.offset,
                    key: cx.at.key.as_ref().map(|b| b.to_vec()),
                    value: cx.at.value.as_ref().map(|b| b.to_vec()),
                    rule: violation.rule.to_owned(),
                    reason: violation.reason,
                    rejected_at: cx.now_ms * 1000,
                };
                cx.out.forward(id, Outcome::Rejected(rejected));
            }
        }
        Ok(())
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
