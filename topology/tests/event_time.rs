//! Time is the events' own: what is told of it comes from the source's event time, never from when the log got a record.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::sync::Arc;

use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::{Codec, RegistryError, Topic, Wire, WireError};

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
    let events = builder.stream_at(EVENTS, |_, event_ms, _| Millis(*event_ms));
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
    assert_eq!(answer.position.stream_time_ms, Millis(event_ms));
    let seen = driver.drain(SEEN);
    assert_eq!(
        seen.iter().map(|record| record.timestamp_ms.0).collect::<Vec<_>>(),
        [event_ms]
    );
    for topic in [EVENTS.name(), MOVED.name()] {
        let latency_ms = latency_ms(&driver, topic);
        assert!((latency_ms - 7_000.0).abs() < 1.0, "{topic}: {latency_ms} ms");
    }
}

const LEFT: Topic<i64, At> = Topic::new("left");
const RIGHT: Topic<i64, At> = Topic::new("right");

/// An event's value: its time. Some of them are hard to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(i64);

const BROKEN: At = At(-1);
const PANICS: At = At(-2);
const AWAY: At = At(-3);

thread_local! {
    /// How many values were decoded.
    static DECODED: Cell<usize> = const { Cell::new(0) };
    /// Whether the registry has gone, for `AWAY`.
    static IS_AWAY: Cell<bool> = const { Cell::new(false) };
}

impl Wire for At {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.0.encode(codec, out)
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        DECODED.set(DECODED.get() + 1);
        match Self(i64::decode(bytes, codec)?) {
            BROKEN => Err(WireError::Malformed("broken".to_owned())),
            AWAY if IS_AWAY.get() => Err(RegistryError::Unavailable("away".to_owned()).into()),
            at => Ok(at),
        }
    }
}

/// Two inputs of one task, whose records go on in the order of their processing.
fn merged() -> TestDriver {
    let builder = Builder::new("times");
    let extracted = |_: &i64, at: &At, _: Millis| match *at {
        PANICS => panic!("an injected panic"),
        AWAY => Millis(150),
        At(at_ms) => Millis(at_ms),
    };
    let left = builder.stream_at(LEFT, extracted);
    let right = builder.stream_at(RIGHT, extracted);
    left.merge(&right).map_values(|_, at| at.0).to(SEEN);
    let settings = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap()
}

fn queue(driver: &mut TestDriver, left: &[At], right: &[At]) {
    queue_from(1, driver, left, right);
}

/// Queues the left events, then the right ones, at times of the log that rise from this one.
fn queue_from(log_ms: i64, driver: &mut TestDriver, left: &[At], right: &[At]) {
    let left = left.iter().map(|at| (LEFT, at));
    let all = left.chain(right.iter().map(|at| (RIGHT, at)));
    for (log_ms, (topic, at)) in (log_ms..).zip(all) {
        driver.queue(topic, log_ms, &0, Some(at));
    }
}

fn seen(driver: &mut TestDriver) -> Vec<i64> {
    let seen = driver.drain(SEEN).into_iter();
    seen.filter_map(|record| record.value).collect()
}

#[test]
fn the_extracted_time_orders_a_tasks_inputs() {
    let mut driver = merged();
    DECODED.set(0);
    queue(&mut driver, &[At(200), At(400), At(350)], &[At(100), At(300), At(500)]);
    driver.settle();
    assert_eq!(seen(&mut driver), [100, 200, 300, 400, 350, 500]);
    assert_eq!(DECODED.get(), 6, "each value is decoded once");
}

#[test]
fn what_has_no_event_time_comes_behind_what_came_before_it() {
    let mut driver = merged();
    // Whatever the log's time: in a backlog, that of the records lies long before.
    queue_from(NOW_MS, &mut driver, &[At(200), BROKEN, At(250)], &[At(100), PANICS, At(300)]);
    driver.settle();
    assert_eq!(seen(&mut driver), [100, 200, 250, 300]);
    let letters = driver.drain_bytes("times-dead-letters");
    let letters: Vec<i64> = letters.iter().map(|letter| letter.timestamp_ms - NOW_MS).collect();
    assert_eq!(
        letters,
        [4, 1],
        "the fifth of the log's records stood behind the first to come, the second behind the next"
    );
    let mut driver = merged();
    queue_from(NOW_MS, &mut driver, &[At(200)], &[BROKEN, At(100)]);
    driver.settle();
    assert_eq!(seen(&mut driver), [100, 200]);
}

#[test]
fn what_has_no_event_time_moves_no_time_on() {
    let builder = Builder::new("times");
    let events = builder.stream_at(EVENTS, |_, event_ms, _| Millis(*event_ms));
    events.process("keep", NEWEST, || Keep).to(SEEN);
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let stream_time = |driver: &TestDriver| driver.queries().get(NEWEST, &1).unwrap().position.stream_time_ms;
    driver.send(EVENTS, NOW_MS, &1, Some(&5_000));
    driver.send(EVENTS, NOW_MS, &1, None);
    driver.send_bytes(EVENTS.name(), NOW_MS, Some(&1_i64.to_be_bytes()), Some(b"no number"));
    driver.send(EVENTS, NOW_MS, &1, Some(&4_000));
    assert_eq!(stream_time(&driver), Millis(5_000));
    // Where the log's time is the event's, it is that of a tombstone as well.
    let builder = Builder::new("times");
    builder.stream(EVENTS).process("keep", NEWEST, || Keep).to(SEEN);
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    driver.send(EVENTS, 5_000, &1, Some(&1));
    driver.send(EVENTS, 6_000, &1, None);
    driver.send(EVENTS, 4_000, &1, Some(&1));
    assert_eq!(stream_time(&driver), Millis(6_000));
}

#[test]
fn a_record_that_cannot_be_read_now_makes_the_others_wait() {
    let mut driver = merged();
    queue(&mut driver, &[AWAY, At(400)], &[At(100), At(300)]);
    IS_AWAY.set(true);
    driver.turns(0, 20);
    assert_eq!(seen(&mut driver), Vec::<i64>::new(), "its time may be the lowest");
    let reasons = driver.queries().readiness().reasons.join("; ");
    assert!(reasons.contains("away"), "{reasons}");
    IS_AWAY.set(false);
    driver.settle();
    assert_eq!(seen(&mut driver), [100, AWAY.0, 300, 400]);
}
