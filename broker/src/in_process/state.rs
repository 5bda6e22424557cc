//! What the broker's threads share: topics, groups and transactions under one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::coordinator::Coordinator;
use super::faults::Faults;
use super::log::PartitionLog;
use super::transactions::Transactions;
use super::{Limits, Monotonic};
use crate::port::{self, BrokerError, CleanupPolicy, TopicPartition};

/// A topic's place in [`State::topics`]; a deleted topic leaves its place empty.
pub(super) type TopicId = usize;

pub(super) struct Topic {
    pub name: Arc<str>,
    /// What tells it from another topic of its name, in another log as well.
    pub id: Option<port::TopicId>,
    pub cleanup: CleanupPolicy,
    pub partitions: Vec<PartitionLog>,
    pub deleted: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub topics: Vec<Topic>,
    pub topic_ids: HashMap<String, TopicId>,
    pub groups: HashMap<String, Coordinator>,
    pub transactions: Transactions,
    pub faults: Faults,
}

impl State {
    pub fn topic_id(&self, name: &str) -> Result<TopicId, BrokerError> {
        let missing = || BrokerError::Topic {
            topic: name.to_owned(),
            reason: "there is no such topic".to_owned(),
        };
        self.topic_ids.get(name).copied().ok_or_else(missing)
    }

    pub fn partition(&self, of: &TopicPartition) -> Result<(TopicId, usize), BrokerError> {
        let topic = self.topic_id(&of.topic)?;
        let (index, count) = (of.partition as usize, self.topics[topic].partitions.len());
        if index >= count {
            let reason = format!("it has {count} partitions, and no partition {index}");
            return Err(BrokerError::Topic {
                topic: of.topic.to_string(),
                reason,
            });
        }
        Ok((topic, index))
    }

    /// All partitions of these topics, as far as the topics exist.
    pub fn partitions_of(&self, topics: &[String]) -> Vec<TopicPartition> {
        let known = topics.iter().filter_map(|name| self.topic_ids.get(name));
        let mut all: Vec<_> = known
            .flat_map(|id| {
                let topic = &self.topics[*id];
                (0..topic.partitions.len()).map(|i| TopicPartition::new(topic.name.clone(), i as u32))
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Signalled when there may be more to read.
    pub appended: Condvar,
    /// Signalled when a group, or what transactions hold in it, changed.
    pub regrouped: Condvar,
    pub limits: Limits,
    clock: Monotonic,
    next_partition: AtomicU32,
}

impl Shared {
    pub fn new(limits: Limits, clock: Monotonic) -> Self {
        Self {
            state: Mutex::default(),
            appended: Condvar::new(),
            regrouped: Condvar::new(),
            limits,
            clock,
            next_partition: AtomicU32::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    pub fn clock(&self) -> Monotonic {
        self.clock.clone()
    }

    /// Wakes all who wait.
    pub fn notify(&self) {
        self.appended.notify_all();
        self.regrouped.notify_all();
    }

    /// Does what time has made due for producers, and returns the time.
    pub fn look(&self, state: &mut State) -> Duration {
        let now = self.now();
        if state.expire_transactions(&self.limits, now) {
            self.notify();
        }
        if let Some(unused) = self.limits.transactional_id_expiration {
            state.transactions.expire_ids(unused, now);
        }
        now
    }

    /// Aborts the transactions that have been open for too long. Returns whether there were any.
    pub fn expire_transactions(&self, state: &mut State) -> bool {
        if state.transactions.open() == 0 {
            return false;
        }
        let expired = state.expire_transactions(&self.limits, self.now());
        if expired {
            self.notify();
        }
        expired
    }

    /// How long to wait for something that an open transaction may hold up, `left` at most.
    pub fn until_time_out(&self, state: &State, left: Duration) -> Duration {
        if state.transactions.open() == 0 {
            return left;
        }
        let next = state.transactions.next_timeout(self.now(), &self.limits);
        // A time-out is over when more than its time has passed.
        next.map_or(left, |next| left.min(next.saturating_add(Duration::from_millis(1))))
    }

    /// Where a record without a key goes: round robin, as old Java clients did.
    pub fn next_partition(&self, partitions: u32) -> u32 {
        self.next_partition.fetch_add(1, Ordering::Relaxed) % partitions
    }

    pub fn expire_offsets(&self, group: &str) -> usize {
        let mut state = self.lock();
        state.groups.get_mut(group).map_or(0, |group| group.offsets.clear())
    }

    pub fn expire_transactional_id(&self, id: &str) -> bool {
        self.lock().transactions.expire_id(id)
    }

    pub fn open_transactions(&self) -> usize {
        let mut state = self.lock();
        self.expire_transactions(&mut state);
        state.transactions.open()
    }

    /// Runs `act` on a group, which is made if it is new.
    pub fn with_group<R>(&self, state: &mut State, name: &str, act: impl FnOnce(&mut Coordinator, &State) -> R) -> R {
        // The coordinator needs to see the topics while it changes, so it is taken out for the moment.
        let mut group = state.groups.remove(name).unwrap_or_default();
        let result = act(&mut group, state);
        state.groups.insert(name.to_owned(), group);
        result
    }

    pub fn tick(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = self.look(state);
        for partition in state.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.tidy(&self.limits, now);
        }
        self.each_group(state, |group, state| {
            group.expire(now, state);
            self.expire_offsets_of(group, now);
        });
        self.notify();
    }

    /// Drops a group's offsets that are older than the retention.
    pub fn expire_offsets_of(&self, group: &mut Coordinator, now: Duration) {
        if let Some(retention) = self.limits.offsets_retention {
            group.offsets.expire(retention, now);
        }
    }

    pub fn each_group(&self, state: &mut State, act: impl Fn(&mut Coordinator, &State)) {
        let names: Vec<String> = state.groups.keys().cloned().collect();
        for name in names {
            self.with_group(state, &name, &act);
        }
    }

    pub fn expire_member(&self, group: &str, client_id: &str) -> usize {
        let mut state = self.lock();
        let expired = self.with_group(&mut state, group, |group, state| group.expire_named(client_id, state));
        self.regrouped.notify_all();
        expired
    }
}
