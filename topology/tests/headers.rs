//! A record's headers go with all that comes of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use broker::Outgoing;
use bytes::Bytes;
use topology::dsl::Builder;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;
use topology::*;
use wire::{KEY_SCHEMA_HEADER, Topic, VALUE_SCHEMA_HEADER};

const INPUT: Topic<i64, i64> = Topic::new("input");
const RATES: Topic<i64, i64> = Topic::new("rates");
const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
const OUT: Topic<i64, i64> = Topic::new("out");

/// Negative values are records that fail.
const FAILS: i64 = -1;

type Part = (&'static str, Option<&'static [u8]>);
const TRACE: Part = ("trace", Some(b"17"));
const NONE: Part = ("none", None);
const MADE: Part = ("made", Some(b"here"));

fn owned(parts: &[Part]) -> Headers {
    let owned = |(name, value): &Part| ((*name).to_owned(), value.map(Bytes::from_static));
    parts.iter().map(owned).collect()
}

fn queue(driver: &mut TestDriver, topic: &str, at_ms: i64, value: i64, headers: &[Part]) {
    driver.queue_record(Outgoing {
        topic,
        partition: None,
        key: Some(&7_i64.to_be_bytes()),
        value: Some(&value.to_be_bytes()),
        timestamp_ms: at_ms,
        headers,
    });
}

fn start(builder: Builder, repartition_in_memory: bool) -> TestDriver {
    let settings = EngineSettings {
        partitions: 1,
        repartition_in_memory,
        ..EngineSettings::default()
    };
    TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap()
}

/// What came to a topic: values and headers.
fn came(driver: &mut TestDriver, topic: &str) -> Vec<(i64, Headers)> {
    let all = driver.drain_bytes(topic).into_iter();
    let value = |bytes: Option<Bytes>| i64::from_be_bytes(bytes.unwrap()[..].try_into().unwrap());
    all.map(|message| (value(message.value), message.headers)).collect()
}

/// Forwards a record once as it is, and, where it has headers, once with others; the next step says how many it sees.
struct Replacing;

impl Processor for Replacing {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = ();

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        if record.value == FAILS {
            return Err(ProcessError::Record("it fails".to_owned()));
        }
        cx.out.forward(record.key, record.value);
        if !cx.headers.is_empty() {
            let mut headers = cx.headers.clone();
            headers.extend(owned(&[MADE]));
            let again = Record::new(record.key, record.value + 100, record.timestamp_ms);
            cx.out.forward_with_headers(again, headers);
        }
        cx.out.forward(record.key, record.value + 200);
        Ok(())
    }
}

#[test]
fn they_go_from_topic_to_topic_without_those_of_the_bytes() {
    let builder = Builder::new("headers");
    builder.stream(INPUT).map_values(|_, value| value + 1).to(OUT);
    let mut driver = start(builder, true);
    let of_bytes = |name| (name, Some(&b"\0\0\0\0\x01"[..]));
    let all = [of_bytes(KEY_SCHEMA_HEADER), TRACE, of_bytes(VALUE_SCHEMA_HEADER), NONE, TRACE];
    queue(&mut driver, "input", 1, 1, &all);
    queue(&mut driver, "input", 2, 2, &[]);
    driver.settle();
    let expected = [(2, owned(&[TRACE, NONE, TRACE])), (3, Headers::new())];
    assert_eq!(came(&mut driver, "out"), expected);
}

#[test]
fn they_go_through_repartition_topics_and_memory_and_a_processor_may_replace_them() {
    for in_memory in [true, false] {
        let builder = Builder::new("headers");
        let moved = builder.stream(INPUT).select_key(|key, _| key + 1).repartition(BY_KEY);
        moved.process("replacing", (), || Replacing).to(OUT);
        let mut driver = start(builder, in_memory);
        for (value, headers) in [
            (1, &[][..]),
            (2, &[TRACE, NONE]),
            (3, &[]),
            (FAILS, &[NONE, TRACE]),
            (4, &[TRACE]),
        ] {
            queue(&mut driver, "input", value, value, headers);
        }
        driver.settle();
        let none = Headers::new();
        let (both, both_made) = (owned(&[TRACE, NONE]), owned(&[TRACE, NONE, MADE]));
        let (one, one_made) = (owned(&[TRACE]), owned(&[TRACE, MADE]));
        let expected = [
            (1, none.clone()),
            (201, none.clone()),
            (2, both.clone()),
            (102, both_made),
            (202, both),
            (3, none.clone()),
            (203, none),
            (4, one.clone()),
            (104, one_made),
            (204, one),
        ];
        assert_eq!(came(&mut driver, "out"), expected, "in memory: {in_memory}");
        let letters = came(&mut driver, "headers-dead-letters");
        assert_eq!((letters.len(), letters[0].0), (1, FAILS));
        assert_eq!(letters[0].1[..2], owned(&[NONE, TRACE]), "its own come first");
    }
}

#[test]
fn what_two_records_make_has_those_of_the_later_one() {
    let builder = Builder::new("headers");
    let rates = builder.table(RATES, "rates");
    let sums = builder.stream(INPUT).join(&rates, |_, value, rate| value * rate);
    sums.group_by_key()
        .reduce("sums", |sum, value| sum + value)
        .to_stream()
        .to(OUT);
    let mut driver = start(builder, true);
    queue(&mut driver, "rates", 1, 10, &[NONE]);
    queue(&mut driver, "input", 2, 1, &[TRACE]);
    queue(&mut driver, "input", 3, 2, &[MADE]);
    driver.settle();
    assert_eq!(came(&mut driver, "out"), [(10, owned(&[TRACE])), (30, owned(&[MADE]))]);
}
