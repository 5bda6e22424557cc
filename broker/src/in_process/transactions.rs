//! The transaction coordinator: who holds each transactional id, what is open, and how it ends.
//!
//! A producer is known by its id's number and an *epoch*. Whatever fences it raises the epoch: a newer producer of the same
//! id, or the time-out of its transaction. What a producer that is gone left open stays open until one of these happens.
//!
//! ```text
//!              first records or offsets                 commit
//!   idle ────────────────────────────────► open ────► (committing) ────► idle
//!                                            └── new producer, time-out ──► aborted, epoch+1
//! ```
//!
//! A transaction is *committing* only where a test holds up its markers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::catalog::TopicId;
use super::state::State;
use super::transactional_ids::{Identity, Open, TransactionalId};
use super::{Epochs, Limits};
use crate::port::{BrokerError, Committed, Membership, TopicPartition};

const TAKEN_OVER: &str = "a newer producer has taken over";
const TIMED_OUT: &str = "its transaction has timed out";
const ENDED: &str = "its transaction has ended";

impl State {
    /// Makes a new holder of the id. What an earlier one left open is aborted.
    pub fn init_producer(&mut self, id: &str, limits: &Limits, now: Duration) -> Identity {
        if self.transactions.ids.contains_key(id) {
            self.end_transaction(id, limits, now);
        }
        let transactions = &mut self.transactions;
        if let Some(known) = transactions.ids.get_mut(id) {
            known.raise_epoch(TAKEN_OVER);
            known.used = now;
            return known.holder;
        }
        transactions.last_producer += 1;
        let (producer, epoch) = (transactions.last_producer, 0);
        let known = TransactionalId {
            holder: Identity { producer, epoch },
            fenced_by: TAKEN_OVER,
            open: None,
            used: now,
        };
        transactions.ids.entry(id.to_owned()).or_insert(known).holder
    }

    /// Opens the holder's transaction, or goes on with it if it is `enlisted` already.
    pub fn enlist(
        &mut self,
        id: &str,
        holder: Identity,
        enlisted: bool,
        limits: &Limits,
        now: Duration,
    ) -> Result<(), BrokerError> {
        self.transactions.check(id, holder)?;
        if !enlisted {
            // A client waits until the markers of its last transaction are written.
            self.write_markers(id, limits, now);
        }
        let Some(known) = self.transactions.ids.get_mut(id) else {
            return Ok(());
        };
        match (&known.open, enlisted) {
            (Some(_), _) => {}
            (None, true) => {
                return Err(BrokerError::Fenced(format!(
                    "{id}: the coordinator has ended the transaction"
                )));
            }
            (None, false) => {
                known.open = Some(Open {
                    since: now,
                    partitions: Vec::new(),
                    groups: BTreeSet::new(),
                    committing: false,
                });
                self.transactions.open += 1;
            }
        }
        known.used = now;
        Ok(())
    }

    /// Notes that the id's open transaction writes to these partitions.
    pub fn enlist_partitions(&mut self, id: &str, partitions: &[(TopicId, usize)]) {
        if let Some(open) = self.transactions.ids.get_mut(id).and_then(|known| known.open.as_mut()) {
            for place in partitions {
                if !open.partitions.contains(place) {
                    open.partitions.push(*place);
                }
            }
        }
    }

    /// Adds offsets to the id's open transaction: they are pending in their group until it ends.
    pub fn enlist_offsets(
        &mut self,
        id: &str,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        now: Duration,
    ) -> Result<(), BrokerError> {
        let Membership::InProcess { group, .. } = membership else {
            return Err(BrokerError::Fatal(
                "offsets need a membership of a group of this broker".to_owned(),
            ));
        };
        let Some(known) = self.transactions.ids.get_mut(id) else {
            return Ok(());
        };
        let coordinator = self.groups.entry(group.clone()).or_default();
        coordinator.check_membership(membership)?;
        coordinator.offsets.hold(known.holder.producer, offsets, now);
        if let Some(open) = &mut known.open {
            open.groups.insert(group.clone());
        }
        Ok(())
    }

    /// Carries out the holder's request to commit, and returns who it is from now on. Nothing happens where nothing is open. The
    /// markers may be `held_up`, until [`State::write_markers`].
    pub fn commit_transaction(
        &mut self,
        id: &str,
        holder: Identity,
        held_up: bool,
        limits: &Limits,
        now: Duration,
    ) -> Result<Identity, BrokerError> {
        self.transactions.check(id, holder)?;
        let Some(known) = self.transactions.ids.get_mut(id) else {
            return Ok(holder);
        };
        let Some(open) = &mut known.open else { return Ok(holder) };
        open.committing = true;
        if limits.epochs == Epochs::Kip890 {
            known.raise_epoch(ENDED);
        }
        let holder = known.holder;
        if !held_up {
            self.write_markers(id, limits, now);
        }
        Ok(holder)
    }

    /// Finishes a commit that was decided, if there is one.
    pub fn write_markers(&mut self, id: &str, limits: &Limits, now: Duration) {
        let open = self.transactions.ids.get(id).and_then(|known| known.open.as_ref());
        if open.is_some_and(|open| open.committing) {
            self.end_transaction(id, limits, now);
        }
    }

    /// Aborts the transactions that have been open for too long, and fences their producers. Returns whether there were any.
    pub fn expire_transactions(&mut self, limits: &Limits, now: Duration) -> bool {
        if self.transactions.open == 0 {
            return false;
        }
        let too_long = |open: &Open| now.saturating_sub(open.since) > limits.transaction_timeout;
        let ids = self.transactions.ids.iter();
        let overdue = ids.filter(|(_, known)| known.open.as_ref().is_some_and(too_long));
        let overdue: Vec<String> = overdue.map(|(id, _)| id.clone()).collect();
        for id in &overdue {
            let committed = self.end_transaction(id, limits, now);
            if let (false, Some(known)) = (committed, self.transactions.ids.get_mut(id)) {
                known.raise_epoch(TIMED_OUT);
            }
        }
        !overdue.is_empty()
    }

    /// Writes the markers of the id's open transaction: it is aborted, unless its commit is decided. Returns whether it was.
    fn end_transaction(&mut self, id: &str, limits: &Limits, now: Duration) -> bool {
        let Some(known) = self.transactions.ids.get_mut(id) else {
            return false;
        };
        let Some(open) = known.open.take() else { return false };
        let commits = open.committing;
        known.used = now;
        self.transactions.open -= 1;
        let producer = known.holder.producer;
        let reached = if self.faults.markers_lost.remove(id) {
            Vec::new()
        } else {
            open.partitions
        };
        for (topic, partition) in reached {
            let log = self.catalog.topics[topic].partitions.get_mut(partition);
            // It is not there where its topic was deleted.
            if let Some(log) = log {
                log.end_transaction(producer, commits);
                log.tidy(limits, now);
            }
        }
        for group in open.groups {
            if let Some(group) = self.groups.get_mut(&group) {
                group.offsets.end_transaction(producer, commits);
            }
        }
        commits
    }
}
