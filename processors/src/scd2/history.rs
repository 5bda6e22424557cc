//! From changes of a row to its versions.
//!
//! A change to no tracked column makes no version, and several changes in one transaction of the source make one: what a transaction
//! did in steps was never visible. So a change in the transaction that made the newest version changes that version, and takes
//! it back where the row is again what it was before. A delete closes the newest version and opens one that says so; when the row
//! comes back, that is closed.
//!
//! ```text
//!  transaction 7: Ada → Bo            1 Ada [09:00, 10:00)   2 Bo [10:00, …)
//!  transaction 8: Bo → Cy → Bo        (as before)
//!  transaction 9: Bo → Cy, deleted    … 2 Bo [10:00, 11:00)  3 Bo, deleted [11:00, …)
//! ```
//!
//! *Why a store of the newest versions' numbers?* The versions' store is the public topic, a record a version, so that one write serves
//! restore and readers; in it the newest is found by its number.
//!
//! A row that was there before its history was kept begins it, as version 1, with its first tracked change.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use schemas::gold::{Validity, Versioned};
use topology::store::{KeyValue, KeyValueStore, StoreKey, StoreValue};
use topology::{Context, Micros, ProcessError, Processor, Record};

use crate::silver::{Change, Outcome};

/// A table whose versions are kept.
pub trait Dimension: Send + 'static {
    /// The row's id.
    type Id: StoreKey + Copy + Send + Sync;
    /// The row as Silver has it.
    type Row: Clone + Send + Sync + 'static;
    /// A version of it.
    type Version: StoreValue + Clone + PartialEq + Versioned;
    /// The processor's name.
    const NAME: &'static str;
    /// All versions, by their numbers.
    const VERSIONS: KeyValue<(Self::Id, i64), Self::Version>;
    /// The number of the newest one.
    const NEWEST: KeyValue<Self::Id, i64>;
    /// Whether all versions of a row are told whenever one of them changes.
    const TELLS: bool = false;

    /// The version that a row makes.
    fn version(row: &Self::Row, validity: Validity) -> Self::Version;
    /// Whether the tracked columns are the same.
    fn is_same(row: &Self::Row, other: &Self::Row) -> bool;
    /// LSN and commit time of the change that made the row what it is.
    fn made_at(row: &Self::Row) -> (i64, i64);
    /// When the row was made at the source.
    fn created_at(row: &Self::Row) -> i64;

    /// The version with which the history of a row begins that was there before: from when it was made, whatever else of it changes meanwhile.
    fn beginning(row: &Self::Row) -> Self::Version {
        let (source_lsn, made_at) = Self::made_at(row);
        Self::version(row, first(Micros(made_at.min(Self::created_at(row))), source_lsn, None))
    }

    /// The change that an event made, if it changed a tracked column. Most changes of accounts are of their balances, so what is of
    /// no interest here is not even copied.
    fn tracked(outcome: &Outcome<Self::Row>) -> Option<Change<Self::Row>> {
        match outcome {
            Outcome::Changed(change) if !is_same::<Self>(change.before.as_ref(), change.after.as_ref()) => Some(change.clone()),
            Outcome::Changed(_) | Outcome::Rejected(_) => None,
        }
    }
}

fn is_same<D: Dimension + ?Sized>(before: Option<&D::Row>, after: Option<&D::Row>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => D::is_same(before, after),
        (before, after) => before.is_none() && after.is_none(),
    }
}

/// The processor that keeps a table's versions.
pub struct History<D>(PhantomData<fn() -> D>);

impl<D> Default for History<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D: Dimension> Processor for History<D> {
    type KeyIn = D::Id;
    type In = Change<D::Row>;
    type KeyOut = D::Id;
    type Out = Vec<D::Version>;
    type Stores = (KeyValue<(D::Id, i64), D::Version>, KeyValue<D::Id, i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<D::Id, Change<D::Row>>) -> Result<(), ProcessError> {
        let (id, change) = (record.key, &record.value);
        let (versions, newest) = (&mut *cx.stores.0, &mut *cx.stores.1);
        let mut versions = Versions::<D> { id, versions, newest };
        let newest = match (versions.newest()?, &change.before) {
            // It was there before its history was kept.
            (None, Some(before)) => Some(versions.open(D::beginning(before))),
            (newest, _) => newest,
        };
        match (newest, &change.after) {
            (Some(newest), _) if was_seen_by::<D>(&newest, change) => {}
            (Some(newest), after) if shows::<D>(&newest, after.as_ref()) => {}
            (Some(newest), _) if was_made_by::<D>(&newest, change) => versions.change(newest, change)?,
            (Some(newest), _) => versions.follow(newest, change),
            (None, Some(row)) => {
                let validity = first(change.at.committed_at_us, change.at.lsn, change.tx_id);
                versions.open(D::version(row, validity));
            }
            (None, None) => {}
        }
        if D::TELLS {
            let all = versions.all()?;
            cx.out.forward(id, all);
        }
        Ok(())
    }
}

/// The validity of a row's first version.
fn first(valid_from: Micros, source_lsn: i64, source_tx_id: Option<i64>) -> Validity {
    Validity {
        version: 1,
        valid_from,
        valid_to: None,
        is_deleted: false,
        source_lsn,
        source_tx_id,
    }
}

/// Whether a version shows the row as it is.
fn shows<D: Dimension>(version: &D::Version, row: Option<&D::Row>) -> bool {
    let validity = version.validity();
    match row {
        Some(row) => !validity.is_deleted && D::version(row, validity) == *version,
        None => validity.is_deleted,
    }
}

/// Whether the transaction that made the change made the version, too. Transaction ids come again; their commits' times do not.
fn was_made_by<D: Dimension>(version: &D::Version, change: &Change<D::Row>) -> bool {
    let made = version.validity();
    made.source_tx_id.is_some() && made.source_tx_id == change.tx_id && made.valid_from >= change.at.committed_at_us
}

/// Whether a snapshot that made the version has seen what the change did: streamed after it, it was committed before. The row then passes
/// once more through its own past, which is no history.
fn was_seen_by<D: Dimension>(version: &D::Version, change: &Change<D::Row>) -> bool {
    let made = version.validity();
    let is_of_snapshot = made.source_tx_id.is_none() && change.tx_id.is_some();
    is_of_snapshot && change.at.lsn < made.source_lsn && change.at.committed_at_us < made.valid_from
}

/// The versions of one row.
struct Versions<'a, D: Dimension> {
    id: D::Id,
    versions: &'a mut KeyValueStore<(D::Id, i64), D::Version>,
    newest: &'a mut KeyValueStore<D::Id, i64>,
}

impl<D: Dimension> Versions<'_, D> {
    fn newest(&mut self) -> Result<Option<D::Version>, ProcessError> {
        match self.newest.get(&self.id)? {
            Some(number) => Ok(self.versions.get(&(self.id, number))?),
            None => Ok(None),
        }
    }

    /// All of them, in their order.
    fn all(&mut self) -> Result<Vec<D::Version>, ProcessError> {
        let mut all = Vec::new();
        self.versions.scan((self.id, 0)..=(self.id, i64::MAX), |_, version| {
            all.push(version);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    fn put(&mut self, version: D::Version) {
        self.versions.put((self.id, version.validity().version), version);
    }

    /// Puts a version that is the newest.
    fn open(&mut self, version: D::Version) -> D::Version {
        self.newest.put(self.id, version.validity().version);
        self.put(version.clone());
        version
    }

    /// A version after the newest.
    fn follow(&mut self, newest: D::Version, change: &Change<D::Row>) {
        let known = newest.validity();
        // Clocks are set back, and transactions commit in one microsecond.
        let valid_from = change.at.committed_at_us.max(Micros(known.valid_from.0.saturating_add(1)));
        let validity = Validity {
            version: known.version + 1,
            valid_from,
            valid_to: None,
            is_deleted: change.after.is_none(),
            source_lsn: change.at.lsn,
            source_tx_id: change.tx_id,
        };
        let valid_to = Some(valid_from);
        self.put(newest.clone().with_validity(Validity { valid_to, ..known }));
        self.open(match &change.after {
            Some(row) => D::version(row, validity),
            None => newest.with_validity(validity),
        });
    }

    /// Another change in the transaction that made the newest version.
    fn change(&mut self, newest: D::Version, change: &Change<D::Row>) -> Result<(), ProcessError> {
        let known = newest.validity();
        let seen = match known.version {
            1 => None,
            number => self.versions.get(&(self.id, number - 1))?,
        };
        let validity = Validity {
            is_deleted: change.after.is_none(),
            source_lsn: change.at.lsn,
            ..known
        };
        match (seen, &change.after) {
            (Some(seen), row) if shows::<D>(&seen, row.as_ref()) => {
                self.versions.delete((self.id, known.version));
                let valid_to = None;
                let again = Validity {
                    valid_to,
                    ..seen.validity()
                };
                self.open(seen.with_validity(again));
            }
            // It came and went, and nobody has seen it.
            (None, None) => {
                self.versions.delete((self.id, known.version));
                self.newest.delete(self.id);
            }
            (_, Some(row)) => {
                self.open(D::version(row, validity));
            }
            // What was seen last is what it was before the transaction.
            (Some(seen), None) => {
                self.open(seen.with_validity(validity));
            }
        }
        Ok(())
    }
}
