//! What the simulated bank promises: it repeats, it never takes what is not there but on purpose, it keeps the pace.

#[path = "support/strict.rs"]
mod strict;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simulator::{Batch, Pace, Profile, SimulatedBank, Totals, drive};
use strict::{StrictBank, StrictTarget};

fn small() -> Profile {
    Profile {
        customers: 12,
        ..Profile::default()
    }
}

async fn run(seed: u64, profile: Profile, lanes: usize, fail_one_in: u64, pace: Pace) -> (Totals, StrictBank) {
    let target = Arc::new(StrictTarget {
        fail_one_in,
        ..StrictTarget::default()
    });
    let totals = drive(SimulatedBank::lanes(seed, profile, lanes), Arc::clone(&target), pace).await;
    let totals = totals.unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let bank = target.bank.lock().clone();
    (totals, bank)
}

fn count(count: u64) -> Pace {
    Pace {
        count: Some(count),
        ..Pace::default()
    }
}

#[test]
fn the_same_seed_makes_the_same_operations_and_another_seed_others() {
    let draw = |seed: u64| -> Vec<(Vec<Batch>, Vec<Batch>)> {
        let lanes = SimulatedBank::lanes(seed, Profile::default(), 4);
        lanes
            .into_iter()
            .map(|lane| (lane.population().collect(), lane.take(1_000).collect()))
            .collect()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn what_a_lane_does_never_depends_on_how_far_the_others_are() {
    for seed in 0..6 {
        let lanes = || SimulatedBank::lanes(seed, Profile::demonstration(), 4);
        let alone: Vec<Vec<Batch>> = lanes().into_iter().map(|lane| lane.take(300).collect()).collect();
        // Each lane's turn comes by a pattern of its own, and each ends when it has done its part.
        let mut lanes = lanes();
        let mut mixed: Vec<Vec<Batch>> = vec![Vec::new(); lanes.len()];
        for turn in 0_usize.. {
            for (n, lane) in lanes.iter_mut().enumerate() {
                if mixed[n].len() < 300 && turn.is_multiple_of(n + 1) {
                    mixed[n].extend(lane.next());
                }
            }
            if mixed.iter().all(|batches| batches.len() == 300) {
                break;
            }
        }
        assert!(alone == mixed, "seed {seed}");
    }
}

#[test]
fn every_kind_of_operation_occurs() {
    let bank = SimulatedBank::new(42, Profile::default());
    let kinds: BTreeSet<&str> = bank
        .population()
        .chain(bank.take(5_000))
        .flat_map(|batch| batch.operations)
        .map(|op| op.kind())
        .collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_refuses_only_what_was_meant_to_be_refused() {
    for seed in 0..12 {
        let lanes = 1 + seed as usize % 4;
        let (totals, bank) = run(seed, small(), lanes, 0, count(1_500)).await;
        assert_eq!(totals.unexpected_refusals, 0, "seed {seed}, {lanes} lanes: {totals}");
        assert!(totals.refusals() > 0, "seed {seed}: nothing was overdrawn on purpose");
        let founded = 12 + 24;
        assert_eq!(totals.operations() + totals.refusals(), 1_500 + founded, "seed {seed}");
        assert!(bank.accounts.values().all(|account| account.balance >= 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_of_salaries_and_of_rows_that_go_refuse_nothing_either() {
    for seed in 0..8 {
        let profile = Profile {
            customers: 12,
            ..Profile::demonstration()
        };
        let lanes = 1 + seed as usize % 4;
        let (totals, bank) = run(seed, profile, lanes, 0, count(3_000)).await;
        assert_eq!(totals.unexpected_refusals, 0, "seed {seed}, {lanes} lanes: {totals}");
        assert!(bank.accounts.values().all(|account| account.balance >= 0));
    }
}

#[tokio::test]
async fn a_tiny_bank_of_many_lanes_goes_on_for_ever() {
    for seed in 0..8 {
        let profile = Profile {
            customers: 3,
            accounts_per_customer: 1,
            ..Profile::default()
        };
        let (totals, _) = run(seed, profile, 16, 0, count(2_000)).await;
        assert_eq!(totals.unexpected_refusals, 0, "seed {seed}: {totals}");
    }
}

#[tokio::test]
async fn amounts_of_a_currency_without_cents_are_whole() {
    let profile = Profile {
        currencies: vec!["JPY".parse().expect("yen")],
        ..small()
    };
    let (totals, bank) = run(5, profile, 2, 0, count(1_000)).await;
    assert_eq!(totals.unexpected_refusals, 0, "{totals}");
    assert!(bank.transactions.values().all(|draft| draft.amount.fits_scale(0)));
}

#[tokio::test]
async fn commits_that_failed_are_tried_again_and_nothing_is_missing() {
    let (calm, quiet_bank) = run(3, small(), 1, 0, count(500)).await;
    let (rough, shaken_bank) = run(3, small(), 1, 5, count(500)).await;
    assert!(rough.retries > 0);
    assert_eq!((calm.applied, calm.refused), (rough.applied, rough.refused));
    assert_eq!(quiet_bank.transactions, shaken_bank.transactions);
}

#[tokio::test]
async fn the_same_seed_twice_into_the_same_bank_is_refused_with_advice() {
    let target = Arc::new(StrictTarget::default());
    drive(SimulatedBank::lanes(1, small(), 2), Arc::clone(&target), count(10))
        .await
        .expect("the first run");
    let error = drive(SimulatedBank::lanes(1, small(), 2), target, count(10))
        .await
        .expect_err("the second run");
    assert!(format!("{error:#}").contains("give another --seed"), "{error:#}");
}

#[tokio::test]
async fn the_rate_is_kept_and_the_time_ends_the_run() {
    let started = Instant::now();
    let (totals, _) = run(
        9,
        small(),
        3,
        0,
        Pace {
            rate: Some(400),
            ..count(200)
        },
    )
    .await;
    assert_eq!(totals.operations() + totals.refusals(), 200 + 36);
    // The last commit of a few operations is due when those before it were.
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());

    let pace = Pace {
        rate: Some(1_000),
        run_for: Some(Duration::from_millis(300)),
        ..Pace::default()
    };
    let (totals, _) = run(9, small(), 3, 0, pace).await;
    assert!((1..=400).contains(&(totals.operations() - 36)), "{totals}");

    let pace = Pace::default();
    pace.stop.cancel();
    let (totals, _) = run(9, small(), 3, 0, pace).await;
    assert_eq!(totals.operations(), 0);
}
