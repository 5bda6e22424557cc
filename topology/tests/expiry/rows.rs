//! What is seen of rows that expire, case by case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::{Builder, Materialized};
use topology::store::{Backends, MemoryBackends, TimestampedKeyValue};
use topology::testing::TestDriver;
use topology::{Context, EngineSettings, Millis, ProcessError, Processor, Record};

use crate::model::Model;
use crate::support::*;

const MANY: i64 = 3_500;

/// Many rows, and two records behind them by whose time all of those have expired. Nothing of these is processed yet.
fn many(disk: &Arc<dyn Backends>) -> TestDriver {
    let b = Builder::new("expiry");
    b.table(VALUES, recent()).to_stream().to_compacted(ROWS);
    let one = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    let mut driver = TestDriver::with(b.build().unwrap(), one, disk.clone()).unwrap();
    for key in 0..MANY {
        driver.queue(VALUES, key % 10, &key, Some(&key));
    }
    driver.settle();
    assert_eq!(driver.drain(ROWS).len(), MANY as usize);
    driver.queue(VALUES, 1_000, &-1, Some(&7));
    driver.queue(VALUES, 1_000, &5, Some(&8));
    driver
}

/// The rows that expire, and nothing else, have gone; also from the disk.
fn only_new_ones_are_left(mut driver: TestDriver, disk: &Arc<dyn Backends>) {
    let rows = driver.view(RECENT).into_iter().map(|(key, row)| (key, row.value));
    assert_eq!(rows.collect::<Vec<_>>(), [(-1, 7), (5, 8)]);
    driver.advance_wall_clock(Duration::from_secs(2));
    drop(driver);
    let backend = disk.open("values/0", &["recent", "recent-times"]).unwrap();
    assert_eq!([0, 1].map(|family| backend.range(family, &[], None).count()), [2, 2]);
}

#[test]
fn many_that_expire_at_once_take_several_commits_and_are_seen_by_nobody() {
    let disk: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let mut driver = many(&disk);
    let mut commits = Vec::new();
    while commits.iter().sum::<usize>() < MANY as usize + 2 {
        driver.turns(0, 1);
        let told = driver.drain(ROWS);
        let expired = told.iter().filter(|record| record.value.is_none());
        let expired = expired
            .inspect(|record| assert_eq!(record.timestamp_ms, Millis(1_000)))
            .count();
        assert!(expired <= 1_000, "{expired}");
        if !told.is_empty() {
            commits.push(told.len());
            assert!(driver.view(RECENT).len() <= 2, "what has expired is seen");
        }
    }
    assert_eq!(commits, [1_000, 1_000, 1_000, 502]);
    only_new_ones_are_left(driver, &disk);
}

#[test]
fn who_takes_over_amid_them_goes_on_where_the_last_commit_was() {
    for turns in 0..12 {
        let disk: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
        let mut driver = many(&disk);
        driver.turns(0, turns);
        driver.crash().unwrap();
        let told = driver.drain(ROWS);
        let mut gone: Vec<_> = told
            .iter()
            .filter(|record| record.value.is_none())
            .map(|record| record.key)
            .collect();
        gone.sort_unstable();
        assert!(gone.into_iter().eq(0..MANY), "each goes once");
        assert_eq!(told.len(), MANY as usize + 2);
        only_new_ones_are_left(driver, &disk);
    }
}

#[test]
fn an_aggregate_begins_anew_when_its_row_has_expired() {
    let b = Builder::new("expiry");
    let counts = b.stream(VALUES).group_by_key().count(recent());
    counts.to_stream().to_compacted(ROWS);
    let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    // The third is late, and counts as long as the row is there; the last one is too late to make a row.
    for at_ms in [0, 90, 10, 191, 400, 300, 600, 450] {
        driver.send(VALUES, at_ms, &1, Some(&0));
    }
    let told: Vec<_> = driver
        .drain(ROWS)
        .into_iter()
        .map(|record| (record.timestamp_ms.0, record.value))
        .collect();
    let expected = [
        (0, Some(1)),
        (90, Some(2)),
        (90, Some(3)),
        (191, None),
        (191, Some(1)),
        (400, None),
        (400, Some(1)),
        (400, Some(2)),
        (600, None),
        (600, Some(1)),
        (600, Some(2)),
    ];
    assert_eq!(told, expected);
}

/// What is behind such a table is told of each row that goes, so that it can take back what the row had added.
#[test]
fn what_was_added_is_taken_back() {
    for seed in 0..20 {
        let b = Builder::new("expiry");
        let (left, right) = (b.table(VALUES, recent()), b.table(OTHERS, "others"));
        let joined = left.join(&right, |left, right| left * right);
        let totals = joined.group_by(|_, value| (0, *value), "all");
        totals
            .reduce("totals", |sum, value| sum + value, |sum, value| sum - value)
            .to_stream()
            .to_compacted(TOTALS);
        let mut driver = TestDriver::with(b.build().unwrap(), settings(1), Arc::new(MemoryBackends::default())).unwrap();
        let mut random = StdRng::seed_from_u64(seed);
        let (mut models, mut others): ([Model; 2], _) = (Default::default(), BTreeMap::new());
        let mut now_ms = 1_000;
        for _ in 0..80 {
            now_ms += random.random_range(0..40);
            let (key, value) = (random.random_range(0..6), random.random_range(1..10));
            let at_ms = now_ms - [0, 0, 50, 150][random.random_range(0..4)];
            if random.random_bool(0.5) {
                driver.send(VALUES, at_ms, &key, Some(&value));
                models[partition(key)].write(key, Some(value), at_ms);
            } else {
                driver.send(OTHERS, at_ms, &key, Some(&value));
                models[partition(key)].pass(at_ms);
                others.insert(key, value);
            }
            let rows = models.iter().flat_map(|model| &model.rows);
            let expected: i64 = rows.filter_map(|(key, (value, _))| Some(value * others.get(key)?)).sum();
            let total = driver.view(TimestampedKeyValue::<i64, i64>::new("totals"));
            assert_eq!(total.first().map_or(0, |(_, row)| row.value), expected, "seed {seed}");
        }
    }
}

/// A record that came in the order of the log is not seen by one that comes later by time, if the row has expired by then.
#[test]
fn the_record_that_moves_time_on_sees_nothing_that_has_expired_by_it() {
    let b = Builder::new("expiry");
    let table = b.table(VALUES, recent());
    let at = |_: &i64, value: &i64, _: Millis| Millis(*value);
    b.stream_at(OTHERS, at)
        .left_join(&table, |_, _, row| row.copied().unwrap_or(-1))
        .to(JOINED);
    let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    driver.send(VALUES, 1_000, &1, Some(&5));
    // By the time that is extracted, and not by the log's.
    for extracted_ms in [1_100, 1_101, 1_050] {
        driver.send(OTHERS, 0, &1, Some(&extracted_ms));
    }
    let joined: Vec<_> = driver.drain(JOINED).into_iter().map(|record| record.value.unwrap()).collect();
    assert_eq!(joined, [5, -1, -1]);
}

/// A processor without inputs beside it: a single source that extracts times is read ahead, too.
#[test]
fn a_single_source_that_extracts_times_moves_time_on_before_its_record() {
    let b = Builder::new("expiry");
    let counts = b
        .stream_at(VALUES, |_, value, _| Millis(*value))
        .group_by_key()
        .count(recent());
    counts.to_stream().to_compacted(ROWS);
    let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    [1_000, 1_100, 1_201]
        .iter()
        .for_each(|at_ms| driver.send(VALUES, 0, &1, Some(at_ms)));
    let told: Vec<_> = driver.drain(ROWS).into_iter().map(|record| record.value).collect();
    assert_eq!(told, [Some(1), Some(2), None, Some(1)]);
}

#[test]
fn by_the_logs_time_what_cannot_be_read_moves_time_on_and_expires_nothing_wrongly() {
    struct Picky;
    impl Processor for Picky {
        type KeyIn = i64;
        type In = i64;
        type KeyOut = i64;
        type Out = i64;
        type Stores = ();
        fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
            match record.value {
                13 => Err(ProcessError::Record("thirteen".to_owned())),
                _ => {
                    cx.out.forward(record.key, record.value);
                    Ok(())
                }
            }
        }
    }
    let b = Builder::new("expiry");
    let table = b.stream(VALUES).process("picky", (), || Picky).to_table::<i64>(recent());
    table.to_stream().to_compacted(ROWS);
    let one = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    let mut driver = TestDriver::with(b.build().unwrap(), one, Arc::new(MemoryBackends::default())).unwrap();
    driver.send(VALUES, 0, &1, Some(&1));
    driver.send(VALUES, 50, &2, Some(&2));
    driver.send(VALUES, 101, &3, Some(&13));
    assert_eq!(driver.view(RECENT).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [2]);
    driver.send_bytes(VALUES.name(), 151, Some(&4_i64.to_be_bytes()), Some(b"no number"));
    driver.send(VALUES, 149, &5, Some(&5));
    assert_eq!(driver.view(RECENT).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [5]);
}

/// An update that fails behind the table, as a row expires, is no record's fault, and holds up none.
#[test]
fn a_row_that_cannot_expire_holds_up_no_record() {
    struct Refuses;
    impl Processor for Refuses {
        type KeyIn = i64;
        type In = Option<i64>;
        type KeyOut = i64;
        type Out = i64;
        type Stores = ();
        fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, Option<i64>>) -> Result<(), ProcessError> {
            match (record.key, record.value) {
                (1, None) => Err(ProcessError::Record("no".to_owned())),
                (2, None) => panic!("at a row that expires"),
                (_, value) => {
                    cx.out.forward(record.key, value.unwrap_or(-1));
                    Ok(())
                }
            }
        }
    }
    let one = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    for key in [1, 2] {
        let b = Builder::new("expiry");
        b.table(VALUES, recent())
            .to_stream()
            .process("refuses", (), || Refuses)
            .to(JOINED);
        let mut driver = TestDriver::with(b.build().unwrap(), one.clone(), Arc::new(MemoryBackends::default())).unwrap();
        driver.send(VALUES, 0, &key, Some(&10));
        driver.send(VALUES, 200, &3, Some(&30));
        driver.send(VALUES, 201, &4, Some(&40));
        let got: Vec<_> = driver.drain(JOINED).into_iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(got, [10, 30, 40], "key {key}");
        let seen: Vec<_> = driver.view(RECENT).into_iter().map(|(key, _)| key).collect();
        assert_eq!(seen, [3, 4], "queries go by the time");
    }
}

/// Rows without a time would never go, and times without their rows say nothing of the rows that came after.
#[test]
fn whether_rows_expire_is_not_changed_under_what_is_there() {
    let plain = || {
        let b = Builder::new("expiry");
        b.table(VALUES, "recent").to_stream().to_compacted(ROWS);
        b.build().unwrap()
    };
    let mut driver = TestDriver::new(plain()).unwrap();
    let (rows, times) = ("expiry-recent-changelog", "expiry-recent-times-changelog");
    driver.send(VALUES, 0, &1, Some(&1));
    let refused = driver.deploy(table()).unwrap_err().to_string();
    assert!(refused.contains("recent") && refused.contains(rows), "{refused}");
    // There is nothing of it yet.
    let mut driver = TestDriver::new(plain()).unwrap();
    driver.deploy(table()).unwrap();
    driver.send(VALUES, 0, &1, Some(&1));
    let refused = driver.deploy(plain()).unwrap_err().to_string();
    assert!(refused.contains(times), "{refused}");
    driver.broker().delete_topic(times);
    driver.deploy(plain()).unwrap();
    assert_eq!(driver.view(RECENT).len(), 1);
    assert!(driver.deploy(table()).is_err());
}

#[test]
fn a_backlog_behind_a_repartition_topic_is_worked_off() {
    for in_memory in [true, false] {
        let b = Builder::new("expiry");
        let counts = b.stream(VALUES).group_by(|_, value| *value, "by-value").count(recent());
        // Not compacted, as all of it is looked at.
        counts.to_stream().to(ROWS);
        let settings = EngineSettings {
            repartition_in_memory: in_memory,
            ..settings(1)
        };
        let mut driver = TestDriver::with(b.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
        driver.send(VALUES, 0, &0, Some(&-1));
        driver.advance_wall_clock(Duration::from_secs(5));
        for value in 0..2 * MANY {
            driver.queue(VALUES, value % 7, &0, Some(&value));
        }
        driver.settle();
        for value in 0..2 * MANY {
            driver.queue(VALUES, 1_000 + value % 7, &0, Some(&value));
        }
        driver.settle();
        let mut handed = driver.metrics().gather().into_iter();
        let handed = handed.find(|family| family.name() == "test_handed_over_records_total");
        assert_eq!(handed.is_some(), in_memory, "that is the way that is looked at");
        let told = driver.drain(ROWS);
        let mut gone: Vec<_> = told
            .iter()
            .filter(|record| record.value.is_none())
            .map(|record| record.key)
            .collect();
        gone.sort_unstable();
        assert!(gone.into_iter().eq(-1..2 * MANY), "each goes once, {in_memory}");
        assert!(told.iter().all(|record| record.value.is_none_or(|count| count == 1)));
        assert_eq!(driver.view(RECENT).len(), 2 * MANY as usize);
    }
}

#[test]
fn it_cannot_keep_versions_as_well() {
    let b = Builder::new("expiry");
    let both = Materialized::versioned("recent", Duration::from_secs(1)).expire_after(Duration::from_secs(1));
    b.table(VALUES, both);
    let error = b.build().err().unwrap().to_string();
    assert!(error.contains("recent") && error.contains("versions"), "{error}");
}

#[test]
fn processors_behind_rows_that_expire_are_in_their_own_partition() {
    struct Places;
    impl Processor for Places {
        type KeyIn = i64;
        type In = Option<i64>;
        type KeyOut = i64;
        type Out = i64;
        type Stores = ();
        fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, Option<i64>>) -> Result<(), ProcessError> {
            cx.out.forward(record.key, i64::from(cx.at.partition));
            Ok(())
        }
    }
    let b = Builder::new("expiry");
    let places = b.table(VALUES, recent()).to_stream().process("places", (), || Places);
    places.to(JOINED);
    let mut driver = TestDriver::with(b.build().unwrap(), settings(1), Arc::new(MemoryBackends::default())).unwrap();
    let keys: Vec<i64> = (0..8).collect();
    for at_ms in [0, 101, 202] {
        keys.iter().for_each(|key| driver.send(VALUES, at_ms, key, Some(&1)));
    }
    let seen = driver.drain(JOINED);
    assert!(seen.len() > 3 * keys.len(), "rows have expired");
    for record in seen {
        assert_eq!(record.value, Some(partition(record.key) as i64), "of key {}", record.key);
    }
}
