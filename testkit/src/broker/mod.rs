//! A broker of which every call fails now and then, before or after it took effect, with the errors that its port may give there;
//! or of which a test decides, call by call, what fails.

mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::*;
use parking_lot::Mutex;

pub use faults::{CALLS, Call, Faults, Sent, set};

/// A broker, and the faults that its calls meet.
pub struct FaultyBroker<B>(pub B, pub Arc<Faults>);

impl<B: Broker> Broker for FaultyBroker<B> {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        self.1.call(Call::EnsureTopics, || self.0.ensure_topics(specs, timeout))
    }
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        self.1.call(Call::Partitions, || self.0.partitions(topic, timeout))
    }
    fn topics(&self, timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError> {
        self.1.call(Call::Partitions, || self.0.topics(timeout))
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
            sent: Vec::new(),
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
    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        self.gone()?;
        let faults = self.faults.clone();
        // Where nobody writes meanwhile, there is nothing to wait for.
        let timeout = if faults.waits { timeout } else { Duration::ZERO };
        faults.call(Call::Poll, || self.inner.poll(max, timeout, into))?;
        if faults.hides_ends.load(Ordering::Relaxed) {
            into.ends.clear();
        }
        Ok(())
    }
    fn bounds(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        self.inner.bounds(partition, timeout)
    }
    fn offset_for_time(&mut self, of: &TopicPartition, timestamp_ms: i64, timeout: Duration) -> Result<Option<i64>, BrokerError> {
        self.inner.offset_for_time(of, timestamp_ms, timeout)
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
        faults::decide(&self.faults.committed, of.to_vec())?;
        if self.faults.forgets.load(Ordering::Relaxed) {
            return Ok(vec![None; of.len()]);
        }
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
    sent: Vec<Sent>,
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
        self.sent.clear();
        self.call(Call::Begin, |inner| inner.begin())
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        let sent = Sent::from(&record);
        faults::decide(&self.faults.send, sent.clone())?;
        self.sent.push(sent);
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
        faults::decide(&self.faults.commit, self.sent.clone())?;
        let written = self.call(Call::Commit, |inner| inner.commit(offsets, membership))?;
        if self.faults.strikes(Call::Answer) {
            self.failed = true;
            return Err(self.faults.error(Call::Answer));
        }
        self.faults.commits.lock().push(offsets.to_vec());
        Ok(written)
    }
}
