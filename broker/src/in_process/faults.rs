//! Commits that go wrong, for tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::transactional_ids::Identity;

/// What happens to the next commit of a transactional id. Only a commit that ends something counts: a transaction that
/// neither wrote a record nor sent an offset asks the coordinator nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// It never reaches the coordinator: [`BrokerError::Unavailable`](crate::BrokerError::Unavailable), and the transaction stays open with its records and
    /// offsets, until a new producer of the id is made or it times out.
    Lost,
    /// It takes effect, but its answer is lost: [`BrokerError::Unavailable`](crate::BrokerError::Unavailable).
    AnswerLost,
    /// It is slow: [`BrokerError::Unavailable`](crate::BrokerError::Unavailable), the transaction stays open, and the commit reaches the coordinator at
    /// [`TransactionFaults::deliver`](super::TransactionFaults::deliver).
    Late,
    /// It takes effect and is answered, and the same request reaches the coordinator again at
    /// [`TransactionFaults::deliver`](super::TransactionFaults::deliver): a client that got no answer in time has sent it twice.
    Repeated,
    /// It is decided and answered, but its markers are not written before [`TransactionFaults::write_markers`](super::TransactionFaults::write_markers), the same id's
    /// next transaction or producer, or the time-out: until then its records are not seen, and its offsets are pending.
    MarkersLate,
}

/// What is yet to happen, by transactional id.
#[derive(Default)]
pub(super) struct Faults {
    pub next: BTreeMap<String, VecDeque<CommitFault>>,
    pub late: BTreeMap<String, Vec<Identity>>,
    /// Ids whose next markers do not reach the partitions.
    pub markers_lost: BTreeSet<String>,
}

impl Faults {
    /// What happens to a commit that is made now.
    pub fn next_of(&mut self, id: &str) -> Option<CommitFault> {
        self.next.get_mut(id)?.pop_front()
    }

    /// Keeps a commit until it is delivered.
    pub fn keep(&mut self, id: &str, holder: Identity) {
        self.late.entry(id.to_owned()).or_default().push(holder);
    }
}
