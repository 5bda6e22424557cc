//! Random walks: whatever happens to events, answers, the store and the process, every file is reported to Snowflake, once it is there.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use object_store::path::Path;
use rand::RngExt;
use sinks::parquet::layout::FileName;
use support::{Shared, TABLES};
use warehouse::notifier::lake::Seen;
use warehouse::notifier::memory::{Batch, Memory};
use warehouse::notifier::metrics::Metrics;
use warehouse::notifier::watch::Watch;
use warehouse::notifier::worker::Worker;
use warehouse::notifier::{NotifierSettings, Offers, PipeRule, Source};

const STEPS: usize = 250;
const SEEDS: u64 = 600;
/// Turns within which everything must be reported once nothing fails any more.
const TURNS_MAX: usize = 2_000;

fn settings(files_max: usize, batch: usize) -> NotifierSettings {
    let rule = PipeRule::new("BANK.RAW.{TABLE}_PIPE").unwrap();
    NotifierSettings {
        files_max,
        batch_files_max: batch,
        ..NotifierSettings::new(&rule, TABLES).unwrap()
    }
}

struct Walk {
    world: Shared,
    settings: NotifierSettings,
    metrics: Metrics,
    offers: Offers,
    worker: Option<Worker>,
    /// Events that were not delivered yet.
    late: Vec<FileName>,
}

impl Walk {
    fn new(seed: u64, settings: NotifierSettings) -> Self {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        Self {
            world: Shared::new(seed),
            settings,
            offers: Offers::new(metrics.clone()),
            metrics,
            worker: None,
            late: Vec::new(),
        }
    }

    fn pick<T>(&self, choose: impl FnOnce(&mut rand_chacha::ChaCha8Rng) -> T) -> T {
        choose(&mut self.world.0.lock().rng)
    }

    /// A range of one to three days: mostly today's, sometimes of any day of the last months.
    fn decide(&self) {
        let mut world = self.world.0.lock();
        let (table, partition) = (TABLES[world.rng.random_range(0..2)], world.rng.random_range(0..2));
        let oldest = if world.rng.random_bool(0.2) { 90 } else { 1 };
        let count = if world.rng.random_bool(0.2) { 3 } else { 1 };
        let days: Vec<i64> = (0..count).map(|_| world.rng.random_range(0..=oldest)).collect();
        let days: BTreeSet<_> = days.into_iter().map(|ago| world.days_ago(ago)).collect();
        world.decide(table, partition, days);
    }

    /// The event of a file is lost, doubled or late.
    fn tell_of(&mut self, file: FileName) {
        match self.pick(|rng| rng.random_range(0..10)) {
            0..3 => {}
            3..5 => self.late.push(file),
            5 => {
                self.late.push(file.clone());
                self.offers.offer(Source::Webhook, file);
            }
            _ => {
                self.offers.offer(Source::Kafka, file);
            }
        }
    }

    fn deliver_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.pick(|rng| rng.random::<u32>()) as usize % self.late.len();
            let file = self.late.swap_remove(at);
            self.offers.offer(Source::Webhook, file);
        }
    }

    async fn turn(&mut self) -> bool {
        let worker = match self.worker.take() {
            Some(worker) => Some(worker),
            None => Worker::open(
                self.settings.clone(),
                Arc::new(self.world.clone()),
                Arc::new(self.world.clone()),
                Path::from("_riverbank/snowpipe/T.BANK.json"),
                self.offers.clone(),
                self.metrics.clone(),
            )
            .await
            .ok(),
        };
        let Some(mut worker) = worker else { return true };
        let has_more = worker.turn(self.world.now()).await;
        self.worker = Some(worker);
        has_more
    }

    fn pass(&self, time: Duration) {
        let mut world = self.world.0.lock();
        world.now += time;
    }

    fn set_faults(&self, lake: f64, pipes: f64, loads: f64) {
        let mut world = self.world.0.lock();
        (world.lake_faults, world.pipe_faults, world.bad_loads) = (lake, pipes, loads);
    }

    async fn step(&mut self) {
        match self.pick(|rng| rng.random_range(0..100)) {
            0..25 => self.decide(),
            25..45 => {
                let written = self.world.0.lock().write_one();
                if let Some(file) = written {
                    self.tell_of(file);
                }
            }
            45..55 => self.deliver_late(),
            55..58 => {
                // A crash: what it has not noted is gone.
                self.worker = None;
                self.offers = Offers::new(self.metrics.clone());
            }
            58..62 => {
                let p = self.pick(|rng| [0.0, 0.0, 0.3, 1.0][rng.random_range(0..4)]);
                let q = self.pick(|rng| [0.0, 0.0, 0.3, 1.0][rng.random_range(0..4)]);
                self.set_faults(p, q, 0.05);
            }
            62..64 => self.pass(Duration::from_secs(86_400)),
            64..80 => {
                let seconds = self.pick(|rng| rng.random_range(0..400));
                self.pass(Duration::from_secs(seconds));
            }
            _ => {
                self.turn().await;
            }
        }
    }

    /// Nothing fails any more, and no event comes any more.
    async fn settle(&mut self) {
        self.set_faults(0.0, 0.0, 0.0);
        self.world.0.lock().write_all();
        for _ in 0..TURNS_MAX {
            let has_more = self.turn().await;
            if !has_more {
                let pipes = &self.settings.pipes;
                let lag = self.worker.as_ref().unwrap().lag(self.world.now());
                let open: usize = lag.iter().map(|table| table.waiting + table.awaited).sum();
                if open == 0 && self.world.missed(pipes).is_empty() {
                    return;
                }
                self.pass(Duration::from_secs(20));
            }
        }
    }
}

#[tokio::test]
async fn every_file_is_reported_whatever_happens() {
    for seed in 0..SEEDS {
        // Also with hardly any room.
        let (files_max, batch) = if seed % 3 == 0 { (5, 2) } else { (1_000, 7) };
        let mut walk = Walk::new(seed, settings(files_max, batch));
        for _ in 0..STEPS {
            walk.step().await;
        }
        walk.settle().await;
        let missed = walk.world.missed(&walk.settings.pipes);
        assert!(missed.is_empty(), "seed {seed}: {missed:?}");
        let worker = walk.worker.as_ref().unwrap();
        assert_eq!(worker.trouble(walk.world.now()), None, "seed {seed}");
        let lag = worker.lag(walk.world.now());
        assert!(
            lag.iter().all(|table| table.waiting == 0 && table.awaited == 0),
            "seed {seed}: {lag:?}"
        );
        let world = walk.world.0.lock();
        assert!(
            world.batches_max <= batch,
            "seed {seed}: {} files in a request",
            world.batches_max
        );
    }
}

#[tokio::test]
async fn years_of_files_are_listed_once() {
    let mut walk = Walk::new(1, settings(1_000, 100));
    for ago in (0..700).rev() {
        let mut world = walk.world.0.lock();
        let day = world.days_ago(ago);
        world.decide(TABLES[0], 0, [day].into());
        world.write_all();
    }
    walk.settle().await;
    assert_eq!(walk.world.missed(&walk.settings.pipes), []);
    assert!(walk.world.0.lock().day_listings >= 700);
    // A restart, and a day of listings.
    walk.pass(Duration::from_secs(60));
    walk.turn().await;
    walk.worker = None;
    walk.world.0.lock().day_listings = 0;
    for _ in 0..24 * 12 {
        walk.pass(Duration::from_secs(300));
        while walk.turn().await {}
    }
    let listings = walk.world.0.lock().day_listings;
    assert!(listings <= 24 * 12 * 4, "{listings} days were listed");

    // A file of an old day, that no event reported and behind which others came, is looked for and found.
    walk.world.0.lock().day_listings = 0;
    for ago in [500, 0] {
        let mut world = walk.world.0.lock();
        let day = world.days_ago(ago);
        world.decide(TABLES[0], 0, [day].into());
        world.write_all();
    }
    walk.settle().await;
    assert_eq!(walk.world.missed(&walk.settings.pipes), []);
    let listings = walk.world.0.lock().day_listings;
    assert!(listings > 400 && listings < 800, "{listings} days were listed");
}

#[tokio::test]
async fn a_range_that_is_nowhere_is_reported_as_trouble() {
    let mut walk = Walk::new(2, settings(1_000, 100));
    for _ in 0..3 {
        let mut world = walk.world.0.lock();
        let day = world.days_ago(0);
        world.decide(TABLES[0], 0, [day].into());
        world.write_all();
    }
    let gone = {
        let mut world = walk.world.0.lock();
        let second = world.files.keys().nth(1).unwrap().clone();
        world.files.remove(&second);
        second
    };
    walk.settle().await;
    // It may be on its way: only a search of its own shows that it is not.
    for _ in 0..3 {
        walk.pass(Duration::from_secs(301));
        while walk.turn().await {}
    }
    let trouble = walk.worker.as_ref().unwrap().trouble(walk.world.now()).unwrap();
    let named = format!("offsets {} to {}", gone.start, gone.end);
    assert!(trouble.contains(&named) && trouble.contains(TABLES[0]), "{trouble}");
}

#[tokio::test]
async fn failed_loads_are_counted_once_and_found_after_an_absence() {
    let mut walk = Walk::new(3, settings(1_000, 100));
    walk.set_faults(0.0, 0.0, 1.0);
    let decide = |walk: &Walk| {
        let mut world = walk.world.0.lock();
        let day = world.days_ago(0);
        world.decide(TABLES[1], 1, [day].into());
        world.write_all();
    };
    decide(&walk);
    for _ in 0..20 {
        walk.pass(Duration::from_secs(60));
        while walk.turn().await {}
    }
    let failed = walk.metrics.failed_loads.with_label_values(&[TABLES[1]]);
    assert_eq!(failed.get(), 1);
    let reported_at = walk.metrics.reported_at.with_label_values(&[TABLES[1]]).get();
    let now = walk.world.now().as_duration().as_secs_f64();
    assert!(
        reported_at > now - 20.0 * 60.0 && reported_at <= now,
        "{reported_at} at {now}"
    );
    // It is reported, and the notifier is away for longer than reports reach back.
    decide(&walk);
    while failed.get() == 1 && walk.world.0.lock().received.len() < 2 {
        walk.pass(Duration::from_secs(10));
        while walk.turn().await {}
    }
    walk.pass(Duration::from_secs(35));
    walk.turn().await;
    walk.worker = None;
    walk.pass(Duration::from_secs(3 * 3_600));
    for _ in 0..20 {
        walk.pass(Duration::from_secs(60));
        while walk.turn().await {}
    }
    assert_eq!(failed.get(), 2);
    assert!(walk.world.0.lock().history_scans > 0);
    let lag = walk.worker.as_ref().unwrap().lag(walk.world.now());
    assert!(lag.iter().all(|table| table.awaited == 0), "{lag:?}");
}

/// So many files that were written then, to be reported.
fn batch(count: i64, written_at: Timestamp, now: Timestamp) -> Batch {
    let mut memory = Memory::new(settings(50_000, 50_000), BTreeMap::new());
    for start in 0..count {
        let file = FileName {
            table: TABLES[0].to_owned(),
            day: "2026-02-01".parse().unwrap(),
            partition: 0,
            generation: 1,
            start,
            end: start,
            schema: 1,
        };
        memory.offer(&file, now);
        let seen = Seen {
            size: 1,
            written_at,
            days: None,
            superseded_by: None,
        };
        memory.seen(&file, &seen, now);
    }
    memory.batches(now + Duration::from_secs(60), |_| true).remove(0)
}

/// What retention asks: such a file must not be deleted.
#[tokio::test]
async fn it_is_noted_that_a_file_is_waited_for_and_not_tracked() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (world, settings) = (Shared::new(1), settings(50_000, 5_000));
    let (now, pipe) = (world.now(), &settings.pipes[TABLES[0]]);
    let state = |watch: &Watch| watch.state().0[pipe].clone();

    let mut watch = Watch::default();
    watch.received(&batch(19_999, now, now), now);
    assert!(state(&watch).tracks_all(now));
    watch.received(&batch(20_003, now, now), now);
    let mut full = state(&watch);
    assert_eq!(full.awaited.len(), 20_000);
    assert!(!full.tracks_all(now));
    // Those that were tracked are loaded, and of the others nothing is known.
    full.awaited.clear();
    let json = serde_json::to_string(&full).unwrap();
    let full: warehouse::notifier::watch::PipeState = serde_json::from_str(&json).unwrap();
    assert!(!full.tracks_all(now + DAY) && full.tracks_all(now + 14 * DAY));

    // A file that was written long ago, and is reported only now.
    let mut watch = Watch::default();
    watch.received(&batch(1, now - 20 * DAY, now), now);
    assert!(state(&watch).tracks_all(now));
    watch.ask(&world, TABLES[0], pipe, &settings, now).await.unwrap();
    assert!(state(&watch).awaited.is_empty());
    assert!(!state(&watch).tracks_all(now) && state(&watch).tracks_all(now + 14 * DAY));
}
