//! Writing: what the transactional producer and the plain one share, and the plain one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::config::{KafkaSettings, PATIENCE};
use super::errors::{ended, from_kafka};
use super::reaper::reap;
use super::reports::{Reports, refused};
use super::topics::Topics;
use crate::port::{BrokerError, Outgoing, Producer, TopicPartition};

/// One wait for delivery reports while the queue is full.
const STEP: Duration = Duration::from_millis(1);

/// A producer and the calls that both kinds need. Shared with the thread that ends it, hence `Arc`.
pub(super) struct Sender {
    // Declared before `producer`: its handles must go first.
    topics: Topics,
    pub producer: Arc<BaseProducer<Reports>>,
}

impl Sender {
    pub fn new(config: &ClientConfig) -> Result<Self, BrokerError> {
        let producer: BaseProducer<Reports> = config
            .create_with_context(Reports::of(config.get("transactional.id").is_some()))
            .map_err(|error| from_kafka("making a producer", &error))?;
        // SAFETY: the producer is dropped after the topics, and lives on the heap of librdkafka.
        #[allow(unsafe_code)]
        let topics = unsafe { Topics::of(producer.client().native_ptr()) };
        Ok(Self {
            topics,
            producer: Arc::new(producer),
        })
    }

    /// Queues a record; while the queue is full, waits for what is in it to be written.
    pub fn send(&mut self, outgoing: Outgoing<'_>) -> Result<(), BrokerError> {
        let mut started = None;
        loop {
            let sent = if outgoing.headers.is_empty() {
                self.topics.produce(&outgoing)
            } else {
                self.producer.send(record_of(&outgoing)).map_err(|(error, _)| error)
            };
            let Err(error) = sent else { return Ok(()) };
            if error.rdkafka_error_code() != Some(Code::QueueFull) {
                // Why an earlier record was refused may not have been heard yet; and then this one only is out of place.
                self.service();
                self.failure()?;
                return Err(refused(outgoing.topic, &error));
            }
            if started.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(BrokerError::Unavailable(format!("{}: the queue stayed full", outgoing.topic)));
            }
            self.topics.serve(STEP, self.producer.context());
        }
    }

    /// Serves what reports there are.
    pub fn service(&self) {
        let context = self.producer.context();
        while self.topics.serve(Duration::ZERO, context) {}
    }

    /// Waits until all that was sent is acknowledged, and returns the highest offset in each partition.
    pub fn drain(&self, until: Instant) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        loop {
            self.service();
            self.failure()?;
            if self.producer.in_flight_count() == 0 {
                break;
            }
            self.topics.hurry();
            if Instant::now() > until {
                let count = self.producer.in_flight_count();
                return Err(BrokerError::Unavailable(format!(
                    "{count} records were not acknowledged in time"
                )));
            }
        }
        Ok(self.producer.context().take_highest())
    }

    /// What has gone wrong so far: the client itself, which takes its records with it, or the first record that could not
    /// be written.
    pub fn failure(&self) -> Result<(), BrokerError> {
        let failure = ended(self.producer.client(), "writing").or_else(|| self.producer.context().take_failure());
        failure.map_or(Ok(()), Err)
    }
}

fn record_of<'a>(outgoing: &Outgoing<'a>) -> BaseRecord<'a, [u8], [u8], ()> {
    let mut record = BaseRecord::to(outgoing.topic).timestamp(outgoing.timestamp_ms);
    record.key = outgoing.key;
    record.payload = outgoing.value;
    record.partition = outgoing.partition.map(|partition| partition as i32);
    let empty = OwnedHeaders::new_with_capacity(outgoing.headers.len());
    let add = |headers: OwnedHeaders, &(key, value): &(&str, Option<&[u8]>)| headers.insert(Header { key, value });
    record.headers = Some(outgoing.headers.iter().fold(empty, add));
    record
}

/// Writes without transactions.
pub(super) struct KafkaProducer {
    sender: Option<Sender>,
}

impl KafkaProducer {
    pub fn new(settings: &KafkaSettings, client_id: &str) -> Result<Self, BrokerError> {
        Ok(Self {
            sender: Some(Sender::new(&settings.producer(client_id))?),
        })
    }
}

impl Producer for KafkaProducer {
    fn send_all(&mut self, records: &[Outgoing<'_>]) -> Result<(), BrokerError> {
        let sender = self.sender.as_mut().expect("only a drop takes the sender");
        for record in records {
            sender.send(*record)?;
        }
        sender.drain(Instant::now() + PATIENCE).map(drop)
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            reap(sender, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;

    use super::super::config::KafkaSettings;
    use super::super::native::end;
    use super::*;

    #[test]
    fn a_record_for_a_producer_that_has_ended_says_what_ended_it() {
        let settings = KafkaSettings {
            bootstrap: "127.0.0.1:1".to_owned(),
            ..KafkaSettings::default()
        };
        let mut sender = Sender::new(&settings.transactions("p")).unwrap();
        end(
            sender.producer.client(),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__FENCED,
            c"a newer producer",
        );
        for headers in [&[][..], &[("h", None)]] {
            let sent = sender.send(Outgoing {
                topic: "t",
                partition: Some(0),
                timestamp_ms: 0,
                key: None,
                value: None,
                headers,
            });
            assert!(
                matches!(&sent, Err(BrokerError::Fenced(text)) if text.contains("a newer producer")),
                "{sent:?}"
            );
        }
    }
}
