//! What the transaction coordinator knows of each transactional id: who holds it, and what its open transaction has touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Limits;
use super::catalog::TopicId;
use super::open::ProducerId;
use crate::port::BrokerError;

/// Who a producer is to the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub producer: ProducerId,
    pub epoch: u64,
}

#[derive(Default)]
pub(super) struct Transactions {
    pub ids: BTreeMap<String, TransactionalId>,
    pub last_producer: ProducerId,
    /// How many are open.
    pub open: usize,
}

pub(super) struct TransactionalId {
    pub holder: Identity,
    /// What raised the epoch last.
    pub fenced_by: &'static str,
    pub open: Option<Open>,
    /// When it was last used, by the broker's clock.
    pub used: Duration,
}

/// What a transaction has touched.
pub(super) struct Open {
    pub since: Duration,
    pub partitions: Vec<(TopicId, usize)>,
    pub groups: BTreeSet<String>,
    /// Its commit is decided and answered, and its markers are yet to be written.
    pub committing: bool,
}

impl Transactions {
    /// How many transactions are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How long until the next transaction times out.
    pub fn next_timeout(&self, now: Duration, limits: &Limits) -> Option<Duration> {
        if self.open == 0 {
            return None;
        }
        let open = self.ids.values().filter_map(|id| id.open.as_ref());
        let ends = open.map(|open| open.since.saturating_add(limits.transaction_timeout));
        ends.map(|end| end.saturating_sub(now)).min()
    }

    /// Forgets an id, unless a transaction of its is open. Returns whether it was known.
    pub fn expire_id(&mut self, id: &str) -> bool {
        let idle = self.ids.get(id).is_some_and(|known| known.open.is_none());
        idle && self.ids.remove(id).is_some()
    }

    /// Forgets the ids that were not used for so long.
    pub fn expire_ids(&mut self, unused: Duration, now: Duration) {
        self.ids
            .retain(|_, known| known.open.is_some() || now.saturating_sub(known.used) < unused);
    }

    /// Whether this is still the holder of the id.
    pub fn check(&self, id: &str, holder: Identity) -> Result<(), BrokerError> {
        let fenced = |why: &str| Err(BrokerError::Fenced(format!("{id}: {why}")));
        match self.ids.get(id) {
            Some(known) if known.holder == holder => Ok(()),
            Some(known) if known.holder.producer == holder.producer => fenced(known.fenced_by),
            _ => fenced("the transactional id has expired"),
        }
    }
}

impl TransactionalId {
    /// Fences whoever holds the id.
    pub fn raise_epoch(&mut self, why: &'static str) {
        self.holder.epoch += 1;
        self.fenced_by = why;
    }
}
