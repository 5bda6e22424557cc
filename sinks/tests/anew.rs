//! A log that is not the one it was: a topic that was deleted and made anew, another cluster, retention that was faster than the
//! sink, a log that has lost its end. Nothing is left out or doubled in silence, and each state has a way out.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use broker::{Broker, Committed, GroupOptions, InProcessBroker, Outgoing, TopicPartition};
use clock::{Clock, SystemClock};
use object_store::{ObjectStore, ObjectStoreExt};
use rand::RngExt;
use rand::seq::IndexedRandom;
use sinks::lake::{self, Accepted, Depth};
use sinks::{Step, Table};
use support::{BOUND, Bench, CrashAt, Fault, PARTITIONS, bury, rng, wait_for, wait_for_trouble};

/// The topic is deleted and made anew: Kafka forgets the group's offsets with it.
fn make_anew(bench: &mut Bench) {
    bench.broker = Bench::one(0).broker;
}

/// What the group has committed.
fn committed(broker: &InProcessBroker) -> Vec<(TopicPartition, Committed)> {
    let partitions: Vec<_> = (0..PARTITIONS)
        .map(|partition| TopicPartition::new("records", partition))
        .collect();
    let mut group = observer(broker);
    let offsets = group.committed(&partitions, BOUND).unwrap();
    group.leave().unwrap();
    partitions
        .into_iter()
        .zip(offsets)
        .filter_map(|(partition, offset)| Some((partition, offset?)))
        .collect()
}

fn commit(broker: &InProcessBroker, offsets: &[(TopicPartition, Committed)]) {
    let mut group = observer(broker);
    group.commit(offsets).unwrap();
    group.leave().unwrap();
}

/// As an operator's tool does it.
fn set_offset(bench: &Bench, partition: u32, offset: i64) {
    let metadata = String::new();
    commit(
        &bench.broker,
        &[(TopicPartition::new("records", partition), Committed { offset, metadata })],
    );
}

fn observer(broker: &InProcessBroker) -> Box<dyn broker::Group> {
    let options = GroupOptions {
        group: "sinks".into(),
        topics: vec!["records".into()],
        client_id: "observer".into(),
        member: None,
        session_timeout: BOUND,
    };
    broker.group(options).unwrap()
}

/// Plain records of one partition, with no gaps between their offsets.
fn fill(broker: &InProcessBroker, partition: u32, count: i64, text: &str) {
    let texts: Vec<String> = (0..count).map(|place| format!("{text} {place}")).collect();
    let records = texts.iter().map(|text| Outgoing {
        topic: "records",
        partition: Some(partition),
        key: Some(b"k"),
        value: Some(text.as_bytes()),
        timestamp_ms: 1_700_000_000_000,
        headers: &[],
    });
    broker
        .producer("test")
        .unwrap()
        .send_all(&records.collect::<Vec<_>>())
        .unwrap();
}

/// An operator's `riverbank lake accept`.
fn accept(bench: &Bench) -> Accepted {
    let broker = bench.log();
    let table: Arc<dyn Table> = bench.tables[0].clone();
    bench
        .block_on(lake::accept(&bench.store.inner(), &broker, &table, SystemClock.now(), BOUND))
        .unwrap()
}

/// All rows of a generation's files.
fn rows_of(bench: &Bench, generation: u32) -> support::Content {
    bench.rows_where("records", |file| file.generation == generation)
}

#[test]
fn a_topic_made_anew_is_never_taken_for_the_old_one() {
    let mut bench = Bench::one(1);
    bench.produce("records", 300, &mut rng(1));
    let sink = bench.start("first");
    bench.wait_until_written();
    sink.stop().unwrap();
    let old = bench.records("records");
    make_anew(&mut bench);
    // The new log is longer than the old one was, so that by offsets alone it would be gone on with.
    bench.produce("records", 2_000, &mut rng(2));
    let ids = bench.broker.topic_ids(&["records"], BOUND).unwrap();
    let id = ids[0].unwrap().to_string();
    let sink = bench.start("second");
    wait_for_trouble(&sink, &["made anew", &id, "docs/runbooks/lake.md"]);
    let problems = bench.look().1;
    assert!(problems.iter().any(|problem| problem.contains(&id)), "{problems:?}");
    assert_eq!(bench.rows("records"), old, "nothing was written beside them");
    // The state holds over restarts.
    sink.stop().unwrap();
    let sink = bench.start("third");
    wait_for_trouble(&sink, &["made anew", &id]);

    assert!(matches!(accept(&bench), Accepted::Next(next) if next.generation == 2));
    bench.wait_until_written();
    wait_for("trouble is over", || sink.trouble().is_none());
    assert_eq!(accept(&bench), Accepted::AsItIs);
    sink.stop().unwrap();
    assert_eq!(bench.look(), (0, vec![]));
    assert_eq!(rows_of(&bench, 1), old);
    assert_eq!(rows_of(&bench, 2), bench.records("records"));
    for file in bench.files("records") {
        let path = file.name.path();
        let bytes = bench.block_on(async { bench.store.inner().get(&path).await.unwrap().bytes().await.unwrap() });
        for batch in support::read_batches(bytes) {
            let generations = batch.column_by_name("_generation").unwrap().as_primitive::<Int32Type>();
            let generation = Some(file.name.generation as i32);
            assert!(generations.iter().all(|of_row| of_row == generation), "{path}");
        }
    }
    // And it stays: with more records, over restarts, without the group's offsets.
    for client in ["fourth", "fifth"] {
        bench.settings.group = client.into();
        bench.produce("records", 100, &mut rng(3));
        let sink = bench.start(client);
        bench.wait_until_written();
        sink.stop().unwrap();
        assert_eq!(rows_of(&bench, 2), bench.records("records"));
    }
}

#[test]
fn offsets_that_outlive_their_topic_say_nothing_of_the_new_one() {
    for step in Step::ALL {
        let mut bench = Bench::one(4);
        bench.produce("records", 300, &mut rng(4));
        let sink = bench.start_with("first", CrashAt::new(step, 2));
        bury(&bench, sink, "first");
        let offsets = committed(&bench.broker);
        make_anew(&mut bench);
        bench.produce("records", 2_000, &mut rng(5));
        commit(&bench.broker, &offsets);
        let before = bench.files("records");
        let sink = bench.start("second");
        wait_for_trouble(&sink, &["made anew"]);
        assert_eq!(bench.files("records"), before, "{step:?}");
        accept(&bench);
        bench.wait_until_written();
        sink.stop().unwrap();
        assert_eq!(rows_of(&bench, 2), bench.records("records"), "{step:?}");
    }
}

/// A lake of an earlier version: no ids, no intents, no notes beside the offsets.
fn forget_ids(bench: &Bench) {
    let store = bench.store.inner();
    bench.block_on(async {
        use futures::TryStreamExt;
        let all: Vec<_> = store.list(None).try_collect().await.unwrap();
        for object in all {
            if ["_topics", "_intents"]
                .iter()
                .any(|notes| object.location.as_ref().contains(notes))
            {
                store.delete(&object.location).await.unwrap();
            }
        }
    });
    let plain = committed(&bench.broker).into_iter().map(|(partition, committed)| {
        let metadata = String::new();
        (partition, Committed { metadata, ..committed })
    });
    commit(&bench.broker, &plain.collect::<Vec<_>>());
}

#[test]
fn files_without_an_id_are_taken_for_the_topic_s_if_its_log_reaches_as_far() {
    for keeps_offsets in [true, false] {
        let mut bench = Bench::one(6);
        bench.produce("records", 300, &mut rng(6));
        let sink = bench.start("first");
        bench.wait_until_written();
        sink.stop().unwrap();
        forget_ids(&bench);
        if !keeps_offsets {
            bench.settings.group = "another".into();
        }
        bench.produce("records", 100, &mut rng(7));
        let sink = bench.start("second");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
        let noted = bench.block_on(lake::generations(&bench.store.inner(), "records")).unwrap();
        let id = bench.broker.topic_ids(&["records"], BOUND).unwrap()[0];
        assert!(noted.len() == 1 && noted[0].topic_id == id, "{noted:?}");
    }
}

#[test]
fn files_without_an_id_are_not_taken_for_a_shorter_log_s_even_when_it_has_grown() {
    let mut bench = Bench::one(8);
    bench.produce("records", 300, &mut rng(8));
    let sink = bench.start("first");
    bench.wait_until_written();
    sink.stop().unwrap();
    let old = bench.records("records");
    forget_ids(&bench);
    make_anew(&mut bench);
    let sink = bench.start("second");
    wait_for_trouble(&sink, &["made anew"]);
    sink.stop().unwrap();
    bench.produce("records", 2_000, &mut rng(9));
    let sink = bench.start("third");
    wait_for_trouble(&sink, &["made anew"]);
    assert_eq!(bench.rows("records"), old);
    accept(&bench);
    bench.wait_until_written();
    sink.stop().unwrap();
    assert_eq!(rows_of(&bench, 2), bench.records("records"));
}

#[test]
fn records_that_retention_took_before_a_decided_file_was_written_are_reported() {
    let mut bench = Bench::one(10);
    bench.settings.rows_max = 10;
    fill(&bench.broker, 0, 30, "a");
    let sink = bench.start_with("first", CrashAt::new(Step::Decided, 2));
    bury(&bench, sink, "first");
    bench
        .broker
        .delete_records(&[(TopicPartition::new("records", 0), 15)], BOUND)
        .unwrap();
    let sink = bench.start("second");
    wait_for_trouble(
        &sink,
        &[
            "offsets 10 to 19 were decided upon",
            "has dropped offsets 10 to 14",
            "offset to 15",
            "docs/",
        ],
    );
    sink.stop().unwrap();
    assert_eq!(bench.rows("records").len(), 10);
    // The way out that is named.
    set_offset(&bench, 0, 15);
    let sink = bench.start("third");
    wait_for("the rest is written", || bench.rows("records").len() == 25);
    wait_for("trouble is over", || sink.trouble().is_none());
    sink.stop().unwrap();
    let report = bench
        .block_on(lake::verify(&bench.store.inner(), "records", Depth::Offsets))
        .unwrap();
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert!(
        problems.len() == 1 && problems[0].contains("offsets 10 to 14 are in no file"),
        "{problems:?}"
    );
}

/// A log that has kept its first records and has others behind them, under the same id.
fn cut_off(bench: &mut Bench, keep: i64, other: i64) {
    let old = bench.broker.clone();
    let id = bench.log().topic_ids(&["records"], BOUND).unwrap();
    let offsets = committed(&old);
    make_anew(bench);
    bench.worn = Some(id[0]);
    fill(&bench.broker, 0, keep, "a");
    fill(&bench.broker, 0, other, "b");
    commit(&bench.broker, &offsets);
}

#[test]
fn a_log_that_was_cut_off_is_never_gone_on_with_in_silence() {
    // Shorter than the lake, as long, and longer again.
    for other in [0, 5, 15, 40] {
        let mut bench = Bench::one(11);
        bench.settings.rows_max = 10;
        fill(&bench.broker, 0, 30, "a");
        let sink = bench.start("first");
        wait_for("all is written", || bench.rows("records").len() == 30);
        sink.stop().unwrap();
        let old = bench.rows("records");
        cut_off(&mut bench, 15, other);
        let sink = bench.start("second");
        wait_for_trouble(&sink, &["cut off", "docs/runbooks/lake.md"]);
        assert_eq!(bench.rows("records"), old, "{other}");
        let Accepted::Next(next) = accept(&bench) else {
            panic!("{other}: there was something to accept")
        };
        // The file of 10 to 19 holds records that the log has no longer: what it has in this range is written anew.
        let begins = 10;
        assert_eq!(next.ends, BTreeMap::from([(0, begins - 1)]), "{other}");
        wait_for("it is written anew", || {
            rows_of(&bench, 2).len() as i64 == 15 + other - begins
        });
        wait_for("trouble is over", || sink.trouble().is_none());
        fill(&bench.broker, 0, 3, "c");
        fill(&bench.broker, 1, 3, "c");
        bench.wait_until_written();
        sink.stop().unwrap();
        assert_eq!(bench.look(), (0, vec![]), "{other}");
        let now = bench.records("records");
        let anew: support::Content = now
            .into_iter()
            .filter(|((partition, at), _)| *partition == 0 && *at >= begins)
            .collect();
        assert_eq!(rows_of(&bench, 2), anew, "{other}");
    }
}

/// Again and again, also where the group has no offsets, and the store alone says where the lake stands.
#[test]
fn a_log_that_is_cut_off_twice_goes_on_twice() {
    for has_offsets in [true, false] {
        let mut bench = Bench::one(13);
        bench.settings.rows_max = 10;
        fill(&bench.broker, 0, 30, "a");
        fill(&bench.broker, 1, 30, "a");
        let sink = bench.start("first");
        bench.wait_until_written();
        sink.stop().unwrap();
        for generation in [2, 3] {
            cut_off(&mut bench, 15, 40);
            fill(&bench.broker, 0, 6, &format!("c of {generation}"));
            fill(&bench.broker, 1, 30, "a");
            if !has_offsets {
                bench.settings.group = format!("group {generation}");
            }
            let sink = bench.start("other");
            wait_for_trouble(&sink, &["cut off"]);
            assert!(matches!(accept(&bench), Accepted::Next(next) if next.generation == generation));
            bench.wait_until_written();
            wait_for("trouble is over", || sink.trouble().is_none());
            sink.stop().unwrap();
            assert_eq!(bench.look(), (0, vec![]));
            // The other partition goes on where it was.
            assert!(rows_of(&bench, generation).keys().all(|(partition, _)| *partition == 0));
        }
    }
}

#[test]
fn a_log_that_was_cut_off_below_a_decided_file_is_reported() {
    for other in [0, 5, 40] {
        let mut bench = Bench::one(12);
        bench.settings.rows_max = 10;
        fill(&bench.broker, 0, 30, "a");
        let sink = bench.start_with("first", CrashAt::new(Step::Decided, 2));
        bury(&bench, sink, "first");
        cut_off(&mut bench, 15, other);
        let sink = bench.start("second");
        wait_for_trouble(&sink, &["10 to 19", "decided upon", "cut off"]);
        assert_eq!(bench.rows("records").len(), 10, "{other}");
        assert!(matches!(accept(&bench), Accepted::Next(next) if next.ends == BTreeMap::from([(0, 9)])));
        bench.wait_until_written();
        wait_for("trouble is over", || sink.trouble().is_none());
        sink.stop().unwrap();
        assert_eq!(bench.look(), (0, vec![]), "{other}");
        let now = bench.records("records");
        let anew: support::Content = now.into_iter().filter(|((_, at), _)| *at >= 10).collect();
        assert_eq!(rows_of(&bench, 2), anew, "{other}");
    }
}

/// Whatever happens to topic, log, store and sink: what is there of each topic is there once and as it was.
#[test]
fn topics_come_and_go_in_a_storm() {
    for seed in 0..8_u64 {
        println!("seed {seed}");
        let mut rng = rng(seed);
        let mut bench = Bench::one(seed);
        bench.apart_ms = 3_600_000;
        bench.store.suffer(&Fault::ALL, 0.1);
        let mut logs = vec![];
        for generation in 1..=3 {
            for run in 0..4 {
                bench.produce("records", rng.random_range(1..200), &mut rng);
                let client = format!("sink-{generation}-{run}");
                let step = *Step::ALL.choose(&mut rng).unwrap();
                let sink = bench.start_with(&client, CrashAt::new(step, rng.random_range(0..8)));
                std::thread::sleep(Duration::from_millis(rng.random_range(0..200)));
                let _ = sink.stop();
                bench.broker.expire_member("sinks", &client);
            }
            bench.store.recover();
            if rng.random_bool(0.7) {
                let sink = bench.start("all");
                bench.wait_until_written();
                sink.stop().unwrap();
            }
            logs.push(bench.records("records"));
            if generation == 3 {
                break;
            }
            let offsets = committed(&bench.broker);
            make_anew(&mut bench);
            if rng.random_bool(0.5) {
                commit(&bench.broker, &offsets);
            }
            bench.produce("records", rng.random_range(1..2_000), &mut rng);
            let sink = bench.start("refused");
            // A topic of which no sink has seen a record is not noted.
            if !bench.files("records").is_empty() || generation > 1 {
                wait_for_trouble(&sink, &["made anew"]);
            }
            assert!(matches!(accept(&bench), Accepted::Next(_)), "seed {seed}");
            bench.wait_until_written();
            sink.stop().unwrap();
            bench.store.suffer(&Fault::ALL, 0.1);
        }
        let sink = bench.start("last");
        bench.wait_until_written();
        sink.stop().unwrap();
        for (log, generation) in logs.iter().zip(1..) {
            let rows = rows_of(&bench, generation);
            let wrong = rows.iter().find(|(at, row)| log.get(at) != Some(row));
            assert_eq!(wrong, None, "seed {seed}, generation {generation}");
        }
        assert_eq!(rows_of(&bench, 3), bench.records("records"), "seed {seed}");
    }
}
