//! Proofs of membership: a thread beside each member that asks the coordinator for them, whatever the member's owner does.
//!
//! librdkafka sends heartbeats by itself, and does not report when one was answered. What a member can ask for is a commit of an offset:
//! the coordinator checks member and generation, and begins the session anew, as for a heartbeat. So this commits offset 0 of
//! one of the member's partitions, now and then. It is for groups whose topics hold no records, where that means nothing.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::errors::from_kafka;
use super::native::Coordinator;
use crate::lease::Lease;
use crate::port::{BrokerError, TopicPartition};

/// Between two looks whether there is something to prove yet, and at whether this is over.
const LOOK: Duration = Duration::from_millis(20);

/// A partition that the member holds; nothing while it holds none.
pub(super) type Held = Arc<Mutex<Option<TopicPartition>>>;

/// The thread. It ends when this is dropped, which must be before the consumer is.
pub(super) struct Proofs {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proofs {
    /// Begins to keep the lease.
    ///
    /// # Safety
    ///
    /// The consumer must live until this is dropped.
    #[allow(unsafe_code)]
    pub unsafe fn of<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        lease: Arc<Lease>,
        held: Held,
        every: Duration,
    ) -> Result<Self, BrokerError> {
        // SAFETY: the caller sees to it that the consumer lives longer than the thread, which owns this.
        let coordinator = unsafe { Coordinator::of(consumer.client().native_ptr()) };
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("kafka-lease".to_owned())
            .spawn(move || keep(&coordinator, &lease, &held, every, &stopped))
            .map_err(|error| BrokerError::Fatal(format!("no thread to keep a lease on: {error}")))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Proofs {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps a lease had panicked");
        }
    }
}

fn keep(coordinator: &Coordinator, lease: &Lease, held: &Held, every: Duration, stopped: &Receiver<()>) {
    let is_over = |wait| !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
    loop {
        let place = held.lock().clone();
        let asked_at = lease.now();
        let asked = match place {
            // Who is no member would be believed all the same.
            Some(place) if coordinator.generation().is_some() => ask(coordinator, &place),
            _ => Ok(false),
        };
        let outcome = match asked {
            Ok(false) => None,
            Ok(true) => loop {
                if let Some(answer) = coordinator.answer(LOOK) {
                    break Some(answer.map_err(|error| from_kafka("the coordinator of the group", &error)));
                }
                if is_over(Duration::ZERO) {
                    return;
                }
            },
            Err(error) => Some(Err(error)),
        };
        let wait = match outcome {
            Some(Ok(())) => {
                lease.renew(asked_at);
                every
            }
            Some(Err(error)) => {
                lease.refused(error.to_string());
                every.min(Duration::from_millis(100))
            }
            None => LOOK,
        };
        if is_over(wait) {
            return;
        }
    }
}

fn ask(coordinator: &Coordinator, place: &TopicPartition) -> Result<bool, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&place.topic, place.partition as i32, Offset::Offset(0))
        .and_then(|()| coordinator.commit(&list))
        .map_err(|error| from_kafka("asking the coordinator of the group", &error))?;
    Ok(true)
}
