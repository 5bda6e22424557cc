//! What rows add to a group between two commits goes on in one record, and the groups are what they are without that.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use topology::dsl::{Builder, Table};
use topology::store::{MemoryBackends, TimestampedKeyValue};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

/// What each parcel weighs, and where it is.
const PARCELS: Topic<i64, (i64, i64)> = Topic::new("parcels");
/// How many parcels are in a place, and what they weigh.
const PLACES: Topic<i64, (i64, i64)> = Topic::new("places");

/// Sums that are larger go on one by one.
const SUMMED_MAX: i64 = 400;

fn added((parcels, weight): &(i64, i64), other: &(i64, i64)) -> (i64, i64) {
    (parcels + other.0, weight + other.1)
}

fn sum(one: &(i64, i64), other: &(i64, i64)) -> Option<(i64, i64)> {
    Some(added(one, other)).filter(|(_, weight)| *weight < SUMMED_MAX)
}

fn places(parcels: &Table<i64, (i64, i64)>) -> Table<i64, (i64, i64)> {
    let of_place = |_: &i64, (place, weight): &(i64, i64)| (*place, (1, *weight));
    // Nothing is left where no parcel is: whoever took back first would lose what others weigh.
    parcels.group_by_summed(of_place, sum, "by-place", 1 << 20).reduce(
        "places",
        |all, parcel| Some(added(all, parcel)),
        |all, parcel| Some((all.0 - parcel.0, all.1 - parcel.1)).filter(|(parcels, _)| *parcels != 0),
    )
}

fn start(in_memory: bool) -> TestDriver {
    let builder = Builder::new("summed");
    let parcels = builder.table(PARCELS, "parcels");
    places(&parcels).to_stream().to_compacted(PLACES);
    let settings = EngineSettings {
        partitions: 3,
        repartition_in_memory: in_memory,
        ..EngineSettings::default()
    };
    TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap()
}

/// Parcels come, change their weights, move, and go, several times between two commits.
fn check(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut driver = start(seed.is_multiple_of(2));
    let mut parcels = BTreeMap::new();
    for _ in 0..rng.random_range(1..8) {
        for at_ms in 0..rng.random_range(1..60) {
            let parcel = rng.random_range(0..12);
            let now = rng
                .random_bool(0.8)
                .then(|| (rng.random_range(0..4), rng.random_range(-20..100)));
            match now {
                Some(now) => drop(parcels.insert(parcel, now)),
                None => drop(parcels.remove(&parcel)),
            }
            driver.queue(PARCELS, at_ms, &parcel, now.as_ref());
        }
        if rng.random_bool(0.3) {
            driver.turns(0, rng.random_range(1..4));
            driver.crash().unwrap();
        }
        driver.settle();
        let mut expected = BTreeMap::<i64, (i64, i64)>::new();
        for (place, weight) in parcels.values() {
            let all = expected.entry(*place).or_default();
            *all = added(all, &(1, *weight));
        }
        let rows = driver.view(TimestampedKeyValue::<i64, (i64, i64)>::new("places"));
        let rows: BTreeMap<_, _> = rows.into_iter().map(|(place, row)| (place, row.value)).collect();
        assert_eq!(rows, expected, "SEED={seed}");
    }
}

#[test]
fn groups_are_what_their_rows_come_to() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(200), |seed| seed..seed + 1);
    seeds.for_each(check);
}

#[test]
fn a_group_has_a_record_a_commit_and_none_where_nothing_changes() {
    let mut driver = start(true);
    let mut send = |parcels: &[(i64, Option<(i64, i64)>)]| {
        for (at_ms, (parcel, now)) in (1..).zip(parcels) {
            driver.queue(PARCELS, at_ms, &(parcel * 3), now.as_ref());
        }
        driver.settle();
        let told = driver.drain(PLACES).into_iter();
        told.map(|record| (record.key, record.value, record.timestamp_ms.0))
            .collect::<Vec<_>>()
    };
    // All in one partition.
    assert_eq!(send(&[(0, Some((7, 5)))]), [(7, Some((1, 5)), 1)]);
    let several = [(0, Some((7, 6))), (0, Some((7, 9))), (0, Some((7, 4))), (0, Some((7, 8)))];
    assert_eq!(send(&several), [(7, Some((1, 8)), 4)]);
    assert_eq!(send(&[(0, Some((7, 6))), (0, Some((7, 8)))]), []);
    // It came, was weighed again, and went.
    assert_eq!(
        send(&[(0, None), (0, Some((8, 6))), (0, Some((8, 7))), (0, None)]),
        [(7, None, 4)]
    );
}
