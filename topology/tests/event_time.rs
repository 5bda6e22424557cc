//! Time is the events' own: what is told of it comes from the source's event time, never from when the log got a record.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

/// Where the driver's clock stands.
const NOW_MS: i64 = 1_700_000_000_000;
const EVENTS: Topic<i64, i64> = Topic::new("events");
const MOVED: Topic<i64, i64> = Topic::new("times-moved-repartition");
const SEEN: Topic<i64, i64> = Topic::new("seen");
const NEWEST: KeyValue<i64, i64> = KeyValue::new("newest");

/// Keeps the value, and forwards it.
struct Keep;

impl Processor for Keep {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        cx.stores.put(record.key, record.value);
        cx.out.forward(record.key, record.value);
        Ok(())
    }
}

/// The mean of a topic's end-to-end latencies, in milliseconds.
fn latency_ms(driver: &TestDriver, topic: &str) -> f64 {
    let families = driver.metrics().gather();
    let family = families
        .iter()
        .find(|f| f.name() == "test_end_to_end_latency_seconds")
        .unwrap();
    let mut of_topic = family
        .get_metric()
        .iter()
        .filter(|m| m.get_label().iter().any(|l| l.value() == topic));
    let histogram = of_topic.next().unwrap().get_histogram();
    histogram.get_sample_sum() / histogram.get_sample_count() as f64 * 1e3
}

#[test]
fn stream_time_latency_and_output_follow_the_event() {
    let builder = Builder::new("times");
    let events = builder.stream_at(EVENTS, |_, event_ms, _| *event_ms);
    events
        .select_key(|key, _| key + 1)
        .repartition(MOVED)
        .process("keep", NEWEST, || Keep)
        .to(SEEN);
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let event_ms = NOW_MS - 7_000;
    let log_ms = NOW_MS - 1_000;
    driver.send(EVENTS, log_ms, &1, Some(&event_ms));

    let answer = driver.queries().get(NEWEST, &2).unwrap();
    assert_eq!(answer.value, Some(event_ms));
    assert_eq!(answer.position.stream_time_ms, event_ms);
    let seen = driver.drain(SEEN);
    assert_eq!(seen.iter().map(|record| record.timestamp_ms).collect::<Vec<_>>(), [event_ms]);
    for topic in [EVENTS.name(), MOVED.name()] {
        let latency_ms = latency_ms(&driver, topic);
        assert!((latency_ms - 7_000.0).abs() < 1.0, "{topic}: {latency_ms} ms");
    }
}
