//! A broker of which every call fails now and then, before or after it took effect, with the errors that its port may give there.

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
    EnsureTopics,
    Partitions,
    NewReader,
    NewGroup,
    /// Which fences earlier holders of the id, and may have done so where it fails.
    NewTransactions,
    Assign,
    Unassign,
    Pause,
    Resume,
    Poll,
    /// The changelog no longer has the offset that a restore starts from.
    Gone,
    GroupPoll,
    Complete,
    Committed,
    Membership,
    Leave,
    Begin,
    Send,
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

/// What the calls suffer.
#[derive(Default)]
pub struct Faults {
    rates: Mutex<BTreeMap<Call, u32>>,
    random: Mutex<Option<StdRng>>,
    /// The next failure of a call, after so many that go well.
    next: Mutex<BTreeMap<Call, usize>>,
    /// The calls that have failed.
    struck: Mutex<BTreeSet<Call>>,
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
        self.struck.lock().clone()
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

    fn is_too_large(&self, record: &Outgoing<'_>) -> bool {
        let too_large = self.too_large.lock();
        let mut refused = too_large.iter();
        refused.any(|(topic, value)| topic == record.topic && record.value == Some(value))
    }

    fn strikes(&self, call: Call) -> bool {
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
            self.struck.lock().insert(call);
        }
        strikes
    }

    fn error(&self, call: Call) -> BrokerError {
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
    fn call<T>(&self, call: Call, make: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        if !self.strikes(call) {
            return make();
        }
        if self.is_late(call) {
            make()?;
        }
        Err(self.error(call))
    }
}

pub struct FaultyBroker<B>(pub B, pub Arc<Faults>);

impl<B: Broker> Broker for FaultyBroker<B> {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        self.1.call(Call::EnsureTopics, || self.0.ensure_topics(specs, timeout))
    }
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        self.1.call(Call::Partitions, || self.0.partitions(topic, timeout))
    }
    fn topic_ids(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        self.0.topic_ids(topics, timeout)
    }
    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
        self.0.add_partitions(topic, total, timeout)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError> {
        self.0.delete_records(before, timeout)
    }
    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        self.0.tombstone_retention(topics, timeout)
    }
    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        let reader = self.1.call(Call::NewReader, || self.0.reader(client_id))?;
        Ok(Box::new(FaultyReader {
            inner: reader,
            faults: self.1.clone(),
            restores: client_id.ends_with("-restore"),
            from: BTreeMap::new(),
        }))
    }
    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        let client_id = options.client_id.clone();
        Ok(Box::new(FaultyGroup {
            inner: self.1.call(Call::NewGroup, || self.0.group(options))?,
            faults: self.1.clone(),
            client_id,
            known: Mutex::default(),
        }))
    }
    fn transactional_producer(&self, id: &str, timeout: Duration) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        let make = || self.0.transactional_producer(id, timeout);
        Ok(Box::new(FaultyProducer {
            inner: self.1.call(Call::NewTransactions, make)?,
            faults: self.1.clone(),
            failed: false,
        }))
    }
    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        self.0.producer(client_id)
    }
}

struct FaultyReader {
    inner: Box<dyn Reader>,
    faults: Arc<Faults>,
    restores: bool,
    /// Slots that start at an offset.
    from: BTreeMap<u32, (TopicPartition, i64)>,
}

impl FaultyReader {
    /// A slot whose offset is gone, told once; it stays silent then.
    fn gone(&mut self) -> Result<(), BrokerError> {
        if !self.restores || self.from.is_empty() || !self.faults.strikes(Call::Gone) {
            return Ok(());
        }
        let Some((slot, (partition, offset))) = self.from.pop_first() else {
            return Ok(());
        };
        self.inner.pause(slot)?;
        Err(BrokerError::OffsetOutOfRange { partition, offset })
    }
}

impl Reader for FaultyReader {
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError> {
        let slot = self.faults.call(Call::Assign, || self.inner.assign(partition, start))?;
        if let Start::At(offset) = start {
            self.from.insert(slot, (partition.clone(), offset));
        }
        Ok(slot)
    }
    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.faults.call(Call::Unassign, || self.inner.unassign(slot))?;
        self.from.remove(&slot);
        Ok(())
    }
    fn pause(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.faults.call(Call::Pause, || self.inner.pause(slot))
    }
    fn resume(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.faults.call(Call::Resume, || self.inner.resume(slot))
    }
    fn poll(&mut self, max: usize, _: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        self.gone()?;
        // Nobody writes meanwhile, so there is nothing to wait for.
        let faults = self.faults.clone();
        faults.call(Call::Poll, || self.inner.poll(max, Duration::ZERO, into))?;
        if faults.hides_ends.load(Ordering::Relaxed) {
            into.ends.clear();
        }
        Ok(())
    }
    fn bounds(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        self.inner.bounds(partition, timeout)
    }
    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
}

struct FaultyGroup {
    inner: Box<dyn Group>,
    faults: Arc<Faults>,
    client_id: String,
    /// Its membership as it was when it last heard of the group.
    known: Mutex<Option<Membership>>,
}

impl FaultyGroup {
    fn is_deaf(&self) -> bool {
        self.faults.deaf.lock().contains(&self.client_id)
    }
}

impl Group for FaultyGroup {
    fn poll(&mut self, timeout: Duration) -> Result<Option<Rebalance>, BrokerError> {
        if self.is_deaf() {
            return Ok(None);
        }
        let step = self.faults.call(Call::GroupPoll, || self.inner.poll(timeout))?;
        *self.known.lock() = self.inner.membership().ok();
        Ok(step)
    }
    fn complete(&mut self, step: &Rebalance) -> Result<(), BrokerError> {
        self.faults.call(Call::Complete, || self.inner.complete(step))
    }
    fn assignment(&self) -> Vec<TopicPartition> {
        self.inner.assignment()
    }
    fn committed(&mut self, of: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>, BrokerError> {
        if let Some(held) = of.iter().find(|partition| self.faults.pending.lock().contains(partition)) {
            return Err(BrokerError::Unavailable(format!("the offset of {held} is pending")));
        }
        let mut committed = self.faults.call(Call::Committed, || self.inner.committed(of, timeout))?;
        let mut forgotten = self.faults.forgotten.lock();
        for (partition, committed) in of.iter().zip(&mut committed) {
            if forgotten.get(partition).is_some_and(|before| before == committed) {
                *committed = None;
            } else {
                forgotten.remove(partition);
            }
        }
        Ok(committed)
    }
    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), BrokerError> {
        self.inner.commit(offsets)
    }
    fn membership(&self) -> Result<Membership, BrokerError> {
        let known = self.known.lock().clone();
        match known.filter(|_| self.is_deaf()) {
            Some(membership) => Ok(membership),
            None => self.faults.call(Call::Membership, || self.inner.membership()),
        }
    }
    fn lease(&mut self) -> Result<Arc<Lease>, BrokerError> {
        self.inner.lease()
    }
    fn leave(&mut self) -> Result<(), BrokerError> {
        self.faults.call(Call::Leave, || self.inner.leave())
    }
}

struct FaultyProducer {
    inner: Box<dyn TransactionalProducer>,
    faults: Arc<Faults>,
    /// It is of no more use.
    failed: bool,
}

impl FaultyProducer {
    fn call<T>(
        &mut self,
        call: Call,
        make: impl FnOnce(&mut dyn TransactionalProducer) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        if self.failed {
            return Err(BrokerError::Fatal("an earlier step has failed".to_owned()));
        }
        if self.faults.strikes(call) {
            self.failed = true;
            return Err(self.faults.error(call));
        }
        make(self.inner.as_mut())
    }
}

impl TransactionalProducer for FaultyProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.call(Call::Begin, |inner| inner.begin())
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        // As many bytes as any broker refuses, so that the one beneath does.
        let bytes = self.faults.is_too_large(&record).then(|| vec![0; 2 << 20]);
        let value = bytes.as_deref().or(record.value);
        self.call(Call::Send, |inner| inner.send(Outgoing { value, ..record }))
    }
    fn service(&mut self) -> Result<(), BrokerError> {
        self.call(Call::Service, |inner| inner.service())
    }
    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        let written = self.call(Call::Commit, |inner| inner.commit(offsets, membership))?;
        if self.faults.strikes(Call::Answer) {
            self.failed = true;
            return Err(self.faults.error(Call::Answer));
        }
        Ok(written)
    }
}
