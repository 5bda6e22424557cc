//! All faults at once, and an end after each step: none lost, none doubled.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use iceberg_tables::{Catalog, SqlCatalog};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::bench::Bench;
use support::{DAY_MS, FIRST_DAY_MS, catch_up};
use testkit::object_store::Fault as StoreFault;

/// Everything at once, in an order that a number replays: faults of catalog and store, committers that are killed at any step, several
/// at once, commits that arrive late, and compactors that merge under their hands and are killed as well.
#[tokio::test]
async fn whatever_fails_nothing_is_lost_or_doubled() {
    let (mut arrived, mut committed, mut merged) = (0, 0, 0);
    for seed in 0..40 {
        let mut bench = Bench::new(seed).await;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut committers = vec![bench.committer(), bench.committer()];
        let mut starts = [0; 3];
        bench.catalog.suffer(0.3);
        bench.faulty.suffer(&StoreFault::ALL, 0.03);
        let (mut numbers, mut late) = (vec![0], 0);
        for _ in 0..40 {
            match rng.random_range(0..8) {
                0 | 1 => {
                    let partition = rng.random_range(0..3_u32);
                    let (start, count) = (starts[partition as usize], rng.random_range(1..12));
                    let day = rng.random_range(0..5) * DAY_MS + rng.random_range(0..2) * (DAY_MS - 300_000);
                    bench.lake.write(partition, start, count, FIRST_DAY_MS + day).await;
                    // Some offsets are of transactions' markers.
                    starts[partition as usize] = start + count;
                }
                2 => {
                    let at = rng.random_range(0..committers.len());
                    committers[at] = bench.committer();
                }
                3 => {
                    // Which may stall as well, in the store: then it never arrives.
                    let arrived = tokio::time::timeout(Duration::from_millis(40), bench.catalog.arrive()).await;
                    late += arrived.map_or(0, |results| results.len());
                }
                4 => {
                    let _ = tokio::time::timeout(Duration::from_millis(60), bench.compactor().run()).await;
                }
                5 => {
                    // Both at once.
                    let at = rng.random_range(0..committers.len());
                    let compactor = bench.compactor();
                    let both = async { tokio::join!(compactor.run(), committers[at].turn()) };
                    let _ = tokio::time::timeout(Duration::from_millis(60), both).await;
                }
                _ => {
                    let at = rng.random_range(0..committers.len());
                    // One that waits for an answer that never comes is given up.
                    let _ = tokio::time::timeout(Duration::from_millis(40), committers[at].turn()).await;
                }
            }
            if let Some(loaded) = bench.truth.load(&support::table_name()).await.unwrap() {
                numbers.push(loaded.metadata.last_sequence_number());
            }
        }
        // No snapshot was ever put in the place of another one.
        assert!(numbers.is_sorted(), "seed {seed}: {numbers:?}");
        arrived += late;
        committed += numbers.last().unwrap();
        bench.catalog.suffer(0.0);
        bench.faulty.recover();
        catch_up(&mut bench.committer()).await;
        bench.catalog.arrive().await;
        for committer in &mut committers {
            catch_up(committer).await;
        }
        merged += bench.replaced().await;
        let rows = bench.lake.table_rows(bench.truth.as_ref()).await;
        assert_eq!(rows.len(), bench.lake.written.len(), "seed {seed}");
        assert_eq!(rows, bench.lake.written, "seed {seed}");
        bench.compactor().run().await.unwrap();
        let rows = bench.lake.table_rows(bench.truth.as_ref()).await;
        assert_eq!(rows, bench.lake.written, "seed {seed}, compacted");
    }
    // The faults were met by something.
    assert!(
        arrived > 0 && committed >= 40 && merged > 0,
        "{arrived} late commits, {committed} snapshots, {merged} of them by compactors"
    );
}

/// Killed after each request to store and catalog: what was asked is done, and nothing after it.
#[tokio::test]
async fn a_committer_that_is_killed_at_any_step_leaves_nothing_behind_that_counts() {
    let mut steps = 0;
    loop {
        let mut bench = Bench::new(steps).await;
        bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
        catch_up(&mut bench.committer()).await;
        bench.lake.write(0, 10, 10, FIRST_DAY_MS + DAY_MS - 300_000).await;
        let killed = Arc::new(support::killed::Killed::after(bench.faulty.inner(), steps));
        let file = bench.folder.path().join("catalog.db");
        let inner = SqlCatalog::sqlite(&file, "riverbank", killed.clone(), bench.lake.place.clone());
        let catalog: Arc<dyn Catalog> = Arc::new(inner.await.unwrap());
        let access = bench.lake.access(catalog, killed.clone());
        let mut committer = iceberg_tables::Committer::new(bench.lake.table.clone(), access);
        let ended = committer.turn().await;
        drop(committer);
        catch_up(&mut bench.committer()).await;
        bench.prove().await;
        if ended.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 8, "{steps} steps");
}

/// The same for a compactor, in the middle of what it reads, writes, checks and swaps.
#[tokio::test]
async fn a_compactor_that_is_killed_at_any_step_leaves_nothing_behind_that_counts() {
    let mut steps = 0;
    loop {
        let mut bench = Bench::new(steps).await;
        for range in 0..4 {
            bench.lake.write(0, range * 10, 10, FIRST_DAY_MS).await;
        }
        catch_up(&mut bench.committer()).await;
        let killed = Arc::new(support::killed::Killed::after(bench.faulty.inner(), steps));
        let file = bench.folder.path().join("catalog.db");
        let inner = SqlCatalog::sqlite(&file, "riverbank", killed.clone(), bench.lake.place.clone());
        let compactor = bench.compactor_of(Arc::new(inner.await.unwrap()), killed.clone());
        let ended = compactor.run().await;
        drop(compactor);
        bench.prove().await;
        bench.lake.write(0, 40, 10, FIRST_DAY_MS).await;
        catch_up(&mut bench.committer()).await;
        bench.compactor().run().await.unwrap();
        bench.prove().await;
        if ended.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 15, "{steps} steps");
}
