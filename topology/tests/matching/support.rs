//! Orders of several topics, added up by key.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicSpec};
use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::{Context, EngineError, EngineSettings, ProcessError, Processor, Record, Topic, TopicPattern, Topology};

pub const ORDERS: TopicPattern<i64, i64> = TopicPattern::new("orders", "orders-[a-z]+");
pub const SEEN: Topic<String, i64> = Topic::new("seen");
pub const TOTAL: KeyValue<i64, i64> = KeyValue::new("total");

pub fn orders(of: &str) -> Topic<i64, i64> {
    Topic::named(&format!("orders-{of}"))
}

/// Adds up by key, and tells where each record came from.
pub struct Sum;

impl Processor for Sum {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = String;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let total = cx.stores.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.put(record.key, total);
        let place = format!("{}-{}@{}", cx.at.topic, cx.at.partition, cx.at.offset);
        cx.out.forward(place, record.value);
        Ok(())
    }
}

/// The records of these topics, added up.
pub fn sums(pattern: TopicPattern<i64, i64>) -> Topology {
    let b = Builder::new("sums");
    b.stream_matching(pattern).process("sum", TOTAL, || Sum).to(SEEN);
    b.build().unwrap()
}

/// Starts where these topics are there already, with two partitions each; what was sent to them is there, too.
pub fn start_beside(
    topology: Topology,
    settings: EngineSettings,
    topics: &[(&str, u32)],
    before: impl FnOnce(Arc<dyn Broker>),
) -> Result<TestDriver, EngineError> {
    let specs = topics.iter().map(|(topic, partitions)| TopicSpec {
        name: (*topic).to_owned(),
        partitions: *partitions,
        accept_existing: true,
        cleanup: CleanupPolicy::Delete(None),
        settings: broker::TopicSettings::default(),
    });
    let specs: Vec<_> = specs.collect();
    TestDriver::through(topology, settings, Arc::new(MemoryBackends::default()), |log| {
        let log: Arc<dyn Broker> = Arc::new(log);
        log.ensure_topics(&specs, Duration::ZERO).unwrap();
        before(log.clone());
        log
    })
}

pub fn start(topology: Topology, topics: &[(&str, u32)]) -> TestDriver {
    start_beside(topology, EngineSettings::default(), topics, |_| {}).unwrap()
}

/// The topics that are read, with the partitions of each.
pub fn read(driver: &mut TestDriver) -> Vec<(String, u32)> {
    // Workers tell twice a second.
    driver.advance_wall_clock(Duration::from_secs(1));
    let lag = driver.queries().lag().into_iter();
    lag.map(|input| (input.topic, input.partition)).collect()
}

/// The names of those topics.
pub fn topics_read(driver: &mut TestDriver) -> Vec<String> {
    let mut topics: Vec<String> = read(driver).into_iter().map(|(topic, _)| topic).collect();
    topics.dedup();
    topics
}

/// A metric's values with their labels.
pub fn metric(driver: &TestDriver, name: &str) -> Vec<(String, f64)> {
    let families = driver.metrics().gather();
    let family = families.iter().filter(|family| family.name() == name);
    let values = family.flat_map(|family| family.get_metric()).map(|metric| {
        let labels: Vec<&str> = metric.get_label().iter().map(|label| label.value()).collect();
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        (labels.join(","), value)
    });
    values.collect()
}

pub fn reasons(driver: &TestDriver) -> Vec<String> {
    driver.queries().readiness().reasons
}

/// Looks for topics, and processes.
pub fn look(driver: &mut TestDriver) {
    driver.watch_topics().unwrap();
    driver.settle();
}

/// Looks as often as it takes until a topic that is gone is let go.
pub fn look_twice(driver: &mut TestDriver) {
    driver.watch_topics().unwrap();
    driver.watch_topics().unwrap();
    driver.settle();
}
