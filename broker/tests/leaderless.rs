//! A broker that comes back names leaders of -1 at first: none.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(unsafe_code, reason = "the mock cluster's answers can be set through its C interface only")]

// The mended librdkafka is linked with it.
use broker as _;

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const TOPIC: &str = "t";
const PATIENCE: Duration = Duration::from_secs(30);
const LEADERLESS: usize = 20;

/// What the client logs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl ClientContext for Lines {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.lock().push(format!("{facility}: {text}"));
    }
}

impl ConsumerContext for Lines {}

/// Memory that nobody has set is 0xaa from here on, instead of mostly zero.
fn fill_unset_memory() {
    // SAFETY: a setting of the allocator, which takes any value.
    assert_eq!(unsafe { libc::mallopt(libc::M_PERTURB, 0x55) }, 1);
}

/// The next answers name this leader of partition 0, before the true one.
fn name_leader(producer: &BaseProducer, leader: i32) {
    let topic = CString::new(TOPIC).unwrap();
    // SAFETY: the client is alive and has a mock cluster of its own.
    let error = unsafe {
        let cluster = rdkafka_sys::rd_kafka_handle_mock_cluster(producer.client().native_ptr());
        rdkafka_sys::rd_kafka_mock_partition_push_leader_response(cluster, topic.as_ptr(), 0, leader, 1)
    };
    assert_eq!(error, rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
}

fn write(producer: &BaseProducer, text: &str) {
    producer
        .send(BaseRecord::<(), _>::to(TOPIC).payload(text).partition(0))
        .unwrap();
    producer.flush(PATIENCE).unwrap();
}

fn read(consumer: &BaseConsumer<Lines>) -> String {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            return String::from_utf8_lossy(rdkafka::Message::payload(&message).unwrap()).into_owned();
        }
    }
    panic!("nothing was read within {PATIENCE:?}");
}

#[test]
fn a_leader_of_minus_one_is_no_change_of_leader() {
    fill_unset_memory();
    let producer: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "2").create().unwrap();
    let mock = producer.client().mock_cluster().unwrap();
    mock.create_topic(TOPIC, 1, 2).unwrap();
    mock.partition_leader(TOPIC, 0, Some(1)).unwrap();
    write(&producer, "before");

    let lines = Lines::default();
    let consumer: BaseConsumer<Lines> = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("group.id", "g")
        .set_log_level(RDKafkaLogLevel::Warning)
        .create_with_context(lines.clone())
        .unwrap();
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&places).unwrap();
    assert_eq!(read(&consumer), "before");

    for _ in 0..LEADERLESS {
        name_leader(&producer, -1);
    }
    mock.partition_leader(TOPIC, 0, Some(2)).unwrap();
    write(&producer, "after");
    assert_eq!(read(&consumer), "after");
    let lines = lines.0.lock();
    let updates: Vec<_> = lines.iter().filter(|line| line.starts_with("METADATAUPDATE")).collect();
    assert!(updates.is_empty(), "partitions and leaders that are nobody's: {updates:#?}");
}
