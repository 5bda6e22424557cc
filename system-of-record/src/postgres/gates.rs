//! Bounds how many connections wait for one row.
//!
//! Postgres lets whoever waits for a locked row wait with its connection. A session that holds one account for long would so
//! collect all connections of the pool, and nothing else would be answered. So a commit first passes a gate for each row that it
//! will lock: a few commits at a time go through, the others wait here, without a connection, and not for ever.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Busy, Change, Entity, Ref};

/// A row, by table and id.
pub(super) type Key = (Entity, i64);

/// One gate for each row that somebody is about to lock.
#[derive(Debug, Clone)]
pub(super) struct Gates {
    width: usize,
    timeout: Duration,
    gates: Arc<Mutex<HashMap<Key, Arc<Semaphore>>>>,
}

/// The gates that a commit has passed; others may pass when it is dropped.
#[derive(Debug)]
pub(super) struct Passed {
    gates: Arc<Mutex<HashMap<Key, Arc<Semaphore>>>>,
    permits: Vec<(Key, OwnedSemaphorePermit)>,
}

impl Gates {
    /// Gates that let so many pass at once, out of so many connections, and make the others wait this long.
    pub fn new(connections_max: u32, timeout: Duration) -> Self {
        // Two or more keep a busy account busy while one of them is on its way; a quarter leaves room for other rows.
        let width = (connections_max / 4).max(2).min(connections_max.saturating_sub(1)).max(1);
        Self {
            width: width as usize,
            timeout,
            gates: Arc::default(),
        }
    }

    /// Passes the gates of these rows, always in the same order, so that no two commits wait for each other.
    pub async fn pass(&self, keys: BTreeSet<Key>) -> Result<Passed, Busy> {
        let mut passed = Passed {
            gates: Arc::clone(&self.gates),
            permits: Vec::with_capacity(keys.len()),
        };
        let all = async {
            for key in keys {
                let gate = Arc::clone(
                    self.gates
                        .lock()
                        .entry(key)
                        .or_insert_with(|| Arc::new(Semaphore::new(self.width))),
                );
                // A gate is never closed.
                if let Ok(permit) = gate.acquire_owned().await {
                    passed.permits.push((key, permit));
                }
            }
        };
        tokio::time::timeout(self.timeout, all).await.map_err(|_| Busy::Locked)?;
        Ok(passed)
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let mut gates = self.gates.lock();
        for (key, permit) in self.permits.drain(..) {
            drop(permit);
            // Whoever waits holds the gate, too.
            if gates.get(&key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
                gates.remove(&key);
            }
        }
    }
}

/// The rows that changes are known to lock, and the transactions whose accounts they will lock besides.
pub(super) fn rows_of(changes: &[Change]) -> (BTreeSet<Key>, Vec<i64>) {
    let mut keys = BTreeSet::new();
    let mut transactions = Vec::new();
    for change in changes {
        let mut touch = |entity, id: Option<i64>| keys.extend(id.map(|id| (entity, id)));
        match change {
            Change::InsertCustomer(_) => {}
            Change::UpdateCustomer { id, .. } | Change::DeleteCustomer { id, .. } => {
                touch(Entity::Customer, known(*id, |id| id.0));
            }
            Change::InsertAccount(draft) => touch(Entity::Customer, known(draft.customer_id, |id| id.0)),
            Change::UpdateAccount { id, to, .. } => {
                touch(Entity::Account, known(*id, |id| id.0));
                touch(Entity::Customer, known(to.customer_id, |id| id.0));
            }
            Change::CloseAccount { id, .. } | Change::DeleteAccount { id, .. } => touch(Entity::Account, known(*id, |id| id.0)),
            Change::InsertTransaction(draft) => {
                touch(Entity::Account, known(draft.account_id, |id| id.0));
                touch(Entity::Account, draft.related_account_id.and_then(|id| known(id, |id| id.0)));
            }
            Change::UpdateTransaction { id, to, .. } => {
                touch(Entity::Transaction, known(*id, |id| id.0));
                touch(Entity::Account, known(to.account_id, |id| id.0));
                touch(
                    Entity::Account,
                    to.related_account_id.flatten().and_then(|id| known(id, |id| id.0)),
                );
                transactions.extend(known(*id, |id| id.0));
            }
            Change::DeleteTransaction { id, .. } => {
                touch(Entity::Transaction, known(*id, |id| id.0));
                transactions.extend(known(*id, |id| id.0));
            }
        }
    }
    (keys, transactions)
}

fn known<I>(row: Ref<I>, id: impl Fn(I) -> i64) -> Option<i64> {
    match row {
        Ref::Id(row) => Some(id(row)),
        // A row of this very commit: nobody else can lock it.
        Ref::Made(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64) -> Key {
        (Entity::Account, id)
    }

    #[tokio::test]
    async fn a_gate_lets_a_few_pass_and_the_others_wait_for_a_bounded_time() {
        let gates = Gates::new(16, Duration::from_millis(20));
        let mut passed = Vec::new();
        for _ in 0..4 {
            passed.push(gates.pass([key(1), key(2)].into()).await.expect("room"));
        }
        assert_eq!(gates.pass([key(2)].into()).await.err(), Some(Busy::Locked));
        assert!(gates.pass([key(3)].into()).await.is_ok(), "another row has its own gate");
        let patient = Gates {
            timeout: Duration::from_secs(60),
            ..gates.clone()
        };
        let waiting = tokio::spawn(async move { patient.pass([key(1)].into()).await.is_ok() });
        tokio::task::yield_now().await;
        passed.pop();
        assert!(waiting.await.expect("no panic"), "who waits goes on when another leaves");
        passed.clear();
        assert!(gates.gates.lock().is_empty(), "nothing is left of rows that nobody locks");
    }

    #[test]
    fn a_pool_keeps_a_connection_for_other_rows() {
        let width = |connections| Gates::new(connections, Duration::ZERO).width;
        assert_eq!([1, 2, 3, 4, 16, 64].map(width), [1, 1, 2, 2, 4, 16]);
    }
}
