//! Transactions, with librdkafka's known traps kept away from the worker.
//!
//! - After an error the outcome of a commit may be unknown, and librdkafka lacks what it takes to abort safely. So this
//!   never aborts: the caller drops the producer and makes a new one, whose initialisation has the coordinator finish or
//!   abort what was open.
//! - `send_offsets_to_transaction` may ignore its time-out. A thread per producer makes that call and the worker waits on a
//!   channel, so the worst is a thread that is left behind.
//! - Destroying a producer can wait for a broker that is away. That thread does it, too, since it holds the last reference.
//!
//! ```text
//!  init ──► Idle ──begin──► Open ──commit──► Idle
//!                             └──any error──► Failed (drop it)
//! ```
//!
//! Right after a commit the coordinator is still writing its markers, and answers the same id's next transaction with
//! CONCURRENT_TRANSACTIONS; librdkafka then waits a fixed 20 ms, which showed in one commit of five. So two ids take turns:
//! when one begins, its last markers were written long ago. That changes nothing for readers: markers may be written in
//! either order, but a partition's stable end stays below the older transaction until its own is there, and of two commits of
//! an offset the group keeps the one that was written later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::config::{KafkaSettings, TRANSACTION_TIMEOUT};
use super::doubt::{Doubts, Written};
use super::errors::from_client;
use super::group::offsets_list;
use super::producer::Sender;
use super::reports::Reports;
use crate::port::{BrokerError, Committed, Membership, Outgoing, TopicPartition, TransactionalProducer};

/// How long librdkafka gets for one attempt to initialise.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How much longer than the call's own time-out the worker waits for it.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Open,
    Failed,
}

/// A call for the other thread to make.
struct SendOffsets {
    offsets: TopicPartitionList,
    membership: Arc<ConsumerGroupMetadata>,
    timeout: Duration,
    answer: Channel<KafkaResult<()>>,
}

/// One transactional id.
struct Client {
    id: String,
    // Declared before `calls`: the thread's reference must be the last.
    sender: Sender,
    calls: Channel<SendOffsets>,
}

pub(super) struct KafkaTransactions {
    /// The id that the clients' are made from.
    id: String,
    clients: [Client; 2],
    /// Whose turn it is.
    turn: usize,
    phase: Phase,
    /// Of the transaction that is open.
    written: Written,
    doubts: Arc<Doubts>,
}

impl KafkaTransactions {
    pub fn init(settings: &KafkaSettings, doubts: &Arc<Doubts>, id: &str, timeout: Duration) -> Result<Self, BrokerError> {
        let until = Instant::now() + timeout;
        let other = format!("{id}-other");
        let clients = std::thread::scope(|scope| {
            let other = scope.spawn(|| Client::init(settings, &other, until));
            let first = Client::init(settings, id, until);
            let other = other.join().expect("it does not panic");
            Ok::<_, BrokerError>([first?, other?])
        })?;
        doubts.settle(settings, id, until)?;
        Ok(Self {
            id: id.to_owned(),
            clients,
            turn: 0,
            phase: Phase::Idle,
            written: Written::default(),
            doubts: doubts.clone(),
        })
    }

    fn client(&mut self) -> &mut Client {
        &mut self.clients[self.turn]
    }

    fn expect(&self, phase: Phase) -> Result<(), BrokerError> {
        if self.phase == phase {
            return Ok(());
        }
        Err(BrokerError::Fatal(match self.phase {
            Phase::Idle => format!("{}: no transaction is open", self.clients[self.turn].id),
            Phase::Open => format!("{}: a transaction is open already", self.clients[self.turn].id),
            Phase::Failed => format!("{}: an earlier step has failed", self.clients[self.turn].id),
        }))
    }

    fn failing<T>(&mut self, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        if result.is_err() {
            self.phase = Phase::Failed;
            self.doubts.add(&self.id, &mut self.written);
        }
        result
    }
}

impl Client {
    fn init(settings: &KafkaSettings, id: &str, until: Instant) -> Result<Self, BrokerError> {
        let sender = Sender::new(&settings.transactions(id))?;
        let calls = start_helper(sender.producer.clone())?;
        let client = Self {
            id: id.to_owned(),
            sender,
            calls,
        };
        client.initialise(until)?;
        Ok(client)
    }

    /// Fences earlier producers of this id. What they left open is finished first, for which librdkafka is asked again.
    fn initialise(&self, until: Instant) -> Result<(), BrokerError> {
        // Waits for the first connection: initialising without one, librdkafka looks for one again after half a second.
        let left = until.saturating_duration_since(Instant::now());
        self.sender.producer.client().fetch_cluster_id(left.min(ATTEMPT));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let result = self.sender.producer.init_transactions(left.min(ATTEMPT));
            self.sender.service();
            match result {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && left > ATTEMPT => continue,
                Err(error) => return Err(self.failed("initialising", &error)),
            }
        }
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> BrokerError {
        from_client(self.sender.producer.client(), &format!("{}: {doing}", self.id), error)
    }

    fn commit(
        &self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        // After that, the coordinator aborts it anyway.
        let until = Instant::now() + TRANSACTION_TIMEOUT;
        // The offsets go to other connections than the records, and at the same time.
        let answer = match offsets {
            [] => None,
            offsets => Some(self.send_offsets(offsets, membership, until)?),
        };
        let drained = self.sender.drain(until);
        if let Some(answer) = answer {
            // Offsets that are refused take the records with them; then what refused them says why.
            let until = if drained.is_ok() { until } else { Instant::now() };
            match self.await_offsets(&answer, until) {
                Err(BrokerError::Unavailable(_)) if drained.is_err() => {}
                answered => answered?,
            }
        }
        let highest = drained?;
        let left = until.saturating_duration_since(Instant::now());
        let committed = self.sender.producer.commit_transaction(left);
        committed.map_err(|error| self.failed("committing", &error))?;
        Ok(highest)
    }

    fn send_offsets(
        &self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        until: Instant,
    ) -> Result<Receiver<KafkaResult<()>>, BrokerError> {
        let Membership::Kafka {
            metadata: membership, ..
        } = membership
        else {
            return Err(BrokerError::Fatal(
                "offsets need a membership of a group of this broker".to_owned(),
            ));
        };
        let (answer, answered) = bounded(1);
        let call = SendOffsets {
            offsets: offsets_list(offsets)?,
            membership: membership.clone(),
            timeout: until.saturating_duration_since(Instant::now()),
            answer,
        };
        // The channel has room: the thread has answered every call before this one.
        match self.calls.try_send(call) {
            Ok(()) => Ok(answered),
            Err(_) => Err(BrokerError::Unavailable(format!(
                "{}: its helper thread is stuck or gone",
                self.id
            ))),
        }
    }

    fn await_offsets(&self, answer: &Receiver<KafkaResult<()>>, until: Instant) -> Result<(), BrokerError> {
        match answer.recv_deadline(until + GRACE) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed("adding the offsets", &error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!(
                    transactional_id = self.id,
                    "librdkafka hangs while it adds offsets; its producer is abandoned"
                );
                Err(BrokerError::Unavailable(format!(
                    "{}: adding the offsets took too long",
                    self.id
                )))
            }
        }
    }
}

impl TransactionalProducer for KafkaTransactions {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.expect(Phase::Idle)?;
        let client = self.client();
        let begun = client.sender.producer.begin_transaction();
        let begun = begun.map_err(|error| client.failed("beginning", &error));
        self.failing(begun)?;
        self.phase = Phase::Open;
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        self.expect(Phase::Open)?;
        self.written.note(&record);
        let sent = self.client().sender.send(record);
        self.failing(sent)
    }

    fn service(&mut self) -> Result<(), BrokerError> {
        let client = self.client();
        client.sender.service();
        let failure = client.sender.failure();
        self.failing(failure)
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.expect(Phase::Open)?;
        let committed = self.client().commit(offsets, membership);
        if committed.is_err() {
            self.written.note_offsets(offsets, membership);
        }
        self.phase = Phase::Idle;
        let highest = self.failing(committed)?;
        self.written.clear();
        self.turn = 1 - self.turn;
        Ok(highest)
    }
}

impl Drop for KafkaTransactions {
    fn drop(&mut self) {
        // Empty but for a transaction that is still open.
        self.doubts.add(&self.id, &mut self.written);
    }
}

/// Starts the thread that makes the calls that may hang, and ends the producer when the channel is closed.
fn start_helper(producer: Arc<BaseProducer<Reports>>) -> Result<Channel<SendOffsets>, BrokerError> {
    let (calls, queue): (Channel<SendOffsets>, Receiver<SendOffsets>) = bounded(1);
    let run = move || {
        for call in queue {
            let result = producer.send_offsets_to_transaction(&call.offsets, &call.membership, call.timeout);
            // The worker may have given up.
            let _ = call.answer.send(result);
        }
    };
    let spawned = std::thread::Builder::new().name("kafka-offsets".to_owned()).spawn(run);
    spawned
        .map(|_| calls)
        .map_err(|error| BrokerError::Fatal(format!("no thread for a producer: {error}")))
}
