//! The lake at its edges: files that are there already, days, versions of a shape, stores that keep no word, years of files.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Committed, GroupOptions, InProcessBroker, Outgoing, TopicPartition};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sinks::lake::{self, Depth};
use sinks::parquet::layout::day_of;
use sinks::{SinkHandle, Step};
use support::{BOUND, Bench, CrashAt, Fault, PARTITIONS, Plain, bury, rng, wait_for, wait_for_trouble};

const DAY_MS: i64 = 86_400_000;
const AT: i64 = 1_700_000_000_000;

/// A record of the partition 0 at each of these times.
fn fill(broker: &InProcessBroker, times: impl IntoIterator<Item = i64>, text: &str) {
    let records = times.into_iter().map(|timestamp_ms| Outgoing {
        topic: "records",
        partition: Some(0),
        key: Some(b"k"),
        value: Some(text.as_bytes()),
        timestamp_ms,
        headers: &[],
    });
    broker
        .producer("test")
        .unwrap()
        .send_all(&records.collect::<Vec<_>>())
        .unwrap();
}

fn names(bench: &Bench) -> Vec<String> {
    bench.files("records").iter().map(|file| file.name.to_string()).collect()
}

/// Copies what is in the lake's days into another one.
fn copy_files(from: &Bench, to: &Bench) {
    let (source, target) = (from.store.inner(), to.store.inner());
    from.block_on(async {
        for file in from.names_of("records").await {
            let bytes = source.get(&file).await.unwrap().bytes().await.unwrap();
            target.put(&file, bytes.into()).await.unwrap();
        }
    });
}

#[test]
fn a_file_of_as_many_other_records_is_not_taken_for_the_decided_one() {
    for step in [Step::Deciding, Step::Decided] {
        let benches = ["theirs", "ours"].map(|text| {
            let mut bench = Bench::one(1);
            bench.settings.age_max = Duration::from_millis(300);
            fill(&bench.broker, [AT; 20], text);
            let ids = bench.broker.topic_ids(&["records"], BOUND).unwrap();
            bench.worn = Some(ids[0]);
            bench
        });
        let [mut theirs, mut ours] = benches;
        ours.worn = theirs.worn;
        let sink = theirs.start("theirs");
        theirs.wait_until_written();
        sink.stop().unwrap();
        // Before it is written for the first time, and after it was decided upon.
        let sink = ours.start_with("first", CrashAt::new(step, 1));
        bury(&ours, sink, "first");
        copy_files(&theirs, &ours);
        let sink = ours.start("second");
        wait_for_trouble(
            &sink,
            &["0-19-s1.parquet is there already", "other records", "docs/runbooks/lake.md"],
        );
        sink.stop().ok();
        assert_eq!(ours.rows("records"), theirs.rows("records"));
        assert!(!ours.look().1.is_empty(), "the log has other records, and that is found");
    }
}

#[test]
fn of_a_compacted_log_a_file_may_have_more_rows_but_no_others() {
    let compacted = |text: &str| {
        let table = Plain {
            compacted: true,
            ..Plain::new("records")
        };
        let mut bench = Bench::new(vec![table], 11);
        bench.settings.age_max = Duration::from_millis(300);
        fill(&bench.broker, [AT; 20], text);
        bench
    };
    let mut theirs = compacted("theirs");
    let sink = theirs.start("first");
    theirs.wait_until_written();
    sink.stop().unwrap();
    for (text, is_same) in [("theirs", true), ("ours", false)] {
        let mut ours = compacted(text);
        // Its id is not what tells here.
        ours.worn = Some(theirs.broker.topic_ids(&["records"], BOUND).unwrap()[0]);
        let sink = ours.start_with("before", CrashAt::new(Step::Deciding, 1));
        bury(&ours, sink, "before");
        copy_files(&theirs, &ours);
        ours.broker.compact("records");
        assert_eq!(ours.records("records").len(), 1);
        let before = ours.rows("records");
        let sink = ours.start_with("first", CrashAt::new(Step::Finished, 1));
        if is_same {
            bury(&ours, sink, "first");
            assert_eq!(ours.look(), (0, vec![]));
        } else {
            wait_for_trouble(&sink, &["is there already", "offset 19 has another content"]);
            sink.stop().ok();
        }
        assert_eq!((ours.rows("records"), ours.files("records").len()), (before, 1));
    }
}

#[test]
fn a_day_s_folder_has_rows_of_that_day_only() {
    for step in Step::ALL {
        let mut bench = Bench::one(2);
        // Days take turns, as around midnight, and a record has no time.
        let times = [0, DAY_MS, 0, DAY_MS, DAY_MS, 2 * DAY_MS, -AT - 1, 2 * DAY_MS].map(|after| AT + after);
        fill(&bench.broker, times, "a");
        let sink = bench.start_with("first", CrashAt::new(step, 1));
        bury(&bench, sink, "first");
        let sink = bench.start("second");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
        let mut offsets: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for file in bench.files("records") {
            let rows = bench.rows_where("records", |name| *name == file.name);
            offsets
                .entry(file.name.day.to_string())
                .or_default()
                .extend(rows.keys().map(|(_, offset)| *offset));
        }
        let expected = [
            ("1970-01-01", vec![6]),
            ("2023-11-14", vec![0, 2]),
            ("2023-11-15", vec![1, 3, 4]),
            ("2023-11-16", vec![5, 7]),
        ];
        assert_eq!(
            offsets,
            expected.map(|(day, offsets)| (day.to_owned(), offsets)).into(),
            "{step:?}"
        );
    }
}

#[test]
fn a_range_has_files_of_a_bounded_number_of_days() {
    let mut bench = Bench::one(3);
    bench.settings.rows_max = 1_000;
    fill(&bench.broker, (0..100).map(|day| AT + day * DAY_MS), "a");
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    let ranges: Vec<_> = bench
        .files("records")
        .iter()
        .map(|file| (file.name.start, file.name.end))
        .collect();
    assert_eq!(ranges.len(), 100);
    assert_eq!(ranges[0], (0, 31));
}

#[test]
fn a_file_is_missed_if_one_day_of_its_range_is_gone() {
    let mut bench = Bench::one(4);
    bench.settings.rows_max = 4;
    fill(&bench.broker, (0..8).map(|half| AT + half * DAY_MS / 2), "a");
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    let first = bench.files("records")[0].name.clone();
    bench.block_on(async { bench.store.inner().delete(&first.path()).await.unwrap() });
    let problems = bench.look().1;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains(&format!("the file of {} is missing", first.day))),
        "{problems:?}"
    );
}

#[test]
fn what_a_listing_has_missed_in_passing_is_looked_for_again() {
    let mut bench = Bench::one(10);
    bench.settings.rows_max = 4;
    fill(&bench.broker, (0..8).map(|half| AT + half * DAY_MS / 2), "a");
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.store.hide_once(bench.files("records")[0].name.path());
    let store: Arc<dyn ObjectStore> = bench.store.clone();
    let report = bench.block_on(lake::verify(&store, "records", Depth::Footers)).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(
        report.partitions[0].files,
        bench
            .block_on(lake::verify(&store, "records", Depth::Footers))
            .unwrap()
            .partitions[0]
            .files
    );
}

#[test]
fn a_shape_raised_between_decision_and_write_is_written_once_by_the_new_version() {
    for (step, before, after) in [(Step::Decided, 1, 2), (Step::Decided, 2, 1), (Step::Written, 1, 2)] {
        let at = |version| Plain {
            version,
            ..Plain::new("records")
        };
        let mut bench = Bench::new(vec![at(before)], 5);
        fill(&bench.broker, [AT, AT + DAY_MS, AT], "a");
        let sink = bench.start_with("first", CrashAt::new(step, 1));
        bury(&bench, sink, "first");
        bench.tables = vec![Arc::new(at(after))];
        let sink = bench.start("second");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
        // Of the files with rows, each says what it was made by.
        let version = if step == Step::Written { before } else { after };
        let store = bench.store.inner();
        let mut with_rows = Vec::new();
        for file in bench.files("records") {
            let path = file.name.path();
            let identity = bench.block_on(sinks::parquet::footer::read(store.as_ref(), &path)).unwrap();
            assert_eq!(identity.schema, file.name.schema, "{path}");
            match identity.superseded_by {
                Some(by) => assert_eq!((identity.rows, by), (0, after), "{path}"),
                None => with_rows.push(file.name.schema),
            }
        }
        assert_eq!(with_rows, [version; 2], "{step:?}");
        // What the version before still had on its way comes to nothing.
        let late = Path::from(format!("records/day=2023-11-14/p=00/0-2-s{before}.parquet"));
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let put = bench.block_on(store.put_opts(&late, "late".into(), options));
        assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
    }
}

#[test]
fn a_store_that_overwrites_what_is_to_be_created_gets_nothing() {
    let mut bench = Bench::one(6);
    bench.store.overwrite(true);
    bench.produce("records", 100, &mut rng(6));
    let sink = bench.start("only");
    wait_for_trouble(&sink, &["If-None-Match", "docs/runbooks/lake.md"]);
    assert_eq!(names(&bench), [""; 0]);
    assert!(sink.lag().is_empty(), "it does not even join");
    // What was in the way is gone.
    bench.store.overwrite(false);
    bench.wait_until_written();
    wait_for("trouble is over", || sink.trouble().is_none());
    sink.stop().unwrap();
    bench.prove();
}

#[test]
fn a_start_does_not_look_through_the_days() {
    let cost = |days: i64| {
        let mut bench = Bench::one(7);
        bench.settings.rows_max = 30;
        for day in 0..days {
            fill(&bench.broker, [AT + day * DAY_MS; 3], "a");
        }
        let sink = bench.start("first");
        bench.wait_until_written();
        sink.stop().unwrap();
        assert_eq!(bench.files("records").len() as i64, days);
        // With the group's offsets, and without any.
        ["sinks", "another"].map(|group| {
            bench.settings.group = group.into();
            bench.store.take_lists();
            let sink = bench.start(group);
            fill(&bench.broker, [AT + days * DAY_MS], "b");
            wait_for("it goes on", || {
                sink.lag().len() == PARTITIONS as usize && bench.look().0 == 0
            });
            sink.stop().unwrap();
            bench.prove();
            bench.store.take_lists()
        })
    };
    let (few, many) = (cost(3), cost(200));
    assert_eq!(few, many, "calls and objects");
    let [(with, _), (without, listed)] = many;
    // One of the calls looks for uploads that a crash has left.
    assert!(with <= 8 && without <= 8 && listed <= 7, "{many:?}");
}

#[test]
fn two_groups_that_write_into_one_lake_write_the_same() {
    for seed in 0..5 {
        let mut bench = Bench::one(seed);
        bench.apart_ms = DAY_MS / 7;
        bench.store.suffer(&Fault::ALL, 0.1);
        let mut rng = rng(seed);
        bench.produce("records", 100, &mut rng);
        let first = bench.start("first");
        bench.settings.group = "others".into();
        bench.settings.rows_max = 23;
        let second = bench.start("second");
        for _ in 0..10 {
            bench.produce("records", 100, &mut rng);
            std::thread::sleep(Duration::from_millis(40));
        }
        bench.store.recover();
        wait_for("both are through", || {
            let is_through = |sink: &SinkHandle| sink.lag().iter().all(|lag| lag.records == 0 && lag.at_end);
            bench.look().0 == 0 && is_through(&first) && is_through(&second)
        });
        first.stop().unwrap();
        second.stop().unwrap();
        assert_eq!(bench.look().1, [""; 0], "seed {seed}");
        bench.prove();
    }
}

#[test]
fn a_decision_of_an_earlier_version_is_written_as_it_was_made() {
    let mut bench = Bench::one(8);
    fill(&bench.broker, [AT, AT + DAY_MS, AT, AT], "a");
    let options = GroupOptions {
        group: "sinks".into(),
        topics: vec!["records".into()],
        client_id: "earlier".into(),
        member: None,
        session_timeout: BOUND,
    };
    let mut group = bench.broker.group(options).unwrap();
    let note = Committed {
        offset: 0,
        metadata: format!(r#"{{"end":2,"schema":1,"day":"{}"}}"#, day_of(AT)),
    };
    group.commit(&[(TopicPartition::new("records", 0), note)]).unwrap();
    group.leave().unwrap();
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    let expected = ["0-2-s1", "3-3-s1"].map(|range| format!("records/day=2023-11-14/p=00/{range}.parquet"));
    assert_eq!(names(&bench), expected);
}

#[test]
fn a_log_without_topic_ids_is_written_as_ever() {
    let mut bench = Bench::one(9);
    bench.worn = Some(None);
    bench.produce("records", 300, &mut rng(9));
    for (client, group) in [("first", "sinks"), ("second", "sinks"), ("third", "another")] {
        bench.settings.group = group.into();
        let sink = bench.start(client);
        bench.produce("records", 100, &mut rng(10));
        bench.wait_until_written();
        assert_eq!(sink.trouble(), None);
        sink.stop().unwrap();
        bench.prove();
    }
    assert_eq!(
        bench.block_on(lake::generations(&bench.store.inner(), "records")).unwrap(),
        []
    );
    // Later the broker gives them.
    bench.worn = None;
    bench.produce("records", 100, &mut rng(11));
    let sink = bench.start("fourth");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    assert_eq!(
        bench
            .block_on(lake::generations(&bench.store.inner(), "records"))
            .unwrap()
            .len(),
        1
    );
}
