//! What the calls of a [`FaultyBroker`](super::FaultyBroker) meet: drawn from a seed, or decided by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::*;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A call of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Making topics.
    EnsureTopics,
    /// Asking for a topic's partitions.
    Partitions,
    /// Making a reader.
    NewReader,
    /// Making a member of a group.
    NewGroup,
    /// Which fences earlier holders of the id, and may have done so where it fails.
    NewTransactions,
    /// Assigning a partition to a reader.
    Assign,
    /// Taking one from it.
    Unassign,
    /// Pausing one.
    Pause,
    /// Resuming one.
    Resume,
    /// A reader's poll.
    Poll,
    /// The changelog no longer has the offset that a restore starts from.
    Gone,
    /// A member's poll.
    GroupPoll,
    /// Completing a rebalance.
    Complete,
    /// Asking for the group's offsets.
    Committed,
    /// Asking a member for its membership.
    Membership,
    /// Leaving the group.
    Leave,
    /// Beginning a transaction.
    Begin,
    /// Sending a record in it.
    Send,
    /// Serving a producer's events.
    Service,
    /// A commit that fails before it took effect.
    Commit,
    /// A commit that took effect, and whose answer is lost.
    Answer,
}

/// All of them.
pub const CALLS: [Call; 21] = [
    Call::EnsureTopics,
    Call::Partitions,
    Call::NewReader,
    Call::NewGroup,
    Call::NewTransactions,
    Call::Assign,
    Call::Unassign,
    Call::Pause,
    Call::Resume,
    Call::Poll,
    Call::Gone,
    Call::GroupPoll,
    Call::Complete,
    Call::Committed,
    Call::Membership,
    Call::Leave,
    Call::Begin,
    Call::Send,
    Call::Service,
    Call::Commit,
    Call::Answer,
];

impl Call {
    /// The kinds of errors that the port, and the clients behind it, may give here.
    fn errors(self) -> &'static [fn(String) -> BrokerError] {
        use BrokerError::{Fatal, Fenced, Unavailable};
        match self {
            Self::EnsureTopics | Self::Partitions | Self::Answer => &[Unavailable],
            // What is away for a while is retried within a poll, and tells of itself by `trouble`.
            Self::Poll | Self::Pause | Self::Resume | Self::Unassign => &[Fatal],
            Self::Membership => &[Fenced],
            Self::NewReader | Self::NewGroup | Self::Assign | Self::GroupPoll | Self::Complete | Self::Leave => {
                &[Unavailable, Fatal]
            }
            Self::Committed => &[Unavailable, Fenced, Fatal],
            Self::NewTransactions | Self::Begin | Self::Send | Self::Service | Self::Commit => &[Unavailable, Fenced, Fatal],
            // It has an error of its own.
            Self::Gone => &[],
        }
    }

    /// Whether it may have taken effect where it fails.
    fn may_take_effect(self) -> bool {
        matches!(
            self,
            Self::EnsureTopics | Self::NewTransactions | Self::GroupPoll | Self::Leave
        )
    }
}

/// A record on its way to the log, with its key where that is a number.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Where to.
    pub topic: String,
    /// The key, where it is eight bytes.
    pub key: Option<i64>,
    /// Whether it has neither key nor value.
    pub is_empty: bool,
}

impl From<&Outgoing<'_>> for Sent {
    fn from(record: &Outgoing<'_>) -> Self {
        Self {
            topic: record.topic.to_owned(),
            key: record.key.and_then(|key| key.try_into().ok()).map(i64::from_be_bytes),
            is_empty: record.key.is_none() && record.value.is_none(),
        }
    }
}

/// Decides, call by call, whether it fails.
pub type Decide<A> = Mutex<Option<Box<dyn FnMut(A) -> Option<BrokerError> + Send>>>;

/// From now on, this decides.
pub fn set<A>(fault: &Decide<A>, decide: impl FnMut(A) -> Option<BrokerError> + Send + 'static) {
    *fault.lock() = Some(Box::new(decide));
}

pub(super) fn decide<A>(fault: &Decide<A>, about: A) -> Result<(), BrokerError> {
    fault.lock().as_mut().and_then(|decide| decide(about)).map_or(Ok(()), Err)
}

/// What the calls meet.
#[derive(Default)]
pub struct Faults {
    rates: Mutex<BTreeMap<Call, u32>>,
    random: Mutex<Option<StdRng>>,
    /// The next failure of a call, after so many that go well.
    next: Mutex<BTreeMap<Call, usize>>,
    /// The calls that have failed by a rate, and how often.
    struck: Mutex<BTreeMap<Call, u32>>,
    /// Every call fails.
    is_away: AtomicBool,
    /// Polls wait for the whole of their time-out: others write meanwhile.
    pub(super) waits: bool,
    /// Of a record that is sent in a transaction.
    pub send: Decide<Sent>,
    /// Of a commit: what its transaction holds.
    pub commit: Decide<Vec<Sent>>,
    /// Of a question for the group's offsets.
    pub committed: Decide<Vec<TopicPartition>>,
    /// The group has no offset any more, as after a week's silence.
    pub forgets: AtomicBool,
    /// The offsets of each commit that succeeded.
    pub commits: Mutex<Vec<Vec<(TopicPartition, Committed)>>>,
    /// No reader hears of an end: somebody's transaction hides it.
    pub hides_ends: AtomicBool,
    /// Partitions whose offsets nobody hears of: a transaction that is pending holds them.
    pub pending: Mutex<BTreeSet<TopicPartition>>,
    /// Members (by client id) that hear nothing of the group, as behind a broken line: they go on as they were.
    pub deaf: Mutex<BTreeSet<String>>,
    /// Partitions whose offsets have expired, with what they were.
    pub forgotten: Mutex<BTreeMap<TopicPartition, Option<Committed>>>,
    /// Topics with values that are larger there than the broker takes.
    too_large: Mutex<BTreeSet<(String, Vec<u8>)>>,
}

impl Faults {
    /// Faults of a broker to which others write, too: polls wait for them.
    pub fn waiting() -> Arc<Self> {
        Arc::new(Self {
            waits: true,
            ..Self::default()
        })
    }

    /// From now on every call fails, or none but those that are asked to.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// From now on commits alone fail, before and after they took effect, in so many parts of a hundred.
    pub fn begin(&self, seed: u64, before_percent: u32, after_percent: u32) {
        let commits = [(Call::Commit, before_percent * 10), (Call::Answer, after_percent * 10)];
        self.begin_with(seed, commits);
    }

    /// From now on these calls fail, in so many parts of a thousand.
    pub fn begin_with(&self, seed: u64, rates: impl IntoIterator<Item = (Call, u32)>) {
        *self.random.lock() = Some(StdRng::seed_from_u64(seed));
        *self.rates.lock() = rates.into_iter().filter(|(_, rate)| *rate > 0).collect();
    }

    /// Has a call fail once, after so many that go well.
    pub fn fail(&self, call: Call, after: usize) {
        self.next.lock().insert(call, after);
    }

    /// From now on nothing fails.
    pub fn end(&self) {
        self.rates.lock().clear();
        self.pending.lock().clear();
        self.deaf.lock().clear();
    }

    /// The calls that have failed.
    pub fn struck(&self) -> BTreeSet<Call> {
        self.struck.lock().keys().copied().collect()
    }

    /// How often a call has failed.
    pub fn count(&self, call: Call) -> u32 {
        self.struck.lock().get(&call).copied().unwrap_or(0)
    }

    /// The group's offsets of all these partitions expire, until they are committed anew.
    pub fn forget_offsets(&self, group: &mut dyn Group, of: &[TopicPartition]) -> Result<(), BrokerError> {
        let known = group.committed(of, Duration::ZERO)?;
        self.forgotten.lock().extend(of.iter().cloned().zip(known));
        Ok(())
    }

    /// From now on this value is larger than the broker takes, in this topic.
    pub fn refuse(&self, topic: &str, value: &[u8]) {
        self.too_large.lock().insert((topic.to_owned(), value.to_vec()));
    }

    pub(super) fn is_too_large(&self, record: &Outgoing<'_>) -> bool {
        let too_large = self.too_large.lock();
        let mut refused = too_large.iter();
        refused.any(|(topic, value)| topic == record.topic && record.value == Some(value))
    }

    pub(super) fn strikes(&self, call: Call) -> bool {
        if self.is_away.load(Ordering::SeqCst) {
            return true;
        }
        let mut next = self.next.lock();
        match next.get_mut(&call) {
            Some(0) => {
                next.remove(&call);
                return true;
            }
            Some(left) => {
                *left -= 1;
                return false;
            }
            None => drop(next),
        }
        let Some(rate) = self.rates.lock().get(&call).copied() else {
            return false;
        };
        let mut random = self.random.lock();
        let strikes = random.as_mut().is_some_and(|random| random.random_range(0..1_000) < rate);
        if strikes {
            *self.struck.lock().entry(call).or_default() += 1;
        }
        strikes
    }

    pub(super) fn error(&self, call: Call) -> BrokerError {
        if self.is_away.load(Ordering::SeqCst) {
            return BrokerError::Unavailable("the log is away".to_owned());
        }
        let errors = call.errors();
        let mut random = self.random.lock();
        let chosen = random.as_mut().map_or(0, |random| random.random_range(0..errors.len()));
        errors[chosen](format!("an injected fault of {call:?}"))
    }

    fn is_late(&self, call: Call) -> bool {
        let mut random = self.random.lock();
        call.may_take_effect() && random.as_mut().is_some_and(|random| random.random_bool(0.5))
    }

    /// Makes a call, or lets it fail.
    pub(super) fn call<T>(&self, call: Call, make: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        if !self.strikes(call) {
            return make();
        }
        if self.is_late(call) {
            make()?;
        }
        Err(self.error(call))
    }
}
