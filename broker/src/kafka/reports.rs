//! What the client's delivery reports say of the records that were written.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::context::Watch;
use super::errors::{from_kafka, is_missing};
use crate::port::{BrokerError, TopicPartition};

/// What the delivery reports have told since they were last taken.
#[derive(Default)]
struct Delivered {
    failed: Option<BrokerError>,
    highest: Vec<(TopicPartition, i64)>,
    /// The place in `highest` of the latest report: the next is mostly for the same.
    last: usize,
}

impl Delivered {
    fn note(&mut self, topic: &str, partition: i32, offset: i64) {
        if offset < 0 {
            // A retry that the broker had already written is acknowledged without its offset.
            self.fail(BrokerError::Unavailable(format!(
                "{topic}-{partition}: acknowledged without an offset"
            )));
            return;
        }
        let is = |place: &TopicPartition| place.partition == partition.unsigned_abs() && &*place.topic == topic;
        if !self.highest.get(self.last).is_some_and(|(place, _)| is(place)) {
            self.last = self.highest.iter().position(|(place, _)| is(place)).unwrap_or_else(|| {
                self.highest
                    .push((TopicPartition::new(topic, partition.unsigned_abs()), offset));
                self.highest.len() - 1
            });
        }
        let highest = &mut self.highest[self.last].1;
        *highest = offset.max(*highest);
    }

    fn fail(&mut self, error: BrokerError) {
        self.failed.get_or_insert(error);
    }
}

/// The context of a producer: gathers what the reports tell.
#[derive(Default)]
pub(super) struct Reports {
    watch: Watch,
    /// Whoever writes in transactions goes by the offsets.
    needs_offsets: bool,
    delivered: Mutex<Delivered>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.note(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl Reports {
    /// Of a producer that writes in transactions, or of another one.
    pub fn of(writes_transactions: bool) -> Self {
        Self {
            needs_offsets: writes_transactions,
            ..Self::default()
        }
    }

    /// Records of a partition were written, the last of them at this offset.
    pub fn written(&self, topic: &str, partition: i32, offset: i64) {
        if offset < 0 && !self.needs_offsets {
            return;
        }
        self.delivered.lock().note(topic, partition, offset);
    }

    /// Takes the highest offset that was written in each partition.
    pub fn take_highest(&self) -> Vec<(TopicPartition, i64)> {
        std::mem::take(&mut *self.delivered.lock()).highest
    }

    /// Takes why the first record that could not be written was refused, if one was.
    pub fn take_failure(&self) -> Option<BrokerError> {
        self.delivered.lock().failed.take()
    }

    /// A record could not be written.
    pub fn refused(&self, topic: &str, code: Code) {
        self.delivered
            .lock()
            .fail(refused(topic, &KafkaError::MessageProduction(code)));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    /// Only for what a producer that is dropped had not yet told of: [`super::topics::Topics::serve`] tells of the rest.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Why a record could not be written.
pub(super) fn refused(topic: &str, error: &KafkaError) -> BrokerError {
    match error.rdkafka_error_code() {
        Some(code) if is_missing(code) => BrokerError::Topic {
            topic: topic.to_owned(),
            reason: error.to_string(),
        },
        // The transaction can only be aborted, for something that is of no record.
        Some(Code::State) => BrokerError::Unavailable(format!("writing to {topic}: {error}")),
        _ => from_kafka(&format!("writing to {topic}"), error),
    }
}
