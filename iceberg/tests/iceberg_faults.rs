//! What goes wrong with Iceberg sinks elsewhere, and every other fault that we could think of: none lost, none doubled.
//!
//! The numbers are those of apache/iceberg's issues about its Kafka Connect sink.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use futures::StreamExt;
use iceberg_tables::{CatalogError, CommitError};
use object_store::ObjectStoreExt;
use support::bench::Bench;
use support::catalog::Fault;
use support::{DAY_MS, FIRST_DAY_MS, catch_up, progress};

/// A coordinator that was taken for dead and goes on writes its old offsets over the newer ones; when the log has dropped them, the rows
/// are lost.
#[tokio::test]
async fn apache_iceberg_17551_a_zombie_never_moves_offsets_back() {
    let mut bench = Bench::new(1).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    let (mut zombie, mut other) = (bench.committer(), bench.committer());
    // The zombie has found files and is about to commit them; the other one, elected in its place, commits them and more.
    bench.catalog.next(&[None, Some(Fault::Late)]);
    zombie.turn().await.unwrap_err();
    assert_eq!(catch_up(&mut other).await, 1);
    bench.lake.write(0, 10, 10, FIRST_DAY_MS).await;
    assert_eq!(catch_up(&mut other).await, 1);
    let before = progress(bench.truth.as_ref()).await;
    // Its commit arrives at last, and it goes on as if nothing had been.
    let arrived = bench.catalog.arrive().await;
    assert!(matches!(arrived.as_slice(), [Err(CatalogError::Conflict(_))]), "{arrived:?}");
    assert_eq!(catch_up(&mut zombie).await, 0);
    assert_eq!(progress(bench.truth.as_ref()).await, before);
    // The other one dies, and the zombie is the only one.
    drop(other);
    bench.lake.write(0, 20, 10, FIRST_DAY_MS).await;
    assert_eq!(catch_up(&mut zombie).await, 1);
    bench.prove().await;
}

/// After a restart in the middle of a commit, the same files are committed by the next one.
#[tokio::test]
async fn apache_iceberg_17340_files_are_not_committed_again_after_a_restart() {
    for fault in Fault::ALL {
        let mut bench = Bench::new(2).await;
        bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
        catch_up(&mut bench.committer()).await;
        bench.lake.write(0, 10, 10, FIRST_DAY_MS).await;
        bench.catalog.next(&[Some(fault)]);
        bench.committer().turn().await.unwrap_err();
        // Started anew, with nothing that the first one knew.
        bench.lake.write(0, 20, 10, FIRST_DAY_MS).await;
        catch_up(&mut bench.committer()).await;
        bench.catalog.arrive().await;
        catch_up(&mut bench.committer()).await;
        bench.prove().await;
    }
}

/// A commit succeeded, the answer was lost, and the coordinator that takes over registers the same files in a second snapshot.
#[tokio::test]
async fn apache_iceberg_16282_a_successor_adds_nothing_twice() {
    let mut bench = Bench::new(3).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    bench.catalog.next(&[None, Some(Fault::After)]);
    let failed = bench.committer().turn().await.unwrap_err();
    assert!(matches!(failed, CommitError::Catalog(CatalogError::Unknown(_))), "{failed}");
    assert_eq!(catch_up(&mut bench.committer()).await, 0, "it was committed");
    bench.prove().await;
}

/// Two coordinators at once.
#[tokio::test]
async fn apache_iceberg_17637_two_committers_at_once_add_nothing_twice() {
    let mut bench = Bench::new(4).await;
    let (mut one, mut other) = (bench.committer(), bench.committer());
    let mut snapshots = 0;
    for range in 0..20 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS + range * DAY_MS / 7).await;
        bench.lake.write(1, range * 5, 5, FIRST_DAY_MS).await;
        let (first, second) = tokio::join!(one.turn(), other.turn());
        for result in [first, second] {
            match result {
                Ok(committed) => snapshots += u64::from(committed.snapshot),
                Err(CommitError::Catalog(CatalogError::Conflict(_))) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    snapshots += catch_up(&mut one).await;
    assert_eq!(catch_up(&mut other).await, 0);
    bench.prove().await;
    // None was put in the place of another one.
    let loaded = bench.truth.load(&support::table_name()).await.unwrap().unwrap();
    assert_eq!(loaded.metadata.snapshots().len() as u64, snapshots);
    assert_eq!(loaded.metadata.last_sequence_number() as u64, snapshots);
    // A list and a manifest for each, and what the first two may have left that found no snapshot at all.
    let folder = support::path("bronze.records/metadata");
    let files = bench
        .lake
        .store
        .list(Some(&folder))
        .map(|file| file.unwrap().location.to_string());
    let avro: Vec<_> = files
        .filter(|path| std::future::ready(path.ends_with(".avro")))
        .collect()
        .await;
    assert!(avro.len() as u64 <= snapshots * 2 + 2, "{avro:?}");
}

/// The same path stands in two snapshots. Here a path is of its offsets alone, and of offsets, one range is in the table.
#[tokio::test]
async fn apache_iceberg_13763_a_path_is_in_the_table_once() {
    let mut bench = Bench::new(5).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    let (intent, files) = bench.lake.range(0, 1, 0, 10, FIRST_DAY_MS);
    for _ in 0..3 {
        catch_up(&mut bench.committer()).await;
        // The sink writes its intent again, and makes sure that the files are there.
        bench.lake.decide(&intent).await;
        bench.lake.put(&files[0]).await;
    }
    // A second file of offsets that are in the table is no further file, and one that overlaps the next range stops the table.
    let (_, inside) = bench.lake.range(0, 1, 3, 4, FIRST_DAY_MS);
    bench
        .lake
        .store
        .put(&inside[0].file.path(), inside[0].bytes.clone().into())
        .await
        .unwrap();
    assert_eq!(catch_up(&mut bench.committer()).await, 0);
    bench.prove().await;
    let (_, across) = bench.lake.range(0, 1, 8, 5, FIRST_DAY_MS);
    bench
        .lake
        .store
        .put(&across[0].file.path(), across[0].bytes.clone().into())
        .await
        .unwrap();
    bench.lake.write(0, 10, 5, FIRST_DAY_MS).await;
    bench.lake.write(0, 15, 5, FIRST_DAY_MS).await;
    let refused = bench.committer().turn().await.unwrap_err().to_string();
    assert!(refused.contains("offset 10 is in two files"), "{refused}");
}

/// What was there before the sink was started is left out.
#[tokio::test]
async fn apache_iceberg_13536_what_was_there_before_is_in_the_table() {
    let mut bench = Bench::new(6).await;
    for partition in 0..3 {
        let mut start = i64::from(partition) * 1_000;
        for range in 0..30 {
            bench.lake.write(partition, start, 7, FIRST_DAY_MS + range * DAY_MS / 2).await;
            start += 7;
        }
    }
    let mut committer = bench.committer().with_files_max(20);
    assert!(catch_up(&mut committer).await >= 5, "in parts");
    bench.prove().await;
    // A partition that comes later, whose first records are of long ago.
    bench.lake.write(7, 0, 5, 0).await;
    catch_up(&mut committer).await;
    bench.prove().await;
}

/// A range counts when all of its days' files are there.
#[tokio::test]
async fn a_range_counts_when_it_is_whole() {
    let mut bench = Bench::new(8).await;
    let mut committer = bench.committer();
    bench.lake.write(0, 0, 5, FIRST_DAY_MS).await;
    catch_up(&mut committer).await;
    let (intent, files) = bench.lake.range(0, 1, 5, 20, FIRST_DAY_MS + DAY_MS - 600_000);
    assert_eq!(files.len(), 2);
    bench.lake.decide(&intent).await;
    assert_eq!(catch_up(&mut committer).await, 0, "nothing of it is there");
    bench.lake.put(&files[1]).await;
    assert_eq!(catch_up(&mut committer).await, 0, "half of it is there");
    assert_eq!(catch_up(&mut bench.committer()).await, 0, "half of it is there");
    bench.lake.put(&files[0]).await;
    assert_eq!(catch_up(&mut committer).await, 1);
    bench.prove().await;
}

/// A newer version of the sink finished a range that an older one had begun, whose days are far apart.
#[tokio::test]
async fn a_range_of_two_shapes_is_whole() {
    let mut bench = Bench::new(15).await;
    bench.lake.write(0, 0, 5, FIRST_DAY_MS + 9 * DAY_MS).await;
    let mut committer = bench.committer();
    catch_up(&mut committer).await;
    let days = [FIRST_DAY_MS, FIRST_DAY_MS + 9 * DAY_MS];
    let (intent, old) = bench.lake.range_of_days(0, 1, 5, 4, &days);
    bench.lake.decide(&intent).await;
    bench.lake.put(&old[0]).await;
    bench.lake.table = Arc::new(support::Records { version: 2, more: true });
    let (intent, new) = bench.lake.range_of_days(0, 1, 5, 4, &days);
    let mark = bench.lake.superseded(&old[1]);
    bench.lake.store.put(&old[1].file.path(), mark).await.unwrap();
    assert_eq!(catch_up(&mut committer).await, 0);
    bench.lake.put(&new[1]).await;
    drop(intent);
    // By the intent, and by listings of a part of the days.
    bench.lake.write(0, 9, 5, FIRST_DAY_MS + 9 * DAY_MS).await;
    assert_eq!(catch_up(&mut committer).await, 1);
    bench.prove().await;
}

/// A day's file was deleted.
#[tokio::test]
async fn a_range_that_lacks_a_day_stops_the_table_once_the_sink_has_gone_on() {
    let mut bench = Bench::new(16).await;
    bench.lake.write(0, 0, 5, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    let (intent, files) = bench.lake.range(0, 1, 5, 20, FIRST_DAY_MS + DAY_MS - 600_000);
    bench.lake.decide(&intent).await;
    bench.lake.put(&files[1]).await;
    bench.lake.write(0, 25, 5, FIRST_DAY_MS + DAY_MS).await;
    let refused = bench.committer().turn().await.unwrap_err().to_string();
    assert!(refused.contains("offsets from 5 on are in no file"), "{refused}");
    bench.lake.put(&files[0]).await;
    catch_up(&mut bench.committer()).await;
    bench.prove().await;
}

/// The topic was made anew, and its offsets begin at 0 again; then its log was cut off.
#[tokio::test]
async fn generations_follow_one_another() {
    let mut bench = Bench::new(9).await;
    let mut committer = bench.committer();
    bench.lake.note_generation(1, 11, &[]).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    bench.lake.write(1, 0, 10, FIRST_DAY_MS).await;
    catch_up(&mut committer).await;
    // Its last range was never finished.
    let (intent, files) = bench.lake.range(0, 1, 10, 20, FIRST_DAY_MS + DAY_MS - 600_000);
    bench.lake.decide(&intent).await;
    bench.lake.put(&files[0]).await;
    assert_eq!(catch_up(&mut committer).await, 0);
    bench.lake.note_generation(2, 22, &[]).await;
    bench.lake.write_in(2, 0, 4, 10, FIRST_DAY_MS + 2 * DAY_MS).await;
    catch_up(&mut committer).await;
    bench.prove().await;
    bench.lake.note_generation(3, 22, &[(0, 9)]).await;
    bench.lake.write_in(3, 0, 10, 10, FIRST_DAY_MS + 2 * DAY_MS).await;
    bench.lake.write_in(2, 1, 0, 3, FIRST_DAY_MS + 2 * DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    bench.prove().await;
    let at = progress(bench.truth.as_ref()).await;
    let at: Vec<_> =
        at.0.iter()
            .map(|(partition, at)| (*partition, at.generation, at.next))
            .collect();
    assert_eq!(at, [(0, 3, 20), (1, 2, 3)]);
}

/// The table is never told that it has what is in no file.
#[tokio::test]
async fn a_gap_stops_the_table_and_says_where() {
    let mut bench = Bench::new(10).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    bench.lake.write(0, 15, 10, FIRST_DAY_MS).await;
    bench.lake.write(0, 25, 10, FIRST_DAY_MS).await;
    for mut committer in [bench.committer(), bench.committer()] {
        let refused = committer.turn().await.unwrap_err().to_string();
        assert!(refused.contains("offsets from 10 on are in no file"), "{refused}");
    }
    bench.lake.write(0, 10, 5, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    bench.prove().await;
}

/// An operator has said that what is missing is gone.
#[tokio::test]
async fn a_gap_is_passed_over_where_that_is_asked_for() {
    let mut bench = Bench::new(14).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    for start in [15, 25, 40] {
        bench.lake.write(0, start, 10, FIRST_DAY_MS).await;
    }
    catch_up(&mut bench.committer().with_gaps_skipped()).await;
    bench.prove().await;
    bench.lake.write(0, 50, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    bench.prove().await;
}

/// A listing takes a while: it may show a later file and not the first one.
#[tokio::test]
async fn a_listing_that_misses_the_first_file_loses_nothing() {
    let mut bench = Bench::new(11).await;
    for range in 0..3 {
        bench.lake.write(0, range * 10, 10, FIRST_DAY_MS + range * DAY_MS).await;
    }
    let (_, first) = bench.lake.range(0, 1, 0, 10, FIRST_DAY_MS);
    bench.faulty.hide_once(first[0].file.path());
    catch_up(&mut bench.committer()).await;
    bench.prove().await;
}

/// A table that is close to its sink costs the same whether the lake has a year or ten.
#[tokio::test]
async fn a_turn_does_not_list_the_years_before() {
    let mut bench = Bench::new(12).await;
    for range in 0..400 {
        bench.lake.write(0, range, 1, FIRST_DAY_MS + range * DAY_MS).await;
    }
    let mut committer = bench.committer();
    catch_up(&mut committer).await;
    bench.faulty.take_lists();
    let mut listed = Vec::new();
    for range in 400..403 {
        bench.lake.write(0, range, 1, FIRST_DAY_MS + range * DAY_MS).await;
        assert_eq!(catch_up(&mut committer).await, 1);
        listed.push(bench.faulty.take_lists().1);
    }
    assert!(listed.iter().all(|objects| *objects <= 6), "{listed:?}");
    // One that was away for some ranges lists their days.
    for range in 403..406 {
        bench.lake.write(0, range, 1, FIRST_DAY_MS + range * DAY_MS).await;
    }
    assert_eq!(catch_up(&mut bench.committer()).await, 1);
    let objects = bench.faulty.take_lists().1;
    assert!(objects <= 20, "{objects}");
    bench.prove().await;
}

/// Another writer's snapshots say nothing of offsets: those before them do, and where those are expired, the table's property does.
#[tokio::test]
async fn other_writers_snapshots_are_looked_past() {
    use iceberg_tables::catalog::Commit;
    use iceberg_tables::metadata::Update;
    let mut bench = Bench::new(13).await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.committer()).await;
    let name = support::table_name();
    let ours = bench.truth.load(&name).await.unwrap().unwrap();
    let mut theirs = ours.metadata.current_snapshot().unwrap().clone();
    let parent = theirs["snapshot-id"].clone();
    theirs["parent-snapshot-id"] = parent.clone();
    theirs["snapshot-id"] = 77.into();
    theirs["sequence-number"] = 2.into();
    theirs["summary"] = serde_json::json!({"operation": "replace", "total-records": "10"});
    let commit = |updates| Commit {
        requirements: vec![],
        updates,
    };
    let replaced = commit(vec![Update::Snapshot(theirs)]);
    bench.truth.commit(&name, &ours, &replaced).await.unwrap();
    assert_eq!(catch_up(&mut bench.committer()).await, 0);
    bench.lake.write(0, 10, 10, FIRST_DAY_MS).await;
    let theirs = bench.truth.load(&name).await.unwrap().unwrap();
    let expired = commit(vec![Update::Expire(vec![parent.as_i64().unwrap()])]);
    bench.truth.commit(&name, &theirs, &expired).await.unwrap();
    assert_eq!(catch_up(&mut bench.committer()).await, 1);
    bench.prove().await;
    // Without either, nothing is guessed.
    let loaded = bench.truth.load(&name).await.unwrap().unwrap();
    let mut json = loaded.metadata.json().clone();
    json["properties"].as_object_mut().unwrap().remove("riverbank.offsets");
    for snapshot in json["snapshots"].as_array_mut().unwrap() {
        snapshot["summary"].as_object_mut().unwrap().remove("riverbank.offsets");
    }
    let path = bench.lake.place.path_of(&loaded.location).unwrap();
    bench.lake.store.put(&path, json.to_string().into()).await.unwrap();
    let refused = bench.committer().turn().await.unwrap_err().to_string();
    assert!(refused.contains("riverbank.offsets"), "{refused}");
}
