//! Small files become one, old days are dropped: readers see the same rows, and committers go on as if nothing had been.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, SystemClock};
use futures::StreamExt;
use iceberg_tables::catalog::{Commit, Creation, Loaded};
use iceberg_tables::metadata::Update;
use iceberg_tables::{Catalog, CatalogError, CompactSettings, Compactor, MaintainError, Retained, Retention, TableName};
use jiff::civil::Date;
use object_store::ObjectStoreExt;
use serde_json::json;
use sinks::parquet::layout::day_of;
use support::catalog::{Fault, FaultyCatalog};
use support::garbled::Garbled;
use support::{DAY_MS, FIRST_DAY_MS, Folder, Key, Records, catch_up, judge, progress, table_name};

/// Everything before this day is over.
fn today() -> Date {
    day_of(FIRST_DAY_MS + 30 * DAY_MS)
}

fn settings() -> CompactSettings {
    CompactSettings::new(today())
}

impl Folder {
    fn compactor(&self, settings: CompactSettings) -> Compactor {
        self.compactor_of(&self.catalog, settings)
    }

    fn compactor_of(&self, catalog: &Arc<dyn Catalog>, settings: CompactSettings) -> Compactor {
        let access = self.lake.access(catalog.clone(), self.lake.store.clone());
        Compactor::new(support::TABLE, access, settings)
    }

    fn retention(&self, before: Date) -> Retention {
        let access = self.lake.access(self.catalog.clone(), self.lake.store.clone());
        Retention::new(support::TABLE, access, before, Duration::from_secs(86_400))
    }

    async fn merged_files(&self) -> usize {
        self.lake.store.list(Some(&support::path("_iceberg"))).count().await
    }

    async fn summary(&self, name: &str) -> String {
        let loaded = self.catalog.load(&table_name()).await.unwrap().unwrap();
        let snapshot = loaded.metadata.current_snapshot().unwrap().clone();
        snapshot["summary"][name].as_str().unwrap_or_default().to_owned()
    }

    fn pyiceberg(&self) -> judge::Read {
        judge::pyiceberg(
            &json!({"type": "sql", "uri": self.database(), "warehouse": "file:///tmp"}),
            "",
        )
    }
}

/// Two partitions, of days that are over and one that is not.
async fn filled() -> Folder {
    let mut bench = Folder::new().await;
    let mut committer = bench.lake.committer(&bench.catalog);
    for range in 0..12 {
        bench
            .lake
            .write(0, range * 10, 10, FIRST_DAY_MS + range % 2 * 3_600_000)
            .await;
        bench.lake.write(1, range * 7, 7, FIRST_DAY_MS + DAY_MS - 240_000).await;
        bench.lake.write(2, range * 3, 3, FIRST_DAY_MS + 30 * DAY_MS).await;
        catch_up(&mut committer).await;
    }
    bench
}

#[tokio::test]
async fn small_files_become_one_and_readers_see_the_same_rows() {
    let mut bench = filled().await;
    let before = (
        progress(bench.catalog.as_ref()).await,
        bench.summary("riverbank.watermark").await,
    );
    let old = bench.pyiceberg();
    let compacted = bench.compactor(settings()).run().await.unwrap();
    // A file of partition 0, and one for each of the two days of partition 1; the day of partition 2 is not over.
    assert_eq!(
        (compacted.files_before, compacted.files_after, compacted.snapshots),
        (36, 3, 1)
    );
    assert_eq!((compacted.rows, compacted.left.len(), compacted.given_up), (120 + 84, 0, 0));
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
    bench.lake.prove(bench.catalog.as_ref()).await;
    let after = (
        progress(bench.catalog.as_ref()).await,
        bench.summary("riverbank.watermark").await,
    );
    assert_eq!(after, before);
    assert_eq!(bench.summary("operation").await, "replace");
    assert_eq!(
        (bench.summary("total-data-files").await, bench.summary("total-records").await),
        ("15".into(), "240".into())
    );
    let read = bench.pyiceberg();
    assert_eq!(read.rows, bench.lake.written);
    assert_eq!(read.json["amounts"], old.json["amounts"]);
    assert_eq!(read.json["files"], 15);
    assert_eq!(
        judge::duckdb(read.json["metadata"].as_str().unwrap()).rows,
        bench.lake.written
    );
    // Snapshots from before are read as they were.
    let properties = json!({"type": "sql", "uri": bench.database(), "warehouse": "file:///tmp"});
    let before = judge::pyiceberg_at(&properties, -2);
    assert_eq!(
        (before.rows, before.json["files"].as_u64()),
        (bench.lake.written.clone(), Some(48))
    );
    // There is nothing more to merge, and committers go on after the same offsets.
    assert_eq!(
        bench.compactor(settings()).run().await.unwrap(),
        iceberg_tables::Compacted::default()
    );
    bench.lake.write(0, 120, 10, FIRST_DAY_MS).await;
    assert_eq!(catch_up(&mut bench.lake.committer(&bench.catalog)).await, 1);
    bench.lake.prove(bench.catalog.as_ref()).await;
    assert_eq!(bench.pyiceberg().rows, bench.lake.written);
}

/// What a newer version has noted, of which this one knows nothing, is carried over as it stands.
#[tokio::test]
async fn a_snapshot_that_changes_no_offsets_says_the_same_of_them() {
    let bench = filled().await;
    let loaded = bench.catalog.load(&table_name()).await.unwrap().unwrap();
    let mut json = loaded.metadata.json().clone();
    let summary = &mut json["snapshots"].as_array_mut().unwrap().last_mut().unwrap()["summary"];
    let offsets = summary["riverbank.offsets"]
        .as_str()
        .unwrap()
        .replace("\"next\"", "\"later\":7,\"next\"");
    summary["riverbank.offsets"] = offsets.clone().into();
    summary["riverbank.later"] = "of a newer version".into();
    // What a reader takes for proof that whoever commits came on until then is said by commits alone.
    summary["riverbank.watermark-time"] = "2026-01-31T00:00:00Z".into();
    let path = bench.lake.place.path_of(&loaded.location).unwrap();
    bench.lake.store.put(&path, json.to_string().into()).await.unwrap();
    for operation in ["replace", "delete"] {
        match operation {
            "replace" => drop(bench.compactor(settings()).run().await.unwrap()),
            _ => drop(bench.retention(today()).run().await.unwrap()),
        }
        assert_eq!(bench.summary("operation").await, operation);
        assert_eq!(bench.summary("riverbank.offsets").await, offsets);
        assert_eq!(bench.summary("riverbank.later").await, "of a newer version");
        assert_eq!(bench.summary("riverbank.watermark-time").await, "");
        let loaded = bench.catalog.load(&table_name()).await.unwrap().unwrap();
        assert_eq!(loaded.metadata.property("riverbank.offsets"), Some(offsets.as_str()));
        // Else whoever expires snapshots would delete the lake's files with them.
        assert_eq!(loaded.metadata.property("gc.enabled"), Some("false"));
    }
}

#[tokio::test]
async fn nothing_that_reads_the_lake_finds_merged_files() {
    let bench = filled().await;
    let verify = async || {
        let depth = sinks::lake::Depth::Offsets;
        sinks::lake::verify(&bench.lake.store, support::TABLE, depth).await.unwrap()
    };
    let before = verify().await;
    bench.compactor(settings()).run().await.unwrap();
    assert_eq!(bench.merged_files().await, 3);
    let after = verify().await;
    assert_eq!((after.problems.len(), &after), (0, &before));
    let listing = sinks::lake::list(bench.lake.store.as_ref(), support::TABLE).await.unwrap();
    assert_eq!((listing.files.len(), listing.unrecognized.len()), (48, 0));
    let mut merged = bench.lake.store.list(Some(&support::path("_iceberg")));
    while let Some(object) = merged.next().await {
        // By which the notifier takes a file for one of the lake's.
        assert_eq!(sinks::parquet::layout::FileName::parse(&object.unwrap().location), None);
    }
    // Other writers of the table put theirs there, too.
    let loaded = bench.catalog.load(&table_name()).await.unwrap().unwrap();
    assert!(
        loaded
            .metadata
            .property("write.data.path")
            .unwrap()
            .contains("/_iceberg/bronze.records/")
    );
}

#[tokio::test]
async fn files_of_another_shape_stay_apart() {
    let mut bench = Folder::new().await;
    for range in 0..4 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
    }
    bench.lake.table = Arc::new(Records { version: 2, more: true });
    for range in 4..8 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    let compacted = bench.compactor(settings()).run().await.unwrap();
    assert_eq!((compacted.files_before, compacted.files_after), (8, 2));
    bench.lake.prove(bench.catalog.as_ref()).await;
    let read = bench.pyiceberg();
    assert_eq!(read.rows, bench.lake.written);
    assert_eq!(
        judge::duckdb(read.json["metadata"].as_str().unwrap()).rows,
        bench.lake.written
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_left_and_named() {
    let mut bench = Folder::new().await;
    for range in 0..9 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    let (_, files) = bench.lake.range(0, 1, 20, 5, FIRST_DAY_MS);
    bench.lake.store.put(&files[0].file.path(), "damaged".into()).await.unwrap();
    let compacted = bench.compactor(settings()).run().await.unwrap();
    // On either side of it.
    assert_eq!((compacted.files_before, compacted.files_after), (8, 2));
    assert!(
        compacted.broken.len() == 1 && compacted.broken[0].contains("20-24"),
        "{:?}",
        compacted.broken
    );
}

/// The number of rows, and each of them, is compared before anything is swapped.
#[tokio::test]
async fn a_merged_file_that_is_not_what_was_read_changes_nothing() {
    let mut bench = Folder::new().await;
    for range in 0..4 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    // A row less; and as many, of which one is another.
    for (count, minutes) in [(19, 0), (20, 1)] {
        let (_, others) = bench.lake.range(0, 1, 0, count, FIRST_DAY_MS + minutes * 60_000);
        let garbled = Arc::new(Garbled {
            inner: bench.lake.store.clone(),
            folder: "_iceberg/",
            bytes: others[0].bytes.clone(),
        });
        let access = bench.lake.access(bench.catalog.clone(), garbled);
        let compactor = Compactor::new(support::TABLE, access, settings());
        let refused = compactor.run().await.unwrap_err();
        let MaintainError::Differs { rows, expected, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!((rows, expected), (count as u64, 20));
        assert_eq!(
            (bench.merged_files().await, bench.summary("operation").await),
            (0, "append".into())
        );
    }
    bench.lake.prove(bench.catalog.as_ref()).await;
}

/// A committer, another compaction, or a retention is faster.
#[tokio::test]
async fn a_swap_follows_the_table_and_gives_up_what_is_gone() {
    let mut bench = filled().await;
    let catalog = FaultyCatalog::new(bench.catalog.clone(), 1);
    let shared: Arc<dyn Catalog> = catalog.clone();
    // Whose commit is refused, because a committer has added files.
    catalog.next(&[Some(Fault::Conflict)]);
    let compacted = bench.compactor_of(&shared, settings()).run().await.unwrap();
    assert_eq!((compacted.files_before, compacted.given_up), (36, 0));
    assert_eq!(catalog.commits(), 2);
    // What comes too late is refused: its files are not in the table any more.
    for range in 12..18 {
        bench.lake.write(0, range * 10, 10, FIRST_DAY_MS).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    catalog.next(&[Some(Fault::Late), Some(Fault::Late)]);
    let compacted = bench.compactor_of(&shared, settings()).run().await.unwrap();
    assert_eq!((compacted.files_before, compacted.files_after), (7, 1));
    let dropped = bench.retention(day_of(FIRST_DAY_MS + DAY_MS)).run().await.unwrap();
    assert!(dropped.files > 0);
    let arrived = catalog.arrive().await;
    assert!(arrived.len() == 2 && arrived.iter().all(Result::is_err), "{arrived:?}");
    let rows = bench.lake.table_rows(bench.catalog.as_ref()).await;
    assert_eq!(rows.keys().filter(|key| key.1 == 0).count(), 0);
}

#[tokio::test]
async fn two_compactions_at_once_double_nothing() {
    let bench = filled().await;
    let (one, other) = (bench.compactor(settings()), bench.compactor(settings()));
    let (one, other) = tokio::join!(one.run(), other.run());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.files_after + other.files_after, 3, "{one:?} {other:?}");
    bench.lake.prove(bench.catalog.as_ref()).await;
    // What one of them has given up is gone.
    assert_eq!(bench.merged_files().await, 3);
}

#[tokio::test]
async fn what_a_crash_leaves_is_deleted_when_it_is_old() {
    let mut bench = filled().await;
    let catalog = FaultyCatalog::new(bench.catalog.clone(), 1);
    let shared: Arc<dyn Catalog> = catalog.clone();
    catalog.suffer(0.0);
    // It never hears of what became of its commits, and ends.
    catalog.next(&[Some(Fault::Before); 12]);
    let failed = bench.compactor_of(&shared, settings()).run().await.unwrap_err();
    assert!(matches!(failed, MaintainError::Busy(_)), "{failed}");
    assert_eq!(bench.merged_files().await, 3);
    bench.lake.prove(bench.catalog.as_ref()).await;
    // Young files may be of one that is at work.
    let compacted = bench.compactor(settings()).run().await.unwrap();
    assert_eq!(
        (compacted.files_after, compacted.orphans, bench.merged_files().await),
        (3, 0, 6)
    );
    let old = CompactSettings {
        orphan_age: Duration::ZERO,
        ..settings()
    };
    wait_a_millisecond().await;
    assert_eq!(bench.compactor(old.clone()).tidy().await.unwrap(), 3);
    assert_eq!(bench.compactor(old.clone()).tidy().await.unwrap(), 0);
    bench.lake.prove(bench.catalog.as_ref()).await;
    // A snapshot that is still there names what later ones do not.
    bench.lake.write(0, 120, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    bench.retention(today()).run().await.unwrap();
    assert_eq!(bench.compactor(old.clone()).tidy().await.unwrap(), 0);
    expire_all_but_the_newest(&bench).await;
    assert_eq!(bench.compactor(old).tidy().await.unwrap(), 3);
    assert_eq!(bench.merged_files().await, 0);
    // The sink's own files are never touched.
    let listing = sinks::lake::list(bench.lake.store.as_ref(), support::TABLE).await.unwrap();
    assert_eq!(listing.files.len(), 49);
}

/// The store's clock has gone on.
async fn wait_a_millisecond() {
    let now = SystemClock.now();
    while SystemClock.now_ms().0 <= now.as_millisecond() + 1 {
        tokio::task::yield_now().await;
    }
}

async fn expire_all_but_the_newest(bench: &Folder) {
    use iceberg_tables::catalog::Commit;
    use iceberg_tables::metadata::Update;
    let loaded = bench.catalog.load(&table_name()).await.unwrap().unwrap();
    let newest = loaded.metadata.main();
    let ids = loaded
        .metadata
        .snapshots()
        .iter()
        .filter_map(|one| one["snapshot-id"].as_i64());
    let commit = Commit {
        requirements: vec![],
        updates: vec![Update::Expire(ids.filter(|id| Some(*id) != newest).collect())],
    };
    bench.catalog.commit(&table_name(), &loaded, &commit).await.unwrap();
}

#[tokio::test]
async fn old_days_are_dropped_and_do_not_come_back() {
    let mut bench = filled().await;
    let of_day = |bench: &Folder, from: i64| -> BTreeMap<Key, String> {
        // Partition 1 has four minutes of the first day, and the rest of the second.
        let is_kept = |key: &Key| match key.1 {
            0 => from <= 0,
            1 => from <= 0 || (from == 1 && key.2 % 7 >= 4),
            _ => true,
        };
        let rows = bench.lake.written.iter().filter(|(key, _)| is_kept(key));
        rows.map(|(key, note)| (*key, note.clone())).collect()
    };
    bench.compactor(settings()).run().await.unwrap();
    for range in 12..16 {
        bench.lake.write(1, range * 7, 7, FIRST_DAY_MS + DAY_MS - 240_000).await;
    }
    catch_up(&mut bench.lake.committer(&bench.catalog)).await;
    let before = progress(bench.catalog.as_ref()).await;
    for day in 0..=2 {
        let dropped = bench.retention(day_of(FIRST_DAY_MS + day * DAY_MS)).run().await.unwrap();
        let expected = of_day(&bench, day);
        assert_eq!(bench.lake.table_rows(bench.catalog.as_ref()).await, expected, "day {day}");
        assert_eq!((dropped.snapshots, dropped.files > 0), (u64::from(day > 0), day > 0));
        let read = bench.pyiceberg();
        assert_eq!(read.rows, expected);
        assert_eq!(judge::duckdb(read.json["metadata"].as_str().unwrap()).rows, expected);
    }
    assert_eq!(bench.summary("operation").await, "delete");
    assert_eq!(progress(bench.catalog.as_ref()).await, before);
    assert_eq!(catch_up(&mut bench.lake.committer(&bench.catalog)).await, 0);
    bench.lake.write(1, 112, 7, FIRST_DAY_MS + 31 * DAY_MS).await;
    assert_eq!(catch_up(&mut bench.lake.committer(&bench.catalog)).await, 1);
    let rows = bench.lake.table_rows(bench.catalog.as_ref()).await;
    assert_eq!(
        rows,
        of_day(&bench, 2)
            .into_iter()
            .chain((112..119).map(|offset| ((1, 1, offset), format!("g1 p1 o{offset}"))))
            .collect()
    );
}

/// Says that it has removed snapshots, and keeps them.
struct KeepsSnapshots(Arc<dyn Catalog>);

#[async_trait::async_trait]
impl Catalog for KeepsSnapshots {
    async fn load(&self, table: &TableName) -> Result<Option<Loaded>, CatalogError> {
        self.0.load(table).await
    }
    async fn create(&self, table: &TableName, creation: &Creation) -> Result<(), CatalogError> {
        self.0.create(table, creation).await
    }
    async fn commit(&self, table: &TableName, base: &Loaded, commit: &Commit) -> Result<(), CatalogError> {
        let mut commit = commit.clone();
        commit.updates.retain(|update| !matches!(update, Update::Expire(_)));
        self.0.commit(table, base, &commit).await
    }
}

#[tokio::test]
async fn a_catalog_that_keeps_snapshots_is_not_asked_for_ever() {
    let mut bench = Folder::new().await;
    let keeps: Arc<dyn Catalog> = Arc::new(KeepsSnapshots(bench.catalog.clone()));
    let mut committer = bench.lake.committer(&keeps);
    for range in 0..3 {
        bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
        catch_up(&mut committer).await;
    }
    let loaded = keeps.load(&table_name()).await.unwrap().unwrap();
    let commit = Commit {
        requirements: vec![],
        // Snapshots are of yesterday as soon as they are there.
        updates: vec![Update::Properties(
            [("history.expire.max-snapshot-age-ms".to_owned(), "-1000".to_owned())].into(),
        )],
    };
    keeps.commit(&table_name(), &loaded, &commit).await.unwrap();
    let access = bench.lake.access(keeps, bench.lake.store.clone());
    let retention = Retention::new(support::TABLE, access, day_of(FIRST_DAY_MS), Duration::from_secs(86_400));
    let ended = tokio::time::timeout(support::BOUND, retention.run()).await;
    assert_eq!(ended.expect("it ends").unwrap(), Retained::default());
    bench.lake.prove(bench.catalog.as_ref()).await;
}
