//! Every record is in the lake exactly once, whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Committed, TopicPartition};
use clock::{Clock, ManualClock, Millis};
use object_store::ObjectStore;
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::lake::{self, Depth};
use sinks::{Go, Probe, SinkHandle, Step};
use support::{Bench, CrashAt, Fault, PARTITIONS, Plain, bury, rng, wait_for};

#[test]
fn a_quiet_run_writes_everything_once() {
    let mut bench = Bench::new(vec![Plain::new("a"), Plain::new("b")], 1);
    bench.produce("a", 500, &mut rng(1));
    let sink = bench.start("only");
    bench.produce("b", 300, &mut rng(2));
    bench.wait_until_written();
    bench.produce("a", 100, &mut rng(3));
    bench.wait_until_written();
    wait_for("all partitions are reported, without any lag", || {
        let lag = sink.lag();
        lag.len() == 2 * PARTITIONS as usize && lag.iter().all(|lag| lag.records == 0 && lag.at_end)
    });
    assert_eq!(sink.trouble(), None);
    sink.stop().unwrap();
    bench.prove();
}

#[test]
fn a_sink_takes_the_time_from_its_clock() {
    let bench = Bench::one(3);
    let clock = ManualClock::at(Millis(1_900_000_000_000));
    bench.produce("records", 200, &mut rng(3));
    let sink = bench
        .sink("only")
        .with_clock(Arc::new(clock.clone()))
        .start(&bench.metrics)
        .unwrap();
    bench.wait_until_written();
    wait_for("there is no lag", || {
        sink.lag().iter().all(|lag| lag.records == 0 && lag.at_end)
    });
    let families = bench.metrics.gather();
    sink.stop().unwrap();

    let store: Arc<dyn ObjectStore> = bench.store.inner();
    let report = bench.block_on(lake::verify(&store, "records", Depth::Footers)).unwrap();
    assert_eq!(report.generations[0].accepted_at, clock.now());
    let finished = families
        .iter()
        .find(|family| family.name() == "riverbank_sink_finished_timestamp_seconds")
        .unwrap();
    let times = finished.get_metric().iter().map(|metric| metric.get_gauge().get_value());
    assert!(times.clone().count() > 0 && times.clone().all(|time| time == 1_900_000_000.0));
}

#[test]
fn a_clean_stop_writes_what_is_open() {
    let mut bench = Bench::one(4);
    bench.settings.age_max = Duration::from_secs(3_600);
    bench.settings.rows_max = 1_000_000;
    bench.produce("records", 200, &mut rng(4));
    let expected = bench.records("records").len() as u64;
    let sink = bench.start("only");
    wait_for("all is read", || {
        sink.lag().iter().map(|lag| lag.records).sum::<u64>() == expected && sink.lag().iter().all(|lag| lag.at_end)
    });
    assert!(bench.files("records").is_empty(), "nothing is due yet");
    sink.stop().unwrap();
    assert_eq!(bench.files("records").len(), PARTITIONS as usize);
    bench.prove();
}

#[test]
fn a_crash_at_every_step_is_made_good() {
    for (index, step) in Step::ALL.into_iter().enumerate() {
        for nth in [1, 2, 5] {
            let mut bench = Bench::one(5);
            let mut rng = rng(5 + index as u64);
            bench.produce("records", 400, &mut rng);
            let sink = bench.start_with("first", CrashAt::new(step, nth));
            bury(&bench, sink, "first");
            bench.produce("records", 100, &mut rng);
            let sink = bench.start("second");
            bench.wait_until_written();
            sink.stop().unwrap();
            bench.prove();
        }
    }
}

#[test]
fn every_fault_of_the_store_is_told_and_made_good() {
    for fault in Fault::ALL {
        let mut bench = Bench::one(6);
        let sink = bench.start("only");
        bench.produce("records", 50, &mut rng(6));
        bench.wait_until_written();
        bench.store.suffer(&[fault], 1.0);
        bench.produce("records", 300, &mut rng(7));
        wait_for("trouble is reported", || sink.trouble().is_some());
        let trouble = sink.trouble().unwrap();
        assert!(
            trouble.contains("records") && trouble.contains("the store"),
            "{fault:?}: {trouble}"
        );
        wait_for("the lag is reported", || {
            sink.lag().iter().map(|lag| lag.records).sum::<u64>() > 0
        });
        assert_eq!(sink.lag().len(), PARTITIONS as usize, "{fault:?}: it stays a member");
        bench.store.recover();
        bench.wait_until_written();
        wait_for("trouble is over", || sink.trouble().is_none());
        sink.stop().unwrap();
        bench.prove();
    }
}

/// Dies at random.
struct Mortal(Mutex<ChaCha8Rng>);

impl Probe for Mortal {
    fn at(&self, _: Step, _: &TopicPartition) -> Go {
        if self.0.lock().random_bool(0.05) { Go::Crash } else { Go::On }
    }
}

/// Two owners, of which either may die, stop, or be taken for dead while it lives, over a store that fails in every way.
#[test]
fn nothing_is_lost_or_doubled_in_a_storm() {
    for seed in 0..12_u64 {
        println!("seed {seed}");
        let mut rng = rng(seed);
        let mut bench = Bench::new(vec![Plain::new("a"), Plain::new("b")], seed);
        // Ranges have a record or several of a day.
        bench.apart_ms = if seed % 2 == 0 { 3_600_000 } else { 60_000 };
        // A put, or an upload and a copy.
        bench.settings.multipart_bytes = if seed % 3 == 0 { u64::MAX } else { 1 };
        bench.store.suffer(&Fault::ALL, 0.15);
        let mut born = 0_u64;
        let mut sinks: Vec<(String, SinkHandle)> = Vec::new();
        for _ in 0..40 {
            while sinks.len() < 2 {
                born += 1;
                let name = format!("sink-{born}");
                let probe = Arc::new(Mortal(Mutex::new(ChaCha8Rng::seed_from_u64(seed * 1_000 + born))));
                sinks.push((name.clone(), bench.start_with(&name, probe)));
            }
            let topic = *["a", "b"].choose(&mut rng).unwrap();
            bench.produce(topic, rng.random_range(1..150), &mut rng);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..80)));
            match rng.random_range(0..10) {
                0 => {
                    let (name, sink) = sinks.remove(rng.random_range(0..sinks.len()));
                    // It may not end well in this weather, or may have died already; nothing is lost even then.
                    let _ = sink.stop();
                    bench.broker.expire_member("sinks", &name);
                }
                1 => {
                    let (name, _) = sinks.choose(&mut rng).unwrap();
                    bench.broker.expire_member("sinks", name);
                }
                _ => {}
            }
            sinks.retain(|(name, sink)| {
                if sink.is_finished() {
                    bench.broker.expire_member("sinks", name);
                }
                !sink.is_finished()
            });
        }
        for (name, sink) in sinks {
            let _ = sink.stop();
            bench.broker.expire_member("sinks", &name);
        }
        assert!(bench.look().1.is_empty(), "seed {seed}: {:?}", bench.look().1);
        bench.store.recover();
        let sink = bench.start("last");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
        assert!(
            bench.store.puts() + bench.store.copies() > bench.files("a").len() as u64,
            "seed {seed}: no put was ever made again"
        );
    }
}

#[test]
fn a_range_that_the_log_has_compacted_meanwhile_keeps_its_name() {
    for step in [Step::Decided, Step::Written] {
        let mut bench = Bench::new(
            vec![Plain {
                compacted: true,
                ..Plain::new("balances")
            }],
            8,
        );
        bench.settings.rows_max = 100_000;
        bench.settings.age_max = Duration::from_millis(300);
        bench.produce("balances", 600, &mut rng(8));
        let sink = bench.start_with("first", CrashAt::new(step, 1));
        bury(&bench, sink, "first");
        bench.produce("balances", 600, &mut rng(9));
        bench.broker.compact("balances");
        bench.broker.compact("balances");
        let newest = bench.records("balances");
        let sink = bench.start("second");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
        let rows = bench.rows("balances");
        assert!(
            newest.iter().all(|(at, record)| rows.get(at) == Some(record)),
            "{step:?}: the newest of each key is there"
        );
    }
}

#[test]
fn a_group_without_offsets_goes_on_after_the_files() {
    let mut bench = Bench::one(10);
    bench.produce("records", 300, &mut rng(10));
    let sink = bench.start("first");
    bench.wait_until_written();
    sink.stop().unwrap();
    let before = bench.files("records");
    bench.settings.group = "another".into();
    bench.produce("records", 50, &mut rng(11));
    let sink = bench.start("second");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    let after = bench.files("records");
    assert!(before.iter().all(|file| after.contains(file)) && after.len() > before.len());
}

#[test]
fn a_note_of_another_program_stops_its_partition_only() {
    let mut bench = Bench::one(12);
    {
        let options = broker::GroupOptions {
            group: "sinks".into(),
            topics: vec!["records".into()],
            client_id: "stranger".into(),
            member: None,
            session_timeout: Duration::from_secs(10),
        };
        let mut group = bench.broker.group(options).unwrap();
        let note = Committed {
            offset: 0,
            metadata: "mine".into(),
        };
        group.commit(&[(TopicPartition::new("records", 0), note)]).unwrap();
        group.leave().unwrap();
    }
    bench.produce("records", 300, &mut rng(12));
    let sink = bench.start("only");
    wait_for("trouble is reported", || {
        sink.trouble()
            .is_some_and(|trouble| trouble.contains("no intent") && trouble.contains("records-0"))
    });
    wait_for("the others are written", || {
        let rows = bench.rows("records");
        bench
            .records("records")
            .keys()
            .filter(|(partition, _)| *partition != 0)
            .all(|at| rows.contains_key(at))
    });
    assert!(bench.rows("records").keys().all(|(partition, _)| *partition != 0));
    sink.stop().unwrap();
}
