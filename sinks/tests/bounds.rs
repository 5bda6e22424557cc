//! When a file ends, what memory is used, and what happens when something else than the store is at fault.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, GroupOptions, InProcessBroker, Outgoing, TopicSpec};
use parking_lot::Mutex;
use rand::RngExt;
use sinks::{SinkError, SinkSettings};
use support::{BOUND, Bench, Fault, PARTITIONS, Plain, rng, wait_for};

/// A bench whose files end for no reason but the one that a test adds.
fn patient(seed: u64) -> Bench {
    let mut bench = Bench::one(seed);
    bench.settings.rows_max = 1_000_000;
    bench.settings.age_max = Duration::from_secs(3_600);
    bench
}

/// Writes `count` records of `bytes` each into one partition.
fn fill(broker: &InProcessBroker, partition: u32, count: usize, bytes: usize) {
    let mut rng = rng(u64::from(partition));
    let texts: Vec<Vec<u8>> = (0..count)
        .map(|_| (0..bytes).map(|_| rng.random_range(b'!'..b'~')).collect())
        .collect();
    let records = texts.iter().map(|text| Outgoing {
        topic: "records",
        partition: Some(partition),
        key: Some(b"k"),
        value: Some(text),
        timestamp_ms: 1_700_000_000_000,
        headers: &[],
    });
    broker
        .producer("test")
        .unwrap()
        .send_all(&records.collect::<Vec<_>>())
        .unwrap();
}

fn ranges(bench: &Bench) -> Vec<(u32, i64, i64)> {
    bench
        .files("records")
        .iter()
        .map(|file| (file.name.partition, file.name.start, file.name.end))
        .collect()
}

#[test]
fn a_file_ends_at_its_rows() {
    let mut bench = patient(1);
    bench.settings.rows_max = 10;
    fill(&bench.broker, 1, 25, 10);
    let sink = bench.start("only");
    wait_for("two files", || bench.files("records").len() == 2);
    sink.stop().unwrap();
    assert_eq!(ranges(&bench), [(1, 0, 9), (1, 10, 19), (1, 20, 24)]);
    bench.prove();
}

#[test]
fn a_file_ends_at_its_bytes() {
    let mut bench = patient(2);
    bench.settings.bytes_max = 1_000;
    fill(&bench.broker, 0, 10, 400);
    let sink = bench.start("only");
    wait_for("three files", || bench.files("records").len() == 3);
    sink.stop().unwrap();
    assert_eq!(ranges(&bench), [(0, 0, 2), (0, 3, 5), (0, 6, 8), (0, 9, 9)]);
    bench.prove();
}

#[test]
fn a_file_ends_at_its_age() {
    let mut bench = patient(3);
    bench.settings.age_max = Duration::from_millis(200);
    fill(&bench.broker, 2, 3, 10);
    let sink = bench.start("only");
    wait_for("a file", || ranges(&bench) == [(2, 0, 2)]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(bench.files("records").len(), 1, "nothing new, so no file");
    sink.stop().unwrap();
    bench.prove();
}

#[test]
fn memory_has_a_bound_even_while_the_store_is_away() {
    const BOUND_BYTES: u64 = 4_000_000;
    let mut bench = patient(4);
    bench.settings.memory_bytes_max = BOUND_BYTES;
    let sink = bench.start("only");
    wait_for("it is a member", || sink.lag().len() == PARTITIONS as usize);
    bench.store.suffer(&[Fault::Fail], 1.0);
    for partition in 0..PARTITIONS {
        fill(&bench.broker, partition, 6_000, 1_000);
    }
    let records = u64::from(PARTITIONS) * 6_000;
    let mut highest = 0;
    // What does not fit waits in the log, and is reported as lag.
    wait_for("all of it is lag, and the store was tried", || {
        highest = highest.max(memory_bytes(&bench.metrics));
        sink.lag().iter().map(|lag| lag.records).sum::<u64>() == records && bench.store.puts() > 10
    });
    bench.store.recover();
    wait_for("the log waits no more", || {
        highest = highest.max(memory_bytes(&bench.metrics));
        sink.trouble().is_none() && sink.lag().iter().all(|lag| lag.at_end)
    });
    sink.stop().unwrap();
    bench.prove();
    let files = bench.files("records").len();
    assert!(files > PARTITIONS as usize, "{files} files: none ended early");
    // Above it by what one poll brings.
    assert!(
        (BOUND_BYTES / 2..BOUND_BYTES + 1_500_000).contains(&highest),
        "{highest} bytes"
    );
}

fn memory_bytes(metrics: &prometheus::Registry) -> u64 {
    let families = metrics.gather();
    let memory = families
        .iter()
        .find(|family| family.name() == "riverbank_sink_memory_bytes")
        .unwrap();
    memory.get_metric()[0].get_gauge().get_value() as u64
}

#[test]
fn a_stop_in_bad_weather_ends_in_time_and_loses_nothing() {
    let mut bench = patient(5);
    bench.settings.stop_timeout = Duration::from_millis(300);
    bench.produce("records", 200, &mut rng(5));
    let sink = bench.start("first");
    wait_for("all is read", || {
        sink.lag().len() == PARTITIONS as usize && sink.lag().iter().all(|lag| lag.at_end)
    });
    bench.store.suffer(&[Fault::Stall], 1.0);
    let ended = sink.stop();
    assert!(matches!(ended, Err(SinkError::Unfinished(_))), "{ended:?}");
    bench.store.recover();
    let sink = bench.start("second");
    wait_for("the decided files", || bench.files("records").len() == PARTITIONS as usize);
    sink.stop().unwrap();
    bench.prove();
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let away = Arc::new(Mutex::new(true));
    let mut bench = Bench::new(
        vec![Plain {
            away: away.clone(),
            ..Plain::new("records")
        }],
        6,
    );
    bench.produce("records", 100, &mut rng(6));
    let sink = bench.start("only");
    wait_for("trouble is reported", || {
        sink.trouble().is_some_and(|trouble| trouble.contains("the registry is away"))
    });
    assert!(bench.files("records").is_empty());
    *away.lock() = false;
    bench.wait_until_written();
    wait_for("trouble is over", || sink.trouble().is_none());
    sink.stop().unwrap();
    bench.prove();
}

#[test]
fn records_that_the_log_has_dropped_are_missed_loudly() {
    let mut bench = Bench::one(7);
    let limits = broker::in_process::Limits {
        records_per_partition: 50,
        ..Default::default()
    };
    let began = std::time::Instant::now();
    bench.broker = InProcessBroker::with(limits, Arc::new(move || began.elapsed()));
    let spec = TopicSpec {
        name: "records".into(),
        partitions: PARTITIONS,
        accept_existing: false,
        cleanup: CleanupPolicy::Delete(None),
        settings: broker::TopicSettings::default(),
    };
    bench.broker.ensure_topics(&[spec], BOUND).unwrap();
    fill(&bench.broker, 0, 10, 10);
    fill(&bench.broker, 1, 10, 10);
    let sink = bench.start("first");
    wait_for("both are written", || bench.files("records").len() == 2);
    sink.stop().unwrap();
    fill(&bench.broker, 0, 100, 10);
    fill(&bench.broker, 1, 20, 10);
    let sink = bench.start("second");
    wait_for("trouble is reported", || {
        sink.trouble()
            .is_some_and(|trouble| trouble.contains("dropped") && trouble.contains("records-0"))
    });
    wait_for("the other goes on", || ranges(&bench) == [(0, 0, 9), (1, 0, 9), (1, 10, 29)]);
    sink.stop().unwrap();
}

#[test]
fn files_of_another_log_are_never_taken_for_this_one_s() {
    let mut bench = Bench::one(8);
    bench.produce("records", 300, &mut rng(8));
    let sink = bench.start("first");
    bench.wait_until_written();
    sink.stop().unwrap();
    let files = bench.files("records");
    let store = bench.store.clone();
    bench = Bench::one(9);
    bench.store = store;
    let sink = bench.start("second");
    wait_for("trouble is reported", || {
        sink.trouble().is_some_and(|trouble| trouble.contains("made anew"))
    });
    // Now the new log is longer than the old one was.
    bench.produce("records", 2_000, &mut rng(9));
    std::thread::sleep(Duration::from_millis(300));
    assert!(sink.trouble().is_some_and(|trouble| trouble.contains("made anew")));
    assert_eq!(bench.files("records"), files, "nothing was written beside them");
    sink.stop().unwrap();
}

#[test]
fn a_sink_is_a_good_member_while_the_store_stalls() {
    let mut bench = Bench::one(10);
    bench.settings.session_timeout = Duration::from_secs(4);
    bench.settings.put_timeout = Duration::from_secs(30);
    let sink = bench.start("first");
    wait_for("it is a member", || sink.lag().len() == PARTITIONS as usize);
    bench.store.suffer(&[Fault::Stall], 1.0);
    bench.produce("records", 100, &mut rng(10));
    wait_for("a put stalls", || bench.store.puts() > 0);
    std::thread::sleep(Duration::from_secs(9));
    let options = GroupOptions {
        group: "sinks".into(),
        topics: vec!["records".into()],
        client_id: "observer".into(),
        member: None,
        session_timeout: BOUND,
    };
    let mut observer = bench.broker.group(options).unwrap();
    // Its session would have expired long ago: then the newcomer would get everything.
    wait_for("the newcomer gets its share", || {
        if let Some(step) = observer.poll(Duration::from_millis(20)).unwrap() {
            observer.complete(&step).unwrap();
        }
        observer.assignment().len() == 1
    });
    wait_for("it keeps the others", || sink.lag().len() == PARTITIONS as usize - 1);
    observer.leave().unwrap();
    bench.store.recover();
    drop(sink.stop());
}

#[test]
fn settings_are_read_from_text() {
    let text = r#"{"rows_max": 5, "age_max": "90s", "retry": {"slow_wait": "1m"}}"#;
    let settings: SinkSettings = serde_json::from_str(text).unwrap();
    assert_eq!(
        (settings.rows_max, settings.age_max, settings.bytes_max),
        (5, Duration::from_secs(90), 128 << 20)
    );
    assert_eq!(
        (settings.retry.slow_wait, settings.retry.quick_attempts),
        (Duration::from_secs(60), 5)
    );
    let error = serde_json::from_str::<SinkSettings>(r#"{"row_max": 5}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("row_max"), "{error}");
}
