//! Retention: what is old goes, and nothing else does, whenever it is interrupted.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use broker::{Broker, Outgoing};
use clock::{Clock, SystemClock};
use futures::TryStreamExt;
use jiff::civil::Date;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sinks::Step;
use sinks::lake::{self, Depth, Keeper, Removal, Retention};
use sinks::parquet::footer::Identity;
use sinks::parquet::layout::{FileName, day_of};
use support::{Bench, CrashAt, PARTITIONS, bury, rng};
use testkit::object_store::{CountingStore, copy_of};

const DAY_MS: i64 = 86_400_000;
/// The day of the first record.
const FIRST_MS: i64 = 1_700_000_000_000;

fn day(number: i64) -> Date {
    day_of(FIRST_MS + number * DAY_MS)
}

/// What is older than a day, on some later day.
fn before(number: i64) -> Retention {
    Retention {
        before: day(number),
        today: day(100),
        dry_run: false,
    }
}

/// Writes records of days that mostly ascend: some are late.
fn produce(bench: &Bench, days: std::ops::Range<i64>, rng: &mut ChaCha8Rng) {
    for day in days {
        for _ in 0..rng.random_range(4..9) {
            let late = if rng.random_bool(0.15) { rng.random_range(0..5) } else { 0 };
            let value = rng.random::<u64>().to_string();
            let record = Outgoing {
                topic: "records",
                partition: Some(rng.random_range(0..PARTITIONS)),
                key: Some(b"k"),
                value: Some(value.as_bytes()),
                timestamp_ms: FIRST_MS + (day - late).max(0) * DAY_MS,
                headers: &[],
            };
            bench.broker.producer("test").unwrap().send_all(&[record]).unwrap();
        }
    }
}

/// A lake with files of twenty days.
fn bench(seed: u64) -> Bench {
    let mut bench = Bench::one(seed);
    bench.settings.rows_max = 6;
    produce(&bench, 0..20, &mut rng(seed));
    write(&mut bench, "first");
    bench
}

fn write(bench: &mut Bench, client: &str) {
    let sink = bench.start(client);
    bench.wait_until_written();
    sink.stop().unwrap();
}

fn retain(bench: &Bench, retention: Retention, keepers: &[Arc<dyn Keeper>]) -> Vec<Removal> {
    let store = bench.store.inner();
    bench.block_on(lake::retain(&store, "records", retention, keepers)).unwrap()
}

fn floors(bench: &Bench) -> BTreeMap<(u32, u32), i64> {
    bench.block_on(lake::floors(bench.store.inner().as_ref(), "records")).unwrap()
}

/// Every record above the floors is there, none below, and no file of a day that stays was touched.
fn prove(bench: &Bench, stays: &[FileName]) {
    assert_eq!(bench.look(), (0, vec![]));
    let floors = floors(bench);
    let mut expected = bench.records("records");
    expected.retain(|(partition, offset), _| floors.get(&(*partition, 1)).is_none_or(|floor| offset >= floor));
    assert_eq!(bench.rows("records"), expected);
    let files: Vec<_> = bench.files("records").into_iter().map(|file| file.name).collect();
    assert!(stays.iter().all(|file| files.contains(file)), "{files:?}");
}

fn files_from(bench: &Bench, from: Date) -> Vec<FileName> {
    let files = bench.files("records").into_iter().map(|file| file.name);
    files.filter(|name| name.day >= from).collect()
}

#[test]
fn old_days_go_and_the_sinks_go_on() {
    for seed in 0..6 {
        println!("seed {seed}");
        let mut bench = bench(seed);
        let (all, stays) = (bench.files("records").len(), files_from(&bench, day(10)));
        let removals = retain(&bench, before(10), &[]);
        let gone: u64 = removals.iter().map(|removal| removal.files).sum();
        assert!(gone > 10, "seed {seed}: {removals:?}");
        assert_eq!(bench.files("records").len() as u64, all as u64 - gone);
        prove(&bench, &stays);
        assert_eq!(retain(&bench, before(10), &[]), [], "a second run finds nothing");
        produce(&bench, 20..25, &mut rng(seed + 100));
        write(&mut bench, "second");
        prove(&bench, &stays);
        // A group that knows nothing, in a lake whose beginning is gone.
        bench.settings.group = "another".into();
        produce(&bench, 25..30, &mut rng(seed + 200));
        write(&mut bench, "third");
        prove(&bench, &stays);
        let higher = retain(&bench, before(28), &[]);
        assert!(higher.iter().all(|removal| removal.days.unwrap().1 < day(28)), "{higher:?}");
        prove(&bench, &files_from(&bench, day(28)));
        // Each partition's note is the highest only.
        let notes = bench.block_on(async {
            let folder = object_store::path::Path::from("records/_retained");
            bench
                .store
                .inner()
                .list(Some(&folder))
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
                .len()
        });
        assert_eq!(notes, floors(&bench).len());
    }
}

#[test]
fn the_last_range_and_what_is_decided_upon_stay() {
    let mut bench = bench(1);
    let newest = |bench: &Bench| {
        let mut newest: BTreeMap<u32, i64> = BTreeMap::new();
        for file in bench.files("records") {
            let start = newest.entry(file.name.partition).or_default();
            *start = file.name.start.max(*start);
        }
        newest
    };
    let last = newest(&bench);
    // A decided range whose files are not all there.
    produce(&bench, 20..24, &mut rng(2));
    let sink = bench.start_with("crashes", CrashAt::new(Step::Decided, 1));
    bury(&bench, sink, "crashes");
    retain(&bench, before(90), &[]);
    assert_eq!(newest(&bench), last, "the last ranges are there");
    for (log, floor) in floors(&bench) {
        assert!(floor <= last[&log.0], "{log:?}");
    }
    write(&mut bench, "goes on");
    prove(&bench, &[]);
}

#[test]
fn what_is_needed_elsewhere_stays() {
    struct Needs(FileName);
    impl Keeper for Needs {
        fn name(&self) -> &str {
            "a reader"
        }
        fn needs(&self, file: &FileName) -> bool {
            *file == self.0
        }
    }
    let bench = bench(3);
    let of_partition = |file: &FileName| file.partition == 1 && file.day < day(10);
    let all: Vec<_> = bench.files("records").into_iter().map(|file| file.name).collect();
    let needed = all.iter().filter(|file| of_partition(file)).nth(2).unwrap().clone();
    let keepers: Vec<Arc<dyn Keeper>> = vec![Arc::new(Needs(needed.clone()))];
    let removals = retain(&bench, before(10), &keepers);
    let held = removals.iter().find(|removal| removal.partition == 1).unwrap();
    assert_eq!((held.held_by.as_deref(), held.floor), (Some("a reader"), needed.start));
    assert!(
        removals.iter().filter(|removal| removal.held_by.is_none()).count() > 0,
        "{removals:?}"
    );
    prove(&bench, &[needed]);
}

#[test]
fn a_dry_run_says_what_the_run_does() {
    let bench = bench(4);
    let names = || bench.block_on(async { bench.store.inner().list(None).try_collect::<Vec<_>>().await.unwrap() });
    let before_it = names();
    let dry = Retention {
        dry_run: true,
        ..before(10)
    };
    let said = retain(&bench, dry, &[]);
    assert_eq!(names(), before_it);
    assert_eq!(retain(&bench, before(10), &[]), said);
}

#[test]
fn a_day_to_come_counts_as_the_day_of_its_writing() {
    let mut bench = bench(5);
    let record = Outgoing {
        topic: "records",
        partition: Some(0),
        key: None,
        value: Some(b"of the year 9999"),
        timestamp_ms: 253_370_764_800_000,
        headers: &[],
    };
    bench.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    write(&mut bench, "second");
    produce(&bench, 20..25, &mut rng(6));
    write(&mut bench, "third");
    let has_it = |bench: &Bench| bench.files("records").iter().any(|file| file.name.day.year() == 9999);
    assert!(has_it(&bench));
    // The store's clock is today's: as long as that stays, so does the file.
    let today = SystemClock.now();
    retain(&bench, Retention::of_days(30, today, false), &[]);
    assert!(has_it(&bench));
    let in_a_year = today + std::time::Duration::from_secs(366 * 86_400);
    retain(&bench, Retention::of_days(30, in_a_year, false), &[]);
    assert!(!has_it(&bench));
    prove(&bench, &[]);
}

/// A file of the first day, of one row.
fn file_of(partition: u32, start: i64, days: Option<Vec<Date>>) -> (FileName, Vec<u8>) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![start]));
    let batch = RecordBatch::try_from_iter([("offset", column)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let (end, schema, generation) = (start + 9, 1, 1);
    let identity = Identity {
        table: "records".into(),
        topic: "records".into(),
        partition,
        start,
        end,
        schema,
        rows: 1,
        topic_id: None,
        generation,
        days,
        digest: None,
        superseded_by: None,
    };
    for (key, value) in identity.key_values() {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    let name = FileName {
        table: identity.table,
        day: day(0),
        partition,
        generation,
        start,
        end,
        schema,
    };
    (name, writer.into_inner().unwrap())
}

#[test]
fn a_file_of_several_days_counts_as_the_day_of_its_writing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for start in [0, 10, 20] {
        // Of an earlier version; of this one.
        for (partition, days) in [(0, None), (1, Some(vec![day(0)]))] {
            let (name, content) = file_of(partition, start, days);
            runtime.block_on(store.put(&name.path(), content.into())).unwrap();
        }
    }
    let gone = |retention| {
        let removals = runtime.block_on(lake::retain(&store, "records", retention, &[])).unwrap();
        let gone = removals
            .iter()
            .map(|removal| (removal.partition, removal.floor, removal.files));
        gone.collect::<Vec<_>>()
    };
    // The store's clock is today's.
    let now = SystemClock.now();
    assert_eq!(gone(Retention::of_days(30, now, false)), [(1, 20, 2)]);
    let in_a_year = now + std::time::Duration::from_secs(366 * 86_400);
    assert_eq!(gone(Retention::of_days(30, in_a_year, false)), [(0, 20, 2)]);
}

#[test]
fn what_is_lost_above_a_floor_is_missed() {
    let bench = bench(7);
    let first = || {
        bench
            .files("records")
            .into_iter()
            .find(|file| file.name.partition == 2)
            .unwrap()
    };
    let old = first().name.path();
    let bytes = bench.block_on(async { bench.store.inner().get(&old).await.unwrap().bytes().await.unwrap() });
    retain(&bench, before(10), &[]);
    let file = first();
    let floor = floors(&bench)[&(2, 1)];
    assert_eq!(file.name.start, floor, "the first file begins at the floor");
    bench.block_on(async { bench.store.inner().delete(&file.name.path()).await.unwrap() });
    let problems = bench.look().1;
    let words = [format!("offsets {floor} to"), "the file of".to_owned()];
    assert!(
        !problems.is_empty()
            && problems
                .iter()
                .any(|problem| words.iter().any(|words| problem.contains(words))),
        "{problems:?}"
    );
    for file in bench.files("records").iter().filter(|file| file.name.partition == 2) {
        bench.block_on(async { bench.store.inner().delete(&file.name.path()).await.unwrap() });
    }
    // Nor does an old file hide it that a run has left which died.
    for leftover in [false, true] {
        if leftover {
            bench.block_on(async { bench.store.inner().put(&old, bytes.clone().into()).await.unwrap() });
        }
        let problems = bench.look().1;
        assert!(
            problems
                .iter()
                .any(|problem| problem.contains(&format!("partition 2: offsets {floor} to"))),
            "{problems:?}"
        );
    }
}

/// A note that no run has made: it is reported, and the last ranges stay.
#[test]
fn a_floor_above_all_files_hides_and_deletes_nothing_more() {
    let bench = bench(9);
    let note = object_store::path::Path::from("records/_retained/00001/00002/00000000000000500000.json");
    bench.block_on(async { bench.store.inner().put(&note, "{}".into()).await.unwrap() });
    let problems = bench.look().1;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("partition 2: offsets 500000 to")),
        "{problems:?}"
    );
    retain(&bench, before(90), &[]);
    assert!(
        bench.files("records").iter().any(|file| file.name.partition == 2),
        "the last range is there"
    );
}

/// The run dies at each of its requests in turn: nothing above a floor is missing then, and the next run comes to the same end.
#[test]
fn a_run_that_dies_is_finished_by_the_next() {
    let bench = bench(8);
    let whole = bench.block_on(copy_of(bench.store.inner().as_ref()));
    let retention = before(10);
    let names = |store: &Arc<dyn ObjectStore>| {
        bench.block_on(async {
            let objects = store.list(None).map_ok(|object| object.location);
            let mut names: Vec<_> = objects.try_collect::<Vec<_>>().await.unwrap();
            names.sort();
            names
        })
    };
    retain(&bench, retention, &[]);
    let expected = names(&bench.store.inner());
    let mut deaths = 0;
    for request in 0.. {
        let store = bench.block_on(copy_of(whole.as_ref()));
        let dying = CountingStore::dying_at(store.clone(), request);
        let (mortal, table): (Arc<dyn ObjectStore>, _) = (dying.clone(), "records");
        let run = bench.block_on(lake::retain(&mortal, table, retention, &[]));
        let report = bench.block_on(lake::verify(&store, table, Depth::Offsets)).unwrap();
        assert_eq!(report.problems, [], "after request {request}");
        // It may have died where that does no harm: at the deletion of a note.
        deaths += u64::from(run.is_err());
        bench.block_on(lake::retain(&store, table, retention, &[])).unwrap();
        assert_eq!(names(&store), expected, "after request {request}");
        if !dying.is_dead() {
            break;
        }
    }
    assert!(deaths > 20, "{deaths}");
}
