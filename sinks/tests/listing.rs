//! What it costs to look at a lake of years: requests are counted, and none reads what names say.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;

use broker::{Broker, Outgoing};
use futures::StreamExt;
use jiff::civil::Date;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use sinks::lake::{self, Depth, Keep, Scope};
use sinks::parquet::layout::{FileName, day_of};
use support::{Bench, PARTITIONS};
use testkit::object_store::CountingStore;

const DAY_MS: i64 = 86_400_000;
const FIRST_MS: i64 = 1_700_000_000_000;

fn day(number: i64) -> Date {
    day_of(FIRST_MS + number * DAY_MS)
}

/// Names of so many days, and no content: whoever reads one fails.
async fn names(days: i64, files_a_day: i64) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let name = |number: i64| FileName {
        table: "records".into(),
        day: day(number / files_a_day),
        partition: (number % 4) as u32,
        generation: 1,
        start: number / 4 * 10,
        end: number / 4 * 10 + 9,
        schema: 1,
    };
    let puts = futures::stream::iter((0..days * files_a_day).map(name)).map(|name| {
        let store = store.clone();
        async move { store.put(&name.path(), "no Parquet".into()).await.unwrap() }
    });
    puts.buffer_unordered(64).for_each(async |_| {}).await;
    store
}

/// `RIVERBANK_LISTED_FILES_A_DAY=1000` and `RIVERBANK_LISTED_DAYS=1000` make a million names, to see how long that takes.
#[tokio::test]
async fn a_listing_reads_no_file_and_each_day_once() {
    let number = |name: &str, default: i64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (days, files_a_day) = (
        number("RIVERBANK_LISTED_DAYS", 200),
        number("RIVERBANK_LISTED_FILES_A_DAY", 100),
    );
    let counting = CountingStore::new(names(days, files_a_day).await);
    let store: Arc<dyn ObjectStore> = counting.clone();
    let began = std::time::Instant::now();
    let all = lake::overview(&store, "records", None, false).await.unwrap();
    println!("{} names in {:?}", days * files_a_day, began.elapsed());
    let files: u64 = all.partitions.values().map(|totals| totals.files).sum();
    assert_eq!(
        (files as i64, all.partitions.len(), all.unrecognized),
        (days * files_a_day, 4, 0)
    );
    assert_eq!(all.partitions[&(0, 1)].end, days * files_a_day / 4 * 10 - 1);
    let (lists, listed, gets) = counting.take();
    // The folders, each day's, and the notes of topics.
    assert_eq!((lists as i64, listed as i64, gets), (days + 2, days * files_a_day, 0));

    let newest = lake::overview(&store, "records", Some(day(days - 3)), false).await.unwrap();
    let files: u64 = newest.partitions.values().map(|totals| totals.files).sum();
    assert_eq!(files as i64, 3 * files_a_day);
    let (lists, listed, gets) = counting.take();
    assert_eq!((lists, listed as i64, gets), (3 + 2, 3 * files_a_day, 0));
}

/// A lake of twenty days, some of whose ranges are of several.
fn bench() -> Bench {
    let mut bench = Bench::one(1);
    bench.settings.rows_max = 5;
    for number in 0..400_i64 {
        let value = number.to_string();
        // Every seventh record is of the day before.
        let record = Outgoing {
            topic: "records",
            partition: Some(number as u32 % PARTITIONS),
            key: None,
            value: Some(value.as_bytes()),
            timestamp_ms: FIRST_MS + (number / 20 - i64::from(number % 7 == 0)).max(0) * DAY_MS,
            headers: &[],
        };
        bench.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    }
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench
}

#[test]
fn what_is_verified_since_a_day_is_read_and_judged_from_there() {
    let bench = bench();
    let since = day(15);
    let counting = CountingStore::new(bench.store.inner());
    let store: Arc<dyn ObjectStore> = counting.clone();
    let scope = |since, keep| Scope {
        depth: Depth::Footers,
        since,
        keep,
    };
    let verify = |scope: &Scope| bench.block_on(lake::verify_in(&store, "records", scope)).unwrap();
    let newer: Vec<_> = bench.files("records").into_iter().map(|file| file.name).collect();
    let newer: Vec<_> = newer.into_iter().filter(|name| name.day >= since).collect();
    counting.take();
    let report = verify(&scope(Some(since), Keep::All));
    // A footer takes two reads: its length, and itself. Notes of the topic come on top.
    let (_, listed, gets) = counting.take();
    assert!(
        listed < 400 / 5 && gets as usize <= 2 * newer.len() + 4,
        "{listed} listed, {gets} read"
    );
    assert_eq!(report.problems, []);
    assert_eq!(report.files() as usize, newer.len());
    for partition in &report.partitions {
        assert_eq!(partition.judged_from, partition.start, "partition {}", partition.partition);
        assert!(partition.judged_from > Some(0));
    }
    let compared = lake::compare_with_log(&*bench.log(), bench.tables[0].as_ref(), &report, support::BOUND).unwrap();
    assert_eq!(compared.problems, []);
    let rows: u64 = compared.partitions.iter().map(|partition| partition.records).sum();
    assert_eq!(rows, report.rows());

    // The files that stay in memory are those which the log still has.
    let report = verify(&scope(None, Keep::NONE));
    assert!(report.partitions.iter().all(|partition| partition.files.is_empty()));
    let whole = verify(&scope(None, Keep::All));
    assert_eq!((report.files(), report.rows()), (whole.files(), 400));
    let from = whole.partitions[0].files[3].name.end;
    let kept = verify(&scope(None, Keep::From([(0, from)].into())));
    assert_eq!(kept.partitions[0].files, whole.partitions[0].files[3..]);
    assert!(kept.partitions[1].files.is_empty());
}

/// A range whose records are all of older days is between two that are not: it is looked for, and is no gap.
#[test]
fn a_late_range_is_no_gap_since_a_day() {
    let mut bench = Bench::one(2);
    bench.settings.rows_max = 2;
    for number in [10, 10, 2, 2, 11, 11, 12, 12] {
        let record = Outgoing {
            topic: "records",
            partition: Some(0),
            key: None,
            value: Some(b"a"),
            timestamp_ms: FIRST_MS + number * DAY_MS,
            headers: &[],
        };
        bench.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    }
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    let scope = Scope {
        depth: Depth::Offsets,
        since: Some(day(5)),
        keep: Keep::All,
    };
    let store = bench.store.inner();
    let verify = || bench.block_on(lake::verify_in(&store, "records", &scope)).unwrap();
    assert_eq!(verify().problems, []);
    let late = bench
        .files("records")
        .into_iter()
        .find(|file| file.name.day == day(2))
        .unwrap();
    bench.block_on(async { store.delete(&late.name.path()).await.unwrap() });
    let problems: Vec<_> = verify().problems.iter().map(ToString::to_string).collect();
    assert!(
        problems.len() == 1 && problems[0].contains("offsets 2 to 3 are in no file"),
        "{problems:?}"
    );
}
