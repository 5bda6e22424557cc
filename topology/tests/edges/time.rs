//! Timers, and processors that take their time.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use broker::BrokerError;
use topology::clock::ManualClock;
use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::*;
use wire::Topic;

use crate::support::*;

const TICKS: Topic<i64, i64> = Topic::new("ticks");
const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
const COUNT: KeyValue<i64, i64> = KeyValue::new("count");

/// Counts its calls by the clock, and says each number.
struct Ticking;

impl Processor for Ticking {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(7), PunctuationType::WallClockTime);
    }

    fn process(&mut self, _: &mut Context<'_, Self>, _: &Record<i64, i64>) -> Result<(), ProcessError> {
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let key = i64::from(cx.at.partition);
        let calls = cx.stores.get(&key)?.unwrap_or(0) + 1;
        cx.stores.put(key, calls);
        cx.out.forward(key, calls);
        Ok(())
    }
}

fn ticking() -> Topology {
    let builder = Builder::new("edges");
    builder.stream(INPUT).process("ticking", COUNT, || Ticking).to(TICKS);
    builder.build().unwrap()
}

#[test]
fn a_timer_of_a_worker_that_lost_its_tasks_commits_nothing() {
    let settings = EngineSettings {
        partitions: 1,
        threads: 2,
        ..EngineSettings::default()
    };
    let mut world = World::new(ticking(), settings);
    let tick = |world: &mut World| world.driver.advance_wall_clock(Duration::from_secs(8));
    (0..3).for_each(|_| tick(&mut world));
    // Whichever has the task hears nothing more, and the other takes it over, on another machine.
    let owner = (0..2).find(|worker| world.driver.has_tasks(*worker)).unwrap();
    world.log.deaf.lock().insert(format!("edges-0-{owner}"));
    world.disk.move_to("another machine");
    world.driver.expire_session(owner);
    let other = 1 - owner;
    world.driver.turns(other, 20);
    assert!(world.driver.has_tasks(other) && world.driver.has_tasks(owner));
    for _ in 0..3 {
        world.driver.pass_time(Duration::from_secs(8));
        world.driver.turns(owner, 10);
        world.driver.turns(other, 10);
    }
    world.log.deaf.lock().clear();
    world.driver.settle();
    let said: Vec<i64> = world
        .driver
        .drain(TICKS)
        .into_iter()
        .filter_map(|record| record.value)
        .collect();
    assert_eq!(said, (1..=said.len() as i64).collect::<Vec<_>>(), "each number once");
    assert_eq!(world.driver.view(COUNT), [(0, said.len() as i64)]);
    assert!(said.len() >= 6, "{said:?}");
}

#[test]
fn a_timer_that_writes_before_any_record_survives_a_crash() {
    let mut world = World::new(ticking(), one_partition());
    world.driver.advance_wall_clock(Duration::from_secs(8));
    world.disk.move_to("another machine");
    world.driver.crash().unwrap();
    world.driver.advance_wall_clock(Duration::from_secs(8));
    let said: Vec<i64> = world
        .driver
        .drain(TICKS)
        .into_iter()
        .filter_map(|record| record.value)
        .collect();
    assert_eq!(said, [1, 2]);
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
}

/// Is called, and has nothing to say.
struct Silent;

impl Processor for Silent {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(7), PunctuationType::WallClockTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        cx.stores.put(record.key, record.value);
        Ok(())
    }
}

#[test]
fn a_timer_that_writes_nothing_keeps_no_offset_from_being_committed_again() {
    let builder = Builder::new("edges");
    builder.stream(INPUT).process("silent", COUNT, || Silent);
    let mut world = World::new(builder.build().unwrap(), one_partition());
    world.queue_ones(0..3);
    world.driver.settle();
    world.log.commits.lock().clear();
    for _ in 0..50 {
        world.driver.advance_wall_clock(Duration::from_secs(1_800));
    }
    let commits = world.log.commits.lock().len();
    assert!((15..=26).contains(&commits), "about every hour of 25: {commits}");
}

#[test]
fn a_timer_whose_output_is_refused_costs_no_record() {
    let mut world = World::new(ticking(), one_partition());
    set(&world.log.send, |sent: Sent| {
        (sent.topic == "ticks").then(|| BrokerError::Refused("too large".to_owned()))
    });
    for key in 0..30 {
        world.queue_ones(key..key + 1);
        world.driver.turns(0, 1);
        world.driver.pass_time(Duration::from_millis(1_700));
    }
    world.driver.turns(0, 20);
    assert!(world.dead_letters().is_empty());
}

/// Is called by the events' time, and says when.
struct EachSecond;

impl Processor for EachSecond {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(1), PunctuationType::StreamTime);
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
fn a_call_on_stream_time_in_a_transaction_that_is_dropped_is_made_again() {
    let builder = Builder::new("edges");
    builder.stream(INPUT).process("each-second", COUNT, || EachSecond).to(TICKS);
    let mut world = World::new(builder.build().unwrap(), one_partition());
    let mut commits = 0;
    set(&world.log.commit, move |_| {
        commits += 1;
        (commits == 2).then(|| BrokerError::Unavailable("away".to_owned()))
    });
    for at_ms in [1_500, 2_500, 3_500] {
        world.driver.send(INPUT, at_ms, &0, Some(&1));
    }
    let said = world.driver.drain(TICKS).into_iter().filter_map(|record| record.value);
    assert_eq!(said.collect::<Vec<_>>(), [1_500, 2_500, 3_500]);
    assert_eq!(world.counter("test_resets_total"), 1.0);
}

/// A broker ends transactions that last for more than 15 s.
fn ending_long_transactions(world: &World, clock: ManualClock) {
    let began = topology::clock::Clock::now_ms(&clock).0;
    let last = std::sync::atomic::AtomicI64::new(began);
    set(&world.log.commit, move |_| {
        let now_ms = topology::clock::Clock::now_ms(&clock).0;
        let before = last.swap(now_ms, std::sync::atomic::Ordering::Relaxed);
        (now_ms - before > 15_000).then(|| BrokerError::Fenced("the transaction has timed out".to_owned()))
    });
}

#[test]
fn slow_processors_do_not_outlast_their_transaction() {
    let clock: Arc<OnceLock<ManualClock>> = Arc::default();
    let slow = clock.clone();
    let topology = sums_that(move |_| {
        slow.get().into_iter().for_each(|clock| clock.advance(Duration::from_secs(1)));
        Ok(())
    });
    let mut world = World::new(topology, one_partition());
    clock.set(world.driver.clock()).unwrap();
    ending_long_transactions(&world, world.driver.clock());
    world.queue_ones(0..100);
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..100));
    assert_eq!(world.forwarded(), (0..100).collect::<Vec<_>>());
}

/// Takes a second for each record.
struct Slow(Arc<OnceLock<ManualClock>>);

impl Processor for Slow {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        self.0
            .get()
            .into_iter()
            .for_each(|clock| clock.advance(Duration::from_secs(1)));
        let count = cx.stores.get(&record.key)?.unwrap_or(0) + 1;
        cx.stores.put(record.key, count);
        Ok(())
    }
}

#[test]
fn slow_processors_behind_a_hand_over_do_not_outlast_their_transaction() {
    let clock: Arc<OnceLock<ManualClock>> = Arc::default();
    let slow = clock.clone();
    let builder = Builder::new("edges");
    builder
        .stream(INPUT)
        .select_key(|key, _| key % 5)
        .repartition(BY_KEY)
        .process("slow", COUNT, move || Slow(slow.clone()));
    let mut world = World::new(builder.build().unwrap(), one_partition());
    world.queue_ones(0..5);
    world.driver.settle();
    clock.set(world.driver.clock()).unwrap();
    ending_long_transactions(&world, world.driver.clock());
    world.queue_ones(0..200);
    world.driver.settle();
    assert_eq!(world.driver.view(COUNT), (0..5).map(|key| (key, 41)).collect::<Vec<_>>());
    assert_eq!(world.counter("test_resets_total"), 0.0, "no transaction was lost");
}
