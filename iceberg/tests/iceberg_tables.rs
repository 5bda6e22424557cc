//! What is committed is what pyiceberg and DuckDB read.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use iceberg_tables::{Access, Named, NamedError, Retained, Retention, TableName, named_files};
use object_store::ObjectStoreExt;
use serde_json::json;
use sinks::parquet::layout::day_of;
use support::{DAY_MS, FIRST_DAY_MS, Folder, Records, catch_up, judge, progress};

#[tokio::test]
async fn other_programs_read_the_same_rows() {
    let mut bench = Folder::new().await;
    // Two partitions; one range of them has two days.
    bench.lake.write(0, 0, 40, FIRST_DAY_MS).await;
    bench.lake.write(1, 7, 30, FIRST_DAY_MS + DAY_MS - 600_000).await;
    let mut committer = bench.lake.committer(&bench.catalog);
    assert_eq!(catch_up(&mut committer).await, 1);
    bench.lake.write(0, 40, 5, FIRST_DAY_MS + 3_600_000).await;
    // With a column more.
    bench.lake.table = Arc::new(Records { version: 2, more: true });
    bench.lake.write(1, 37, 3, FIRST_DAY_MS + DAY_MS).await;
    assert_eq!(catch_up(&mut committer).await, 1);
    bench.lake.prove(bench.catalog.as_ref()).await;

    let properties = json!({"type": "sql", "uri": bench.database(), "warehouse": "file:///tmp"});
    let read = judge::pyiceberg(&properties, "");
    assert_eq!(read.rows, bench.lake.written);
    let columns = &read.json["columns"];
    assert_eq!(
        (columns["amount"].as_str(), columns["more"].as_str()),
        (Some("decimal(38, 4)"), Some("string"))
    );
    let summary = &read.json["summary"];
    assert_eq!(
        (&summary["total-records"], &summary["added-data-files"]),
        (&"78".into(), &"2".into())
    );
    // Offset 44 of partition 0, and 39 of partition 1.
    assert_eq!(summary["riverbank.watermark"], "1039");
    let at = progress(bench.catalog.as_ref()).await;
    let next: Vec<_> = at.0.iter().map(|(partition, at)| (*partition, at.next)).collect();
    assert_eq!(next, [(0, 45), (1, 40)]);

    let of_duckdb = judge::duckdb(read.json["metadata"].as_str().unwrap());
    assert_eq!(of_duckdb.rows, bench.lake.written);
}

#[tokio::test]
async fn bounds_leave_out_files_and_no_rows() {
    let mut bench = Folder::new().await;
    for range in 0..6 {
        bench.lake.write(0, range * 10, 10, FIRST_DAY_MS + range * DAY_MS).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    let properties = json!({"type": "sql", "uri": bench.database(), "warehouse": "file:///tmp"});
    for (filter, files, rows) in [
        ("id >= 250 and id < 270", 1, 2),
        ("amount > 50.0000", 1, 5),
        ("amount < 0.0000", 1, 5),
        ("note = 'g1 p0 o31'", 2, 1),
        ("at >= '2024-10-08T00:00:00+00:00'", 2, 20),
        ("_offset >= 60", 0, 0),
    ] {
        let read = judge::pyiceberg(&properties, filter);
        let found = (read.rows.len(), read.json["files"].as_u64().unwrap());
        assert_eq!(found, (rows, files), "{filter}");
    }
}

/// What is in the folder of the table's metadata.
async fn metadata_files(bench: &Folder) -> usize {
    let folder = support::path("bronze.records/metadata");
    bench.lake.store.list(Some(&folder)).count().await
}

#[tokio::test]
async fn snapshots_expire_and_leave_nothing_behind() {
    use iceberg_tables::catalog::Commit;
    use iceberg_tables::metadata::Update;
    let mut bench = Folder::new().await;
    let mut committer = bench.lake.committer(&bench.catalog);
    bench.lake.write(0, 0, 2, FIRST_DAY_MS).await;
    catch_up(&mut committer).await;
    let name = support::table_name();
    let loaded = bench.catalog.load(&name).await.unwrap().unwrap();
    // Snapshots are of yesterday as soon as they are there.
    let properties = [
        ("history.expire.max-snapshot-age-ms", "-1000"),
        ("write.metadata.previous-versions-max", "5"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let commit = Commit {
        requirements: vec![],
        updates: vec![Update::Properties(properties.into())],
    };
    bench.catalog.commit(&name, &loaded, &commit).await.unwrap();
    for range in 1..240 {
        bench.lake.write(0, range * 2, 2, FIRST_DAY_MS + range * 60_000).await;
        assert!(committer.turn().await.unwrap().snapshot);
    }
    bench.lake.prove(bench.catalog.as_ref()).await;
    let loaded = bench.catalog.load(&name).await.unwrap().unwrap();
    // The newest, and the one before it, at which the branch still was.
    assert_eq!(loaded.metadata.snapshots().len(), 2);
    let properties = json!({"type": "sql", "uri": bench.database(), "warehouse": "file:///tmp"});
    let read = judge::pyiceberg(&properties, "");
    assert_eq!(read.rows, bench.lake.written);
    let manifests: usize = read.json["summary"]["manifests-count"].as_str().unwrap().parse().unwrap();
    // Two lists, six metadata files, and the manifests that they name.
    let files = metadata_files(&bench).await;
    assert!(files <= manifests + 9, "{files} files, {manifests} manifests");
    // Where no commit comes any more, the next look at its old days lets them expire.
    let access = bench.lake.access(bench.catalog.clone(), bench.lake.store.clone());
    let retention = Retention::new(support::TABLE, access, day_of(FIRST_DAY_MS), Duration::from_secs(86_400));
    assert_eq!(retention.run().await.unwrap(), Retained::default());
    let loaded = bench.catalog.load(&name).await.unwrap().unwrap();
    assert_eq!(loaded.metadata.snapshots().len(), 1);
    assert_eq!(judge::pyiceberg(&properties, "").rows, bench.lake.written);
    assert!(metadata_files(&bench).await < files + 1, "its list is deleted");
}

#[tokio::test]
async fn manifests_are_merged_and_nothing_is_lost() {
    let mut bench = Folder::new().await;
    let mut committer = bench.lake.committer(&bench.catalog);
    for range in 0..230 {
        bench.lake.write(0, range * 2, 2, FIRST_DAY_MS + range * 60_000).await;
        assert!(committer.turn().await.unwrap().snapshot);
    }
    bench.lake.prove(bench.catalog.as_ref()).await;
    let properties = json!({"type": "sql", "uri": bench.database(), "warehouse": "file:///tmp"});
    let read = judge::pyiceberg(&properties, "");
    assert_eq!(read.rows, bench.lake.written);
    let manifests: u32 = read.json["summary"]["manifests-count"].as_str().unwrap().parse().unwrap();
    assert!(manifests <= 100, "{manifests}");
    // Nothing is left that another program would take for a table's file, and the sink's own check still holds.
    let store = bench.lake.store.clone();
    let report = sinks::lake::verify(&store, support::TABLE, sinks::lake::Depth::Footers)
        .await
        .unwrap();
    assert_eq!(report.problems, []);
    assert!(store.head(&support::path("bronze.records/metadata")).await.is_err());
}

#[tokio::test]
async fn files_that_a_snapshot_names_are_not_spared() {
    let mut bench = Folder::new().await;
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    bench.lake.write(1, 0, 20, FIRST_DAY_MS + DAY_MS - 600_000).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    // One that is not in the table yet.
    let (_, late) = bench.lake.range(0, 1, 10, 10, FIRST_DAY_MS);
    bench.lake.write(0, 10, 10, FIRST_DAY_MS).await;
    let access = bench.lake.access(bench.catalog.clone(), bench.lake.store.clone());
    let named = named_files(&access).await.unwrap();
    let (_, early) = bench.lake.range(0, 1, 0, 10, FIRST_DAY_MS);
    let (_, of_days) = bench.lake.range(1, 1, 0, 20, FIRST_DAY_MS + DAY_MS - 600_000);
    let files: BTreeSet<_> = early.iter().chain(&of_days).map(|file| file.file.path()).collect();
    assert_eq!((named.files.len(), &named.files), (3, &files));
    assert!(
        early
            .iter()
            .chain(&of_days)
            .chain(&late)
            .all(|file| !named.can_spare(&file.file))
    );
    let none = Named {
        files: BTreeSet::new(),
        ..named
    };
    assert!(early.iter().chain(&of_days).all(|file| none.can_spare(&file.file)));
    assert!(!none.can_spare(&late[0].file), "it is still to be taken in");
    let others = Access {
        name: TableName::of("bronze.others", None),
        ..access.clone()
    };
    let other = named_files(&others).await.unwrap();
    assert!(other.files.is_empty() && !other.can_spare(&early[0].file));
    // A list that another writer has put elsewhere may name any of them.
    let loaded = bench.catalog.load(&support::table_name()).await.unwrap().unwrap();
    let mut json = loaded.metadata.json().clone();
    json["snapshots"][0]["manifest-list"] = "s3://elsewhere/snap-1.avro".into();
    let path = bench.lake.place.path_of(&loaded.location).unwrap();
    bench.lake.store.put(&path, json.to_string().into()).await.unwrap();
    let unknown = named_files(&access).await;
    assert!(
        matches!(&unknown, Err(NamedError::Elsewhere(list)) if list.contains("elsewhere")),
        "{unknown:?}"
    );
}
