//! Writing in transactions.

use std::sync::Arc;
use std::time::Duration;

use super::faults::CommitFault;
use super::producer::Buffer;
use super::state::{Shared, State};
use super::transactional_ids::Identity;
use crate::port::{BrokerError, Committed, Membership, Outgoing, TopicPartition, TransactionalProducer};

/// How many records wait in the producer before they go to the log, where they take their offsets. Several records share one
/// turn of the lock, and those of several producers still lie between each other.
const BATCH: usize = 256;

/// Where a transactional producer stands. After a failure it is of no more use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Open,
    Failed,
}

/// Dropped, it is a producer that crashed: what is open stays open.
pub(super) struct InProcessTransactions {
    buffer: Buffer,
    id: String,
    holder: Identity,
    phase: Phase,
    /// The coordinator knows of the transaction, which it does from its first records or offsets on.
    enlisted: bool,
}

impl InProcessTransactions {
    pub fn new(shared: Arc<Shared>, id: &str) -> Self {
        let holder = {
            let mut state = shared.lock();
            let now = shared.look(&mut state);
            state.init_producer(id, &shared.limits, now)
        };
        shared.notify();
        Self {
            buffer: Buffer::new(shared),
            id: id.to_owned(),
            holder,
            phase: Phase::Idle,
            enlisted: false,
        }
    }

    fn expect(&self, phase: Phase) -> Result<(), BrokerError> {
        if self.phase == phase {
            return Ok(());
        }
        Err(BrokerError::Fatal(match self.phase {
            Phase::Idle => format!("{}: no transaction is open", self.id),
            Phase::Open => format!("{}: a transaction is open already", self.id),
            Phase::Failed => format!("{}: an earlier step has failed", self.id),
        }))
    }

    fn failing<T>(&mut self, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    /// Runs `act` on the state, as of now.
    fn on_state<R>(&mut self, act: impl FnOnce(&mut Self, &mut State, Duration) -> R) -> R {
        let shared = self.buffer.shared.clone();
        let mut state = shared.lock();
        let now = shared.look(&mut state);
        act(self, &mut state, now)
    }

    fn check(&self, state: &State) -> Result<(), BrokerError> {
        state.transactions.check(&self.id, self.holder)
    }

    fn enlist(&mut self, state: &mut State, now: Duration) -> Result<(), BrokerError> {
        let limits = &self.buffer.shared.limits;
        state.enlist(&self.id, self.holder, self.enlisted, limits, now)?;
        self.enlisted = true;
        Ok(())
    }

    /// Appends what waits, to be seen when the transaction commits.
    fn flush(&mut self, state: &mut State, now: Duration) -> Result<(), BrokerError> {
        if self.buffer.waiting == 0 {
            return self.check(state);
        }
        self.enlist(state, now)?;
        let (producer, mut written) = (self.holder.producer, Vec::new());
        let appended = self.buffer.append(state, now, |place, log, records| {
            written.push(place);
            log.append_open(producer, records, now)
        });
        state.enlist_partitions(&self.id, &written);
        appended
    }

    fn commit_all(
        &mut self,
        state: &mut State,
        now: Duration,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.flush(state, now)?;
        if !offsets.is_empty() {
            self.enlist(state, now)?;
            state.enlist_offsets(&self.id, offsets, membership, now)?;
        }
        // Where nothing was written there is nothing to end.
        if self.enlisted {
            self.end(state, now)?;
            self.enlisted = false;
        }
        Ok(self.buffer.take_written())
    }

    /// Has the coordinator commit, unless a test wants something else to happen.
    fn end(&mut self, state: &mut State, now: Duration) -> Result<(), BrokerError> {
        let holder = self.holder;
        let unavailable = |what: &str| Err(BrokerError::Unavailable(format!("{}: {what}", self.id)));
        let fault = state.faults.next_of(&self.id);
        match fault {
            Some(CommitFault::Lost) => return unavailable("the commit was lost"),
            Some(CommitFault::Late) => {
                state.faults.keep(&self.id, holder);
                return unavailable("the commit is under way");
            }
            Some(CommitFault::Repeated) => state.faults.keep(&self.id, holder),
            Some(CommitFault::AnswerLost | CommitFault::MarkersLate) | None => {}
        }
        let (limits, held_up) = (&self.buffer.shared.limits, fault == Some(CommitFault::MarkersLate));
        self.holder = state.commit_transaction(&self.id, holder, held_up, limits, now)?;
        match fault {
            Some(CommitFault::AnswerLost) => unavailable("the commit's answer was lost"),
            _ => Ok(()),
        }
    }
}

impl TransactionalProducer for InProcessTransactions {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.expect(Phase::Idle)?;
        let fenced = self.on_state(|this, state, _| this.check(state));
        self.failing(fenced)?;
        self.phase = Phase::Open;
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        self.expect(Phase::Open)?;
        let mut sent = self.buffer.push(record);
        if sent.is_ok() && self.buffer.waiting >= BATCH {
            sent = self.on_state(Self::flush);
        }
        self.failing(sent)
    }

    fn service(&mut self) -> Result<(), BrokerError> {
        if self.phase != Phase::Open || self.buffer.waiting == 0 {
            return Ok(());
        }
        let flushed = self.on_state(Self::flush);
        self.failing(flushed)
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.expect(Phase::Open)?;
        let committed = self.on_state(|this, state, now| this.commit_all(state, now, offsets, membership));
        self.buffer.shared.appended.notify_all();
        if !offsets.is_empty() {
            self.buffer.shared.regrouped.notify_all();
        }
        self.phase = Phase::Idle;
        self.failing(committed)
    }
}

impl Drop for InProcessTransactions {
    fn drop(&mut self) {
        // What was sent is on its way, and arrives unless the producer is fenced; nobody is there to hear of it.
        if self.buffer.waiting > 0 {
            let _ = self.on_state(Self::flush);
        }
    }
}
