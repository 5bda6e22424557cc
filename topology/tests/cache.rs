//! Of a cached table's updates, the last of each key and commit goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::{Builder, Table};
use topology::store::{MemoryBackends, TimestampedKeyValue};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const SALES: Topic<i64, i64> = Topic::new("sales");
const TOTALS: Topic<i64, i64> = Topic::new("totals");
const SIZES: Topic<i64, i64> = Topic::new("sizes");

/// A sale that removes the row.
const CLOSES: i64 = -1;
/// A total that nothing behind the table can process.
const BAD: i64 = 13;

fn totals(builder: &Builder) -> Table<i64, i64> {
    let sales = builder.stream(SALES).group_by_key();
    sales.aggregate("totals", || 0, |_, sale, sum| (*sale != CLOSES).then_some(sum + sale))
}

fn start(builder: Builder, settings: EngineSettings) -> TestDriver {
    let settings = EngineSettings {
        partitions: 2,
        ..settings
    };
    TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap()
}

fn queue(driver: &mut TestDriver, sales: &[(i64, i64)]) {
    for (at_ms, (key, sale)) in (1..).zip(sales) {
        driver.queue(SALES, at_ms, key, Some(sale));
    }
}

fn changes(driver: &mut TestDriver, topic: Topic<i64, i64>) -> Vec<(i64, Option<i64>)> {
    let all = driver.drain(topic).into_iter();
    let mut all: Vec<_> = all.map(|record| (record.key, record.value)).collect();
    // Stable: the order of each key stays.
    all.sort_by_key(|(key, _)| *key);
    all
}

#[test]
fn one_update_of_each_key_goes_on_at_a_commit() {
    let builder = Builder::new("cache");
    totals(&builder).cached("last", 1 << 20).to_stream().to_compacted(TOTALS);
    let mut driver = start(builder, EngineSettings::default());
    queue(&mut driver, &[(1, 5), (2, 1), (1, 6), (3, 4), (3, CLOSES), (1, 7)]);
    driver.settle();
    // The third came and went.
    assert_eq!(changes(&mut driver, TOTALS), [(1, Some(18)), (2, Some(1))]);
    queue(&mut driver, &[(2, 1), (2, CLOSES), (1, CLOSES), (1, 9)]);
    driver.settle();
    assert_eq!(changes(&mut driver, TOTALS), [(1, Some(9)), (2, None)]);
    let rows = driver.view(TimestampedKeyValue::<i64, i64>::new("totals"));
    assert_eq!(rows.len(), 1, "what is looked up is as it is");
}

/// How many keys have each total: what a row was is taken back, through a repartition topic or memory, into a second cache.
fn counted(in_memory: bool, crashes: bool) -> Vec<(i64, i64)> {
    let builder = Builder::new("cache");
    let by_total = totals(&builder)
        .cached("last", 1 << 20)
        .group_by(|_, total| (*total, 0), "by-total");
    let counts = by_total.count("counts");
    counts.cached("last-counts", 1 << 20).to_stream().to_compacted(SIZES);
    let settings = EngineSettings {
        repartition_in_memory: in_memory,
        ..EngineSettings::default()
    };
    let mut driver = start(builder, settings);
    for round in 0..6 {
        let sales: Vec<_> = (0..20).map(|key| (key % 7, 1 + (key + round) % 3)).collect();
        queue(&mut driver, &sales);
        if crashes {
            driver.turns(0, 1);
            driver.crash().unwrap();
        }
        driver.settle();
    }
    let mut said = std::collections::BTreeMap::new();
    said.extend(changes(&mut driver, SIZES));
    let rows = driver.view(TimestampedKeyValue::<i64, i64>::new("counts"));
    let rows: Vec<_> = rows.into_iter().map(|(total, row)| (total, row.value)).collect();
    let said: Vec<_> = said.into_iter().map(|(total, count)| (total, count.unwrap())).collect();
    assert_eq!(
        said.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
        rows.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    );
    rows.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn what_a_row_was_at_the_last_commit_is_what_is_taken_back() {
    let mut expected = std::collections::BTreeMap::new();
    for key in 0..7 {
        let sales = (0..6).flat_map(|round| (0..20).map(move |at| (at % 7, 1 + (at + round) % 3)));
        let total: i64 = sales.filter(|(of, _)| *of == key).map(|(_, sale)| sale).sum();
        *expected.entry(total).or_insert(0) += 1;
    }
    let expected: Vec<(i64, i64)> = expected.into_iter().collect();
    for (in_memory, crashes) in [(true, false), (false, false), (true, true), (false, true)] {
        assert_eq!(
            counted(in_memory, crashes),
            expected,
            "in memory: {in_memory}, crashes: {crashes}"
        );
    }
}

#[test]
fn what_a_failed_record_changed_does_not_go_on() {
    let builder = Builder::new("cache");
    let totals = totals(&builder);
    totals.cached("last", 1 << 20).to_stream().to_compacted(TOTALS);
    totals.to_stream().process("checking", (), || Checking);
    let mut driver = start(builder, EngineSettings::default());
    queue(&mut driver, &[(1, 5), (2, BAD), (1, BAD - 5), (1, 1)]);
    driver.settle();
    assert_eq!(changes(&mut driver, TOTALS), [(1, Some(6))]);
    assert_eq!(driver.drain_bytes("cache-dead-letters").len(), 2);
}

/// Refuses a total.
struct Checking;

impl Processor for Checking {
    type KeyIn = i64;
    type In = Option<i64>;
    type KeyOut = i64;
    type Out = i64;
    type Stores = ();

    fn process(&mut self, _: &mut Context<'_, Self>, record: &Record<i64, Option<i64>>) -> Result<(), ProcessError> {
        match record.value {
            Some(BAD) => Err(ProcessError::Record("it is bad".to_owned())),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_update_that_fails_at_the_commit_makes_its_record_a_dead_letter() {
    let builder = Builder::new("cache");
    let last = totals(&builder).cached("last", 1 << 20);
    last.to_stream().process("checking", (), || Checking);
    last.to_stream().to_compacted(TOTALS);
    let mut driver = start(builder, EngineSettings::default());
    queue(&mut driver, &[(1, 5), (2, 1), (3, BAD), (1, 6), (4, 2)]);
    driver.settle();
    assert_eq!(changes(&mut driver, TOTALS).last(), Some(&(4, Some(2))));
    let letters = driver.drain_bytes("cache-dead-letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&BAD.to_be_bytes()[..]));
    let rows = driver.view(TimestampedKeyValue::<i64, i64>::new("totals"));
    assert_eq!(
        rows.iter().map(|(key, row)| (*key, row.value)).collect::<Vec<_>>(),
        [(1, 11), (2, 1), (4, 2)]
    );
}

#[test]
fn a_full_cache_is_committed() {
    let builder = Builder::new("cache");
    // A key and its values take 24 bytes, or 16 where there was no row before.
    totals(&builder).cached("last", 40).to_stream().to_compacted(TOTALS);
    let settings = EngineSettings {
        commit_interval: Duration::from_secs(1),
        ..EngineSettings::default()
    };
    let mut driver = start(builder, settings);
    queue(&mut driver, &[(1, 1), (1, 1), (2, 1), (3, 1), (4, 1), (1, 1), (1, 1)]);
    driver.settle();
    let of_first: Vec<_> = changes(&mut driver, TOTALS)
        .into_iter()
        .filter(|(key, _)| *key == 1)
        .collect();
    assert_eq!(of_first, [(1, Some(2)), (1, Some(4))]);
}
