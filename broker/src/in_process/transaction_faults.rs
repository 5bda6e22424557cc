//! How tests have commits go wrong.

use std::collections::VecDeque;
use std::sync::Arc;

use super::faults::CommitFault;
use super::state::Shared;
use crate::port::BrokerError;

/// What tests do to transactions: [`InProcessBroker::transaction_faults`](super::InProcessBroker::transaction_faults).
///
/// ```
/// use std::time::Duration;
/// use broker::in_process::CommitFault;
/// use broker::{Broker, CleanupPolicy, InProcessBroker, Membership, Outgoing, TopicSpec};
///
/// let log = InProcessBroker::new();
/// let spec = TopicSpec { name: "t".to_owned(), partitions: 1, accept_existing: false, cleanup: CleanupPolicy::Compact, settings: Default::default() };
/// log.ensure_topics(&[spec], Duration::ZERO).unwrap();
/// let mut producer = log.transactional_producer("p", Duration::ZERO).unwrap();
/// producer.begin().unwrap();
/// let record = Outgoing { topic: "t", partition: None, key: Some(b"k"), value: None, timestamp_ms: 0, headers: &[] };
/// producer.send(record).unwrap();
///
/// log.transaction_faults().next_commit("p", CommitFault::Late);
/// assert!(producer.commit(&[], &Membership::NoGroup).is_err());
/// let newer = log.transactional_producer("p", Duration::ZERO).unwrap();
/// assert!(log.transaction_faults().deliver("p")[0].is_err(), "it is fenced");
/// ```
#[derive(Clone)]
pub struct TransactionFaults(pub(super) Arc<Shared>);

impl TransactionFaults {
    /// Has this happen to the next commit of a transactional id; asked for more than once, to the one after that, and so on.
    pub fn next_commit(&self, transactional_id: &str, fault: CommitFault) {
        let mut state = self.0.lock();
        let next = state.faults.next.entry(transactional_id.to_owned()).or_default();
        next.push_back(fault);
    }

    /// How many faults are yet to happen to commits of a transactional id.
    pub fn expected(&self, transactional_id: &str) -> usize {
        let state = self.0.lock();
        state.faults.next.get(transactional_id).map_or(0, VecDeque::len)
    }

    /// Lets the late and repeated commits of a transactional id reach the coordinator. Returns what it answers to each, in the
    /// order in which they were made: [`BrokerError::Fenced`] where the producer's epoch has passed.
    pub fn deliver(&self, transactional_id: &str) -> Vec<Result<(), BrokerError>> {
        let shared = &self.0;
        let mut state = shared.lock();
        let now = shared.look(&mut state);
        let late = state.faults.late.remove(transactional_id).unwrap_or_default();
        let mut commit = |holder| state.commit_transaction(transactional_id, holder, false, &shared.limits, now);
        let answers = late.into_iter().map(|holder| commit(holder).map(drop)).collect();
        shared.notify();
        answers
    }

    /// Has the next transaction of an id end, by a commit or an abort, without its markers reaching the partitions, which goes
    /// unnoticed by the coordinator. They hide what lies behind its first record until the same id ends another transaction
    /// there, and that one's end then counts for **both**. A Kafka broker that is alone does so when it comes back from a hang
    /// or a kill: its partitions have no leader for a moment, and it takes them for deleted.
    pub fn lose_markers(&self, transactional_id: &str) {
        self.0.lock().faults.markers_lost.insert(transactional_id.to_owned());
    }

    /// Writes the markers of a transactional id's last transaction, if they are late.
    pub fn write_markers(&self, transactional_id: &str) {
        let shared = &self.0;
        let mut state = shared.lock();
        let now = shared.look(&mut state);
        state.write_markers(transactional_id, &shared.limits, now);
        shared.notify();
    }
}
