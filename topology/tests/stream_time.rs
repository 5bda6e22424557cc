//! Stream time is the highest event time that a task has seen, ever: over crashes, and wherever the task goes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends, Put, Versioned};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const EVENTS: Topic<i64, i64> = Topic::new("events");
const OUT: Topic<i64, i64> = Topic::new("out");
const SEEN: KeyValue<i64, i64> = KeyValue::new("seen");
const VERSIONS: Versioned<i64, i64> = Versioned::new("versions", Duration::from_millis(100));

fn start(topology: Topology) -> TestDriver {
    let settings = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).unwrap()
}

/// What becomes of a task's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Restart,
    Crash,
    /// Nothing is left but what is in the log.
    Move,
}

const FATES: [Fate; 3] = [Fate::Restart, Fate::Crash, Fate::Move];

fn meet(driver: &mut TestDriver, fate: Fate) {
    match fate {
        Fate::Restart => driver.restart().unwrap(),
        Fate::Crash => driver.crash().unwrap(),
        Fate::Move => {
            driver.take_down(0, false);
            driver.give_disk(0, Arc::new(MemoryBackends::default()));
            driver.revive(0).unwrap();
            driver.settle();
        }
    }
}

fn values(driver: &mut TestDriver) -> Vec<i64> {
    driver.drain(OUT).into_iter().filter_map(|record| record.value).collect()
}

/// Says the stream time in each of its calls.
struct Telling;

impl Processor for Telling {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_millis(100), PunctuationType::StreamTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        cx.stores.put(record.key, record.value);
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, punctuation: Punctuation) -> Result<(), ProcessError> {
        cx.out.forward(0, punctuation.timestamp_ms.0);
        Ok(())
    }
}

#[test]
fn a_late_record_after_a_restart_does_not_turn_stream_time_back() {
    for fate in FATES {
        let builder = Builder::new("time");
        builder.stream(EVENTS).process("telling", SEEN, || Telling).to(OUT);
        let mut driver = start(builder.build().unwrap());
        driver.send(EVENTS, 1_050, &1, Some(&1));
        assert_eq!(values(&mut driver), [1_050]);
        meet(&mut driver, fate);
        let at_rest = driver.queries().get(SEEN, &1).unwrap();
        assert_eq!(at_rest.position.stream_time_ms, Millis(1_050), "{fate:?}");
        driver.send(EVENTS, 500, &1, Some(&2));
        // Punctuators begin anew: their first call comes with the first record.
        assert_eq!(values(&mut driver), [1_050], "{fate:?}");
        driver.send(EVENTS, 1_099, &1, Some(&3));
        assert_eq!(values(&mut driver), Vec::<i64>::new(), "{fate:?}");
        driver.send(EVENTS, 1_101, &1, Some(&4));
        assert_eq!(values(&mut driver), [1_101], "{fate:?}");
    }
}

/// Puts what comes, and says what became of it.
struct Putting;

impl Processor for Putting {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = Versioned<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let put = cx.stores.put(&record.key, Some(record.value), record.timestamp_ms)?;
        if record.value < 0 {
            return Err(ProcessError::Record("a record that counts for nothing".to_owned()));
        }
        cx.out.forward(record.key, i64::from(put == Put::TooLate));
        Ok(())
    }
}

#[test]
fn a_version_that_is_too_late_is_so_after_a_restart() {
    for fate in FATES {
        let builder = Builder::new("time");
        builder.stream(EVENTS).process("putting", VERSIONS, || Putting).to(OUT);
        let mut driver = start(builder.build().unwrap());
        driver.send(EVENTS, 1_000, &1, Some(&1));
        // It does not even move the time.
        driver.send(EVENTS, 5_000, &1, Some(&-1));
        meet(&mut driver, fate);
        driver.send(EVENTS, 899, &2, Some(&2));
        driver.send(EVENTS, 900, &2, Some(&3));
        assert_eq!(values(&mut driver), [0, 1, 0], "{fate:?}");
    }
}
