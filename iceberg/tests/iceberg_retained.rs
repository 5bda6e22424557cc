//! What `riverbank lake retain` has removed is not missed, where it was not asked what the table needs.
#![allow(clippy::unwrap_used)]

mod support;

use sinks::lake::{self, Retention};
use sinks::parquet::layout::day_of;
use support::{DAY_MS, FIRST_DAY_MS, Folder, catch_up};

fn day(number: i64) -> i64 {
    FIRST_DAY_MS + number * DAY_MS
}

/// Removes the days before one, without a question.
async fn retain(bench: &Folder, before: i64) {
    let retention = Retention {
        before: day_of(day(before)),
        today: day_of(day(100)),
        dry_run: false,
    };
    let removals = lake::retain(&bench.lake.store, support::TABLE, retention, &[]).await.unwrap();
    assert!(!removals.is_empty());
}

/// The table has what is left of the files.
async fn prove(bench: &mut Folder, is_left: impl Fn(i32, i64) -> bool) {
    bench
        .lake
        .written
        .retain(|(generation, _, offset), _| is_left(*generation, *offset));
    bench.lake.prove(bench.catalog.as_ref()).await;
}

#[tokio::test]
async fn a_table_behind_the_floor_goes_on_at_it() {
    let mut bench = Folder::new().await;
    bench.lake.write(0, 0, 10, day(0)).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    for range in 1..5 {
        bench.lake.write(0, range * 10, 10, day(range)).await;
    }
    retain(&bench, 3).await;
    // The table's own file is read below; the one after it is what a run has left that died: the next one deletes it.
    for range in 0..2 {
        let (_, files) = bench.lake.range(0, 1, range * 10, 10, day(range));
        bench.lake.put(&files[0]).await;
    }
    let mut committer = bench.lake.committer(&bench.catalog);
    catch_up(&mut committer).await;
    prove(&mut bench, |_, offset| !(10..30).contains(&offset)).await;
    // Above the floor, what is missing is missed.
    bench.lake.write(0, 60, 10, day(6)).await;
    let refused = committer.turn().await.unwrap_err().to_string();
    assert!(refused.contains("offsets from 50 on are in no file"), "{refused}");
}

#[tokio::test]
async fn a_generation_that_was_removed_whole_is_passed() {
    let mut bench = Folder::new().await;
    bench.lake.note_generation(1, 11, &[]).await;
    bench.lake.write(0, 0, 10, day(0)).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    bench.lake.write(0, 10, 10, day(1)).await;
    bench.lake.write(0, 20, 10, day(2)).await;
    bench.lake.note_generation(2, 22, &[]).await;
    bench.lake.write_in(2, 0, 0, 10, day(5)).await;
    retain(&bench, 3).await;
    let (_, files) = bench.lake.range(0, 1, 0, 10, day(0));
    bench.lake.put(&files[0]).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    prove(&mut bench, |generation, offset| generation == 2 || offset < 10).await;
}

#[tokio::test]
async fn a_table_that_is_made_amid_a_removal_begins_at_the_floor() {
    let mut bench = Folder::new().await;
    let (intent, files) = bench.lake.range_of_days(0, 1, 0, 20, &[day(0), day(1)]);
    bench.lake.decide(&intent).await;
    for file in &files {
        bench.lake.put(file).await;
    }
    bench.lake.write(0, 20, 10, day(2)).await;
    bench.lake.write(0, 30, 10, day(5)).await;
    bench.lake.write(0, 40, 10, day(6)).await;
    retain(&bench, 3).await;
    bench.lake.put(&files[1]).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    prove(&mut bench, |_, offset| offset >= 30).await;
}

#[tokio::test]
async fn names_that_were_listed_before_a_removal_are_forgotten() {
    let mut bench = Folder::new().await;
    for range in 0..4 {
        bench.lake.write(0, range * 10, 10, day(range * 2)).await;
    }
    // Another partition stops the table's first turn, which has listed all.
    let (intent, files) = bench.lake.range_of_days(1, 1, 0, 10, &[day(7), day(8)]);
    bench.lake.decide(&intent).await;
    bench.lake.put(&files[0]).await;
    bench.lake.write(1, 10, 10, day(8)).await;
    let mut committer = bench.lake.committer(&bench.catalog);
    let refused = committer.turn().await.unwrap_err().to_string();
    assert!(refused.contains("partition 1: offsets from 0 on"), "{refused}");
    retain(&bench, 3).await;
    bench.lake.put(&files[1]).await;
    catch_up(&mut committer).await;
    bench
        .lake
        .written
        .retain(|(_, partition, offset), _| *partition == 1 || *offset >= 20);
    bench.lake.prove(bench.catalog.as_ref()).await;
}
