//! How sources read what others wrote: keys that are null, keys in other bytes, values that say whose they are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicPartition, TopicSpec};
use testkit::broker::{Call, Faults, FaultyBroker};
use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::{Client, TestDriver};
use topology::{Context, EngineSettings, Millis, OffsetReset, OnFault, ProcessError, Processor, Record, Topology};
use wire::{Codec, Topic, Wire, WireError};

const EVENTS: Topic<i64, String> = Topic::new("events");
const SEEN: Topic<i64, String> = Topic::new("seen");
const DEAD: Topic<String, String> = Topic::new("sources-dead-letters");

/// `7:text` is a text of key 7; `:text` says nothing of its key.
fn key_of(own: Option<&i64>, value: &String) -> Result<i64, String> {
    match value.split_once(':').and_then(|(key, _)| key.parse().ok()) {
        Some(key) => Ok(key),
        None => own.copied().ok_or_else(|| format!("{value:?} has no key")),
    }
}

fn by_value() -> TestDriver {
    let builder = Builder::new("sources");
    builder
        .stream_by(EVENTS, key_of, |key, _, own_ms| Millis(own_ms.0 + key))
        .rekeyed()
        .to(SEEN);
    TestDriver::new(builder.build().unwrap()).unwrap()
}

fn seen(driver: &mut TestDriver) -> Vec<(i64, String, i64)> {
    let records = driver.drain(SEEN).into_iter();
    let mut seen: Vec<_> = records.map(|r| (r.key, r.value.unwrap(), r.timestamp_ms.0)).collect();
    seen.sort();
    seen
}

fn reasons(driver: &mut TestDriver) -> Vec<String> {
    let letters = driver.drain_bytes(DEAD.name()).into_iter();
    let reason = |message: broker::Message| {
        let header = message.headers.iter().find(|(name, _)| name == "__streams.errors.message");
        String::from_utf8(header.unwrap().1.clone().unwrap().to_vec()).unwrap()
    };
    letters.map(reason).collect()
}

#[test]
fn the_value_says_whose_it_is_and_the_key_is_the_fall_back() {
    let mut driver = by_value();
    let (own, junk) = (3_i64.to_be_bytes(), b"junk");
    driver.send_bytes("events", 1_000, None, Some(b"7:null key"));
    driver.send_bytes("events", 1_000, Some(junk), Some(b"8:other bytes"));
    driver.send_bytes("events", 1_000, Some(&own), Some(b"9:another key"));
    driver.send_bytes("events", 1_000, Some(&own), Some(b":its own key"));
    assert_eq!(
        seen(&mut driver),
        [
            (3, ":its own key".to_owned(), 1_003),
            (7, "7:null key".to_owned(), 1_007),
            (8, "8:other bytes".to_owned(), 1_008),
            (9, "9:another key".to_owned(), 1_009),
        ]
    );
    assert_eq!(reasons(&mut driver), Vec::<String>::new());
}

#[test]
fn a_record_without_any_key_is_a_dead_letter_and_the_next_goes_on() {
    let mut driver = by_value();
    driver.send_bytes("events", 1_000, None, Some(b":nobody's"));
    driver.send_bytes("events", 1_000, Some(b"junk"), Some(b":nobody's"));
    // A tombstone says nothing, whatever its key.
    driver.send_bytes("events", 1_000, None, None);
    driver.send_bytes("events", 1_000, Some(b"junk"), None);
    driver.send_bytes("events", 1_000, None, Some(b"1:next"));
    assert_eq!(seen(&mut driver), [(1, "1:next".to_owned(), 1_001)]);
    assert_eq!(reasons(&mut driver), [r#"":nobody's" has no key"#; 2]);
}

#[test]
fn elsewhere_a_null_key_and_a_poison_key_stay_dead_letters() {
    let builder = Builder::new("sources");
    builder.stream(EVENTS).to(SEEN);
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    driver.send_bytes("events", 1_000, None, Some(b"a"));
    driver.send_bytes("events", 1_000, Some(b"junk"), Some(b"b"));
    driver.send_bytes("events", 1_000, Some(&5_i64.to_be_bytes()), Some(&[0xff]));
    driver.send(EVENTS, 1_000, &5, Some(&"c".to_owned()));
    assert_eq!(seen(&mut driver), [(5, "c".to_owned(), 1_000)]);
    let reasons = reasons(&mut driver);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.iter().any(|r| r == "the record has no key"), "{reasons:?}");
    assert!(
        reasons.iter().any(|r| r == "malformed: a key has 4 bytes, not 8"),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|r| r.contains("utf-8")), "{reasons:?}");
}

/// Counts dead letters under the key 0, and forwards what it counted.
struct Tally;

impl Processor for Tally {
    type KeyIn = i64;
    type In = String;
    type KeyOut = i64;
    type Out = String;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, String>) -> Result<(), ProcessError> {
        if record.value == "at fault" {
            cx.stores.put(7, 7);
            return Err(ProcessError::Record("it is at fault".to_owned()));
        }
        Ok(())
    }

    fn dead_letter(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let letters = cx.stores.get(&0)?.unwrap_or(0) + 1;
        cx.stores.put(0, letters);
        let bytes = cx.at.value.as_ref().map_or(0, |bytes| bytes.len());
        cx.out.forward(letters, format!("{bytes} bytes"));
        Ok(())
    }
}

const TALLY: KeyValue<i64, i64> = KeyValue::new("tally");

#[test]
fn a_processor_is_told_of_dead_letters_on_their_way_to_it() {
    let builder = Builder::new("sources");
    let counted = builder
        .stream(EVENTS)
        .map_values(|_, text| text.clone())
        .process("tally", TALLY, || Tally);
    counted.to(SEEN);
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let key = 4_i64.to_be_bytes();
    driver.send_bytes("events", 1_000, Some(b"junk"), Some(b"not for it"));
    driver.send_bytes("events", 1_000, Some(&key), Some(&[0xff]));
    driver.send(EVENTS, 1_000, &5, Some(&"fine".to_owned()));
    driver.send(EVENTS, 1_000, &6, Some(&"at fault".to_owned()));
    assert_eq!(reasons(&mut driver).len(), 3);
    let told = |driver: &mut TestDriver| -> Vec<String> { seen(driver).into_iter().map(|(_, text, _)| text).collect() };
    let mut texts = told(&mut driver);
    texts.sort();
    assert_eq!(texts, ["1 bytes", "10 bytes", "8 bytes"]);
    // By partition; what the record itself wrote was undone.
    let letters: i64 = driver
        .view(TALLY)
        .into_iter()
        .map(|(key, count)| count * i64::from(key == 0))
        .sum();
    assert_eq!((letters, driver.view(TALLY).iter().any(|(key, _)| *key == 7)), (3, false));
    driver.restart().unwrap();
    assert!(told(&mut driver).is_empty(), "it is told once");
}

/// A log with records under these keys, each at its time in milliseconds, in a topic before anything has started.
fn begun_with(topology: Topology, records: &[(i64, i64)], faults: &Arc<Faults>) -> TestDriver {
    let settings = EngineSettings::default();
    let memory = Arc::new(MemoryBackends::default());
    TestDriver::through(topology, settings, memory, |log| {
        let spec = TopicSpec {
            name: EVENTS.name().to_owned(),
            partitions: 1,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        log.ensure_topics(&[spec], Duration::ZERO).unwrap();
        let client = Client::new(Arc::new(log.clone()));
        for (key, at_ms) in records {
            client.send(EVENTS, *at_ms, key, Some(&key.to_string())).unwrap();
        }
        Arc::new(FaultyBroker(log, faults.clone()))
    })
    .unwrap()
}

/// Lets the engine work that does not come to rest.
fn a_while(driver: &mut TestDriver) {
    for _ in 0..5 {
        driver.turns(0, 20);
        driver.clock().advance(Duration::from_secs(1));
    }
}

fn copied(reset: OffsetReset) -> Topology {
    let builder = Builder::new("sources");
    builder.stream(EVENTS).to(SEEN);
    builder.offset_reset(EVENTS, reset);
    builder.build().unwrap()
}

#[test]
fn a_source_begins_where_it_is_told_to() {
    let keys = |driver: &mut TestDriver| seen(driver).into_iter().map(|(key, ..)| key).collect::<Vec<_>>();
    let mut driver = begun_with(copied(OffsetReset::Earliest), &[(1, 1), (2, 2)], &Arc::default());
    driver.send(EVENTS, 3, &3, Some(&"3".to_owned()));
    assert_eq!(keys(&mut driver), [1, 2, 3]);

    let mut driver = begun_with(copied(OffsetReset::Latest), &[(1, 1), (2, 2)], &Arc::default());
    driver.send(EVENTS, 3, &3, Some(&"3".to_owned()));
    assert_eq!(keys(&mut driver), [3]);
    // What was committed counts, and not where the topic ends.
    driver.queue(EVENTS, 4, &4, Some(&"4".to_owned()));
    driver.crash().unwrap();
    driver.settle();
    assert_eq!(keys(&mut driver), [4]);

    let mut driver = begun_with(copied(OffsetReset::Earliest), &[], &Arc::default());
    driver.prepare(copied(OffsetReset::None)).unwrap();
    driver.queue(EVENTS, 3, &3, Some(&"3".to_owned()));
    driver.revive(0).unwrap();
    a_while(&mut driver);
    assert_eq!(keys(&mut driver), [] as [i64; 0]);
    let reasons = driver.queries().readiness().reasons;
    assert!(
        reasons.iter().any(|reason| reason.contains("no offset for events-0")),
        "{reasons:?}"
    );
}

/// What the driver's clock shows at its start, in milliseconds.
const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A log with records of these ages in seconds, each under its age.
fn begun_with_ages(topology: Topology, ages_s: &[i64], faults: &Arc<Faults>) -> TestDriver {
    let records: Vec<_> = ages_s.iter().map(|age_s| (*age_s, START_MS - age_s * 1_000)).collect();
    begun_with(topology, &records, faults)
}

#[test]
fn a_source_begins_with_what_is_no_older_than_it_is_told() {
    let keys = |driver: &mut TestDriver| seen(driver).into_iter().map(|(key, ..)| key).collect::<Vec<_>>();
    let hour = OffsetReset::ByDuration(Duration::from_secs(3_600));
    // By the engine's clock. What is behind the first that is young enough comes, however old.
    let ages_s = [7_200, 3_601, 3_600, 9_000, 1];
    let mut driver = begun_with_ages(copied(hour), &ages_s, &Arc::default());
    assert_eq!(keys(&mut driver), [1, 3_600, 9_000]);
    // What was committed counts, however old it is by now.
    driver.queue(EVENTS, START_MS, &2, Some(&"2".to_owned()));
    driver.clock().advance(Duration::from_secs(36_000));
    driver.crash().unwrap();
    driver.settle();
    assert_eq!(keys(&mut driver), [2]);

    // None is young enough: it begins at the end.
    let mut driver = begun_with_ages(copied(hour), &[7_200, 3_601], &Arc::default());
    assert_eq!(keys(&mut driver), [] as [i64; 0]);
    driver.send(EVENTS, START_MS - 9 * HOUR_MS, &3, Some(&"3".to_owned()));
    assert_eq!(keys(&mut driver), [3]);

    // More than there is time, and an empty topic.
    let mut driver = begun_with_ages(copied(OffsetReset::ByDuration(Duration::MAX)), &ages_s, &Arc::default());
    assert_eq!(keys(&mut driver), [1, 3_600, 3_601, 7_200, 9_000]);
    let mut driver = begun_with_ages(copied(hour), &[], &Arc::default());
    driver.send(EVENTS, 0, &3, Some(&"3".to_owned()));
    assert_eq!(keys(&mut driver), [3]);
}

#[test]
fn a_start_that_the_log_has_lost_before_anything_was_read_is_looked_for_again() {
    let kept = || {
        let builder = Builder::new("sources");
        builder.table(EVENTS, "kept").to_stream().to_compacted(SEEN);
        builder.offset_reset(EVENTS, OffsetReset::ByDuration(Duration::from_secs(3_600)));
        builder.build().unwrap()
    };
    let place = TopicPartition::new(EVENTS.name(), 0);
    let mut waited = 0;
    // A fetch fails, and until it is made again the log loses it: at each moment of the start.
    for fetch in 0..12 {
        let other = Builder::new("sources");
        other.stream(Topic::<i64, i64>::new("others")).for_each(|_| {});
        let faults = Arc::<Faults>::default();
        let mut driver = begun_with_ages(other.build().unwrap(), &[7_200, 3_600, 1_800, 60], &faults);
        driver.prepare(kept()).unwrap();
        faults.fail(Call::Poll, fetch);
        driver.revive(0).unwrap();
        driver.turns(0, 20);
        driver.broker().delete_records(&[(place.clone(), 3)], Duration::ZERO).unwrap();
        driver.clock().advance(Duration::from_secs(1));
        driver.turns(0, 20);
        let reasons = driver.queries().readiness().reasons;
        waited += i32::from(
            reasons
                .iter()
                .any(|reason| reason.contains("offset 1 of events-0 is out of range")),
        );
        a_while(&mut driver);
        a_while(&mut driver);
        let keys: Vec<i64> = seen(&mut driver).into_iter().map(|(key, ..)| key).collect();
        assert!(keys == [60] || keys == [60, 1_800, 3_600], "fetch {fetch}: {keys:?}");
        let reasons = driver.queries().readiness().reasons;
        assert_eq!(reasons, [] as [String; 0], "fetch {fetch}");
    }
    assert!(waited > 0, "no moment was the one between");
}

#[test]
fn an_offset_reset_of_what_is_no_source_is_refused() {
    let builder = Builder::new("sources");
    builder.stream(EVENTS).to(SEEN);
    builder.offset_reset(SEEN, OffsetReset::Latest);
    let error = builder.build().err().unwrap().to_string();
    assert!(error.contains("seen has an offset reset, but is no source"), "{error}");
}

/// A text, of which one cannot be read and another not be written.
#[derive(Clone)]
struct Picky(String);

impl Wire for Picky {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        match self.0.as_str() {
            "unwritable" => Err(WireError::Unencodable("nobody can write this".to_owned())),
            text => text.to_owned().encode(codec, out),
        }
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        match bytes {
            b"unreadable" => Err(WireError::Malformed("nobody can read this".to_owned())),
            bytes => String::decode(bytes, codec).map(Self),
        }
    }
}

#[test]
fn a_record_at_fault_is_a_dead_letter_or_stops_its_task_as_the_settings_say_of_each_fault() {
    const IN: Topic<i64, Picky> = Topic::new("events");
    const OUT: Topic<i64, Picky> = Topic::new("seen");
    let stop = |fault| {
        let mut settings = EngineSettings {
            partitions: 1,
            ..EngineSettings::default()
        };
        match fault {
            "unreadable" => settings.on_unreadable = OnFault::Stop,
            "unprocessable" => settings.on_unprocessable = OnFault::Stop,
            "unwritable" => settings.on_unwritable = OnFault::Stop,
            _ => {}
        }
        settings
    };
    let faults = ["unreadable", "unprocessable", "unwritable"];
    for (fault, stops_at) in faults.into_iter().flat_map(|fault| [(fault, ""), (fault, fault)]).chain(
        // The settings of another fault do not count.
        [
            ("unreadable", "unwritable"),
            ("unprocessable", "unreadable"),
            ("unwritable", "unprocessable"),
        ],
    ) {
        let builder = Builder::new("sources");
        let refuse = |_: &i64, value: &Picky| match value.0.as_str() {
            "unprocessable" => Err("nobody can process this"),
            _ => Ok(value.clone()),
        };
        builder.stream(IN).map_values_or_dead_letter(refuse).to(OUT);
        let memory = Arc::new(MemoryBackends::default());
        let mut driver = TestDriver::with(builder.build().unwrap(), stop(stops_at), memory).unwrap();
        driver.queue_bytes("events", 1, Some(&1_i64.to_be_bytes()), Some(fault.as_bytes()));
        driver.queue_bytes("events", 2, Some(&1_i64.to_be_bytes()), Some(b"behind it"));
        a_while(&mut driver);
        let (dead, seen) = (reasons(&mut driver), driver.drain_bytes("seen").len());
        let waits = driver.queries().readiness().reasons;
        if fault == stops_at {
            assert_eq!((dead.len(), seen), (0, 0), "{fault}, stops");
            assert!(
                waits.iter().any(|reason| reason.contains("is stopped until a restart")),
                "{waits:?}"
            );
        } else {
            assert_eq!((dead.len(), seen), (1, 1), "{fault}, while {stops_at:?} would stop");
            assert!(dead[0].contains("nobody can") && waits.is_empty(), "{dead:?} {waits:?}");
        }
    }
}
