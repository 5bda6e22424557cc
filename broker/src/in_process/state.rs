//! What the broker's threads share: topics, groups and transactions under one lock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::catalog::Catalog;
use super::coordinator::Coordinator;
use super::faults::Faults;
use super::transactional_ids::Transactions;
use super::{Limits, Monotonic};

#[derive(Default)]
pub(super) struct State {
    pub catalog: Catalog,
    pub groups: HashMap<String, Coordinator>,
    pub transactions: Transactions,
    pub faults: Faults,
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
    pub fn with_group<R>(&self, state: &mut State, name: &str, act: impl FnOnce(&mut Coordinator, &Catalog) -> R) -> R {
        let group = state.groups.entry(name.to_owned()).or_default();
        act(group, &state.catalog)
    }

    pub fn tick(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = self.look(state);
        for partition in state.catalog.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.tidy(&self.limits, now);
        }
        self.each_group(state, |group, catalog| {
            group.expire(now, catalog);
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

    pub fn each_group(&self, state: &mut State, act: impl Fn(&mut Coordinator, &Catalog)) {
        state.groups.values_mut().for_each(|group| act(group, &state.catalog));
    }

    pub fn expire_member(&self, group: &str, client_id: &str) -> usize {
        let mut state = self.lock();
        let expired = self.with_group(&mut state, group, |group, catalog| group.expire_named(client_id, catalog));
        self.regrouped.notify_all();
        expired
    }
}
