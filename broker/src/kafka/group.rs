//! Membership of a group: librdkafka's cooperative protocol, step by step in the hands of the worker.
//!
//! librdkafka reports a rebalance in a callback and then waits until the assignment was changed accordingly. Here the callback
//! only notes the step; [`Group::complete`] changes the assignment, when the worker has done its part. Heartbeats go on in
//! the background meanwhile. What is assigned is paused at once: this consumer fetches nothing.
//!
//! A fatal error ends a client for good, and librdkafka brings that about itself: when the session ran out while the broker
//! was away, it forgets its member id, sends one more heartbeat without it, and is told that it is fenced. So the membership
//! is then begun anew, with a new client.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaSettings;
use super::context::Watch;
use super::errors::{from_client, from_kafka, is_transient};
use super::native;
use super::proofs::{Held, Proofs};
use super::reaper::reap;
use crate::lease::Lease;
use crate::port::{BrokerError, Committed, Group, GroupOptions, Membership, Rebalance, TopicPartition};

/// How long [`Group::leave`] waits until the broker knows.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How often a lease is renewed at most.
const LEASE_MIN: Duration = Duration::from_millis(50);
const LEAVE_POLL: Duration = Duration::from_millis(20);

/// The longest text that may stand beside a committed offset; Kafka's default limit.
const METADATA_BYTES_MAX: usize = 4_096;

/// Notes the steps that librdkafka reports.
#[derive(Default)]
struct Steps {
    watch: Watch,
    noted: Mutex<VecDeque<Rebalance>>,
    /// Nobody completes steps any more: they are taken at once.
    closing: AtomicBool,
}

impl ClientContext for Steps {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.note(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Steps {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let change = if assigned {
                consumer.incremental_assign(list)
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = change {
                tracing::debug!(%error, "while leaving a group");
            }
            return;
        }
        let partitions: Vec<_> = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition().unsigned_abs()))
            .collect();
        let step = match (assigned, consumer.assignment_lost()) {
            (true, _) => Rebalance::Assigned(partitions),
            (false, true) => Rebalance::Lost(partitions),
            (false, false) => Rebalance::Revoked(partitions),
        };
        self.noted.lock().push_back(step);
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        Duration::from_millis(500).into()
    }
}

pub(super) struct KafkaGroup {
    settings: KafkaSettings,
    options: GroupOptions,
    /// `None` once the group was left.
    consumer: Option<BaseConsumer<Steps>>,
    held: BTreeSet<TopicPartition>,
    /// The step that waits for its completion.
    step: Option<Rebalance>,
    /// The step is about an earlier client's assignment.
    step_is_past: bool,
    renewed: Option<Instant>,
    /// One of those that are held, for the proofs.
    one_held: Held,
    lease: Option<Arc<Lease>>,
    proofs: Option<Proofs>,
}

impl KafkaGroup {
    pub fn join(settings: &KafkaSettings, options: &GroupOptions) -> Result<Self, BrokerError> {
        Ok(Self {
            settings: settings.clone(),
            options: options.clone(),
            consumer: Some(subscribe(settings, options)?),
            held: BTreeSet::new(),
            step: None,
            step_is_past: false,
            renewed: None,
            one_held: Held::default(),
            lease: None,
            proofs: None,
        })
    }

    /// Has the lease kept, if anybody has asked for one.
    fn keep_lease(&mut self) -> Result<(), BrokerError> {
        let (Some(lease), Some(consumer)) = (&self.lease, &self.consumer) else {
            return Ok(());
        };
        let every = (self.options.session_timeout / 6).max(LEASE_MIN);
        // SAFETY: `close` drops the proofs before the consumer, and so does `Drop`, by it.
        #[allow(unsafe_code)]
        let proofs = unsafe { Proofs::of(consumer, lease.clone(), self.one_held.clone(), every)? };
        self.proofs = Some(proofs);
        Ok(())
    }

    /// Begins the membership anew if a fatal error has ended it. Two members of the same name fence each other, so that
    /// happens once per session at most.
    fn renew(&mut self) -> Result<(), BrokerError> {
        let Some((_, reason)) = self.consumer()?.client().fatal_error() else {
            return Ok(());
        };
        if self.renewed.is_some_and(|at| at.elapsed() < self.options.session_timeout) {
            return Ok(());
        }
        tracing::warn!(
            member = self.options.client_id,
            reason,
            "the membership has ended; it is begun anew"
        );
        let consumer = subscribe(&self.settings, &self.options)?;
        self.close(Duration::ZERO);
        self.consumer = Some(consumer);
        self.renewed = Some(Instant::now());
        *self.one_held.lock() = None;
        let mut lost = std::mem::take(&mut self.held);
        if let Some(Rebalance::Revoked(going) | Rebalance::Lost(going)) = self.step.take() {
            lost.extend(going);
        }
        self.step_is_past = !lost.is_empty();
        self.step = self.step_is_past.then(|| Rebalance::Lost(lost.into_iter().collect()));
        // Last, since what was lost must be reported whatever becomes of this: without a lease, nothing is answered.
        self.keep_lease()
    }

    fn consumer(&self) -> Result<&BaseConsumer<Steps>, BrokerError> {
        self.consumer
            .as_ref()
            .ok_or_else(|| BrokerError::Fatal("the group was left".to_owned()))
    }

    /// Applies a step to librdkafka's assignment, which lets the rebalance go on.
    fn apply(&self, step: &Rebalance) -> Result<(), BrokerError> {
        let consumer = self.consumer()?;
        let changed = match step {
            Rebalance::Assigned(partitions) => {
                let list = list_of(partitions)?;
                // Between these two calls a fetch may start; what it brings is ignored.
                consumer.incremental_assign(&list).and_then(|()| consumer.pause(&list))
            }
            Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => consumer.incremental_unassign(&list_of(partitions)?),
        };
        changed.map_err(|error| from_client(consumer.client(), "changing the assignment", &error))
    }

    /// The next step that is worth telling. Empty ones are part of the protocol, and are done with at once.
    fn next_step(&mut self) -> Result<Option<Rebalance>, BrokerError> {
        while self.step.is_none() {
            let noted = self.consumer()?.context().noted.lock().pop_front();
            let Some(step) = noted else { break };
            if partitions_of(&step).is_empty() {
                if let Err(error) = self.apply(&step) {
                    // librdkafka waits for it.
                    self.consumer()?.context().noted.lock().push_front(step);
                    return Err(error);
                }
                continue;
            }
            self.step = Some(match step {
                // Noted in time, but meanwhile the membership ended.
                Rebalance::Revoked(partitions) if native::generation(self.consumer()?).is_none() => Rebalance::Lost(partitions),
                step => step,
            });
        }
        if let Some(Rebalance::Lost(partitions)) = &self.step {
            self.held.retain(|held| !partitions.contains(held));
        }
        Ok(self.step.clone())
    }

    /// Gives up a membership that has a name. Closing its client says nothing to the group, which keeps its partitions for it until
    /// the session ends; unsubscribing does.
    fn resign(&mut self, patience: Duration) {
        self.proofs = None;
        let until = Instant::now() + patience;
        let mut pending: Vec<Rebalance> = Vec::new();
        let step = self.step.take();
        if let Some(consumer) = &self.consumer {
            consumer.context().closing.store(true, Ordering::Release);
            pending.extend(step.filter(|_| !self.step_is_past));
            pending.extend(consumer.context().noted.lock().drain(..));
        }
        // A step that waits for its completion would hold up the end.
        for step in pending {
            if let Err(error) = self.apply(&step) {
                tracing::debug!(%error, "while leaving a group");
            }
        }
        let Some(consumer) = &self.consumer else { return };
        consumer.unsubscribe();
        while native::generation(consumer).is_some() && Instant::now() < until {
            let _ = consumer.poll(LEAVE_POLL);
        }
    }

    fn close(&mut self, patience: Duration) {
        let proofs = self.proofs.take();
        if let Some(consumer) = self.consumer.take() {
            consumer.context().closing.store(true, Ordering::Release);
            // A step that waits for its completion would hold up the end.
            if self.step.is_some() {
                let unassigned = consumer.assignment().and_then(|all| consumer.incremental_unassign(&all));
                tracing::debug!(?unassigned, "left a group amid a rebalance");
            }
            // In this order.
            reap((proofs, consumer), patience);
        }
    }
}

impl Group for KafkaGroup {
    fn poll(&mut self, timeout: Duration) -> Result<Option<Rebalance>, BrokerError> {
        let started = Instant::now();
        loop {
            self.renew()?;
            let waits = self.step.is_some();
            let left = if waits {
                Duration::ZERO
            } else {
                timeout.saturating_sub(started.elapsed())
            };
            match self.consumer()?.poll(left) {
                // `renew` sees to it.
                Some(Err(KafkaError::MessageConsumptionFatal(_))) => {}
                Some(Err(error)) => check_fault(&error)?,
                // No fetch was asked for, see `apply`.
                Some(Ok(_)) | None => {}
            }
            let step = self.next_step()?;
            if step.is_some() || left.is_zero() {
                return Ok(step);
            }
        }
    }

    fn complete(&mut self, step: &Rebalance) -> Result<(), BrokerError> {
        if self.step.as_ref() != Some(step) {
            return Err(BrokerError::Fatal("there is no such step to complete".to_owned()));
        }
        if !std::mem::take(&mut self.step_is_past) {
            self.apply(step)?;
        }
        self.step = None;
        match step {
            Rebalance::Assigned(partitions) => self.held.extend(partitions.iter().cloned()),
            Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => {
                self.held.retain(|held| !partitions.contains(held));
            }
        }
        *self.one_held.lock() = self.held.first().cloned();
        Ok(())
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.held.iter().cloned().collect()
    }

    fn committed(&mut self, of: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>, BrokerError> {
        committed(self.consumer()?, of, timeout)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), BrokerError> {
        if native::generation(self.consumer()?).is_none() {
            return Err(BrokerError::Fenced("not a member of the group now".to_owned()));
        }
        let list = offsets_list(offsets)?;
        let consumer = self.consumer()?;
        consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| from_client(consumer.client(), "committing offsets", &error))
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        let consumer = self.consumer()?;
        // The metadata is opaque, so the generation is looked at before and after it was taken. It may rise between them, and the
        // member be one still.
        let mut before = native::generation(consumer);
        loop {
            let (metadata, after) = (consumer.group_metadata(), native::generation(consumer));
            match (metadata, after) {
                (Some(metadata), Some(_)) if before == after => {
                    return Ok(Membership::Kafka {
                        group: self.options.group.as_str().into(),
                        metadata: Arc::new(metadata),
                    });
                }
                (Some(_), Some(_)) => before = after,
                _ => return Err(BrokerError::Fenced("not a member of the group now".to_owned())),
            }
        }
    }

    fn lease(&mut self) -> Result<Arc<Lease>, BrokerError> {
        if let Some(lease) = &self.lease {
            return Ok(lease.clone());
        }
        let lease = Arc::new(Lease::new(self.options.session_timeout, Arc::new(native::since_boot)));
        self.lease = Some(lease.clone());
        self.keep_lease()?;
        Ok(lease)
    }

    fn leave(&mut self) -> Result<(), BrokerError> {
        self.held.clear();
        if self.options.member.is_some() {
            self.resign(LEAVE_MAX);
        }
        self.close(LEAVE_MAX);
        Ok(())
    }
}

impl Drop for KafkaGroup {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

fn subscribe(settings: &KafkaSettings, options: &GroupOptions) -> Result<BaseConsumer<Steps>, BrokerError> {
    let failed = |error| from_kafka(&format!("joining {}", options.group), &error);
    let consumer: BaseConsumer<Steps> = settings
        .group(options)
        .create_with_context(Steps::default())
        .map_err(failed)?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(failed)?;
    Ok(consumer)
}

fn partitions_of(step: &Rebalance) -> &[TopicPartition] {
    match step {
        Rebalance::Assigned(partitions) | Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => partitions,
    }
}

/// What librdkafka does not get over by itself.
fn check_fault(error: &KafkaError) -> Result<(), BrokerError> {
    match error.rdkafka_error_code() {
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::InconsistentGroupProtocol
            | Code::InvalidSessionTimeout,
        ) => Err(from_kafka("in the group", error)),
        _ => {
            tracing::debug!(%error, "in the group; librdkafka goes on");
            Ok(())
        }
    }
}

/// The partitions with an offset to start at that asks the broker nothing: nothing is fetched anyway.
fn list_of(partitions: &[TopicPartition]) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition as i32, Offset::Offset(0))
            .map_err(|error| from_kafka("naming a partition", &error))?;
    }
    Ok(list)
}

/// The offsets to commit, with their metadata.
pub(super) fn offsets_list(offsets: &[(TopicPartition, Committed)]) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        if committed.metadata.len() > METADATA_BYTES_MAX {
            let bytes = committed.metadata.len();
            return Err(BrokerError::Refused(format!(
                "{bytes} bytes of metadata beside the offset of {partition}"
            )));
        }
        let mut element = list.add_partition(&partition.topic, partition.partition as i32);
        element
            .set_offset(Offset::Offset(committed.offset))
            .map_err(|error| from_kafka(&format!("offset {} of {partition}", committed.offset), &error))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}

fn read_committed(list: &TopicPartitionList, of: &[TopicPartition]) -> Result<Vec<Option<Committed>>, KafkaError> {
    let read = |partition: &TopicPartition| {
        let Some(found) = list.find_partition(&partition.topic, partition.partition as i32) else {
            return Ok(None);
        };
        found.error()?;
        Ok(match found.offset() {
            Offset::Offset(offset) => Some(Committed {
                offset,
                metadata: found.metadata().to_owned(),
            }),
            _ => None,
        })
    };
    of.iter().map(read).collect()
}

/// What a consumer's group says of its offsets: not before every transaction has ended that holds one of them.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    of: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, BrokerError> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // With read_committed, the broker refuses while an open transaction holds an offset, and librdkafka asks again.
        let found = consumer.committed_offsets(list_of(of)?, left);
        match found.and_then(|list| read_committed(&list, of)) {
            Ok(offsets) => return Ok(offsets),
            Err(error) => {
                let transient = error.rdkafka_error_code().is_some_and(is_transient);
                if !transient || left.is_zero() {
                    return Err(from_client(consumer.client(), "reading committed offsets", &error));
                }
                std::thread::sleep(Duration::from_millis(10).min(left));
            }
        }
    }
}
