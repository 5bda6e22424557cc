//! The same by every catalog: REST, Postgres, and SQLite as a running program has it.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use iceberg_tables::{
    Catalog, CatalogError, CatalogTarget, IcebergHandle, IcebergSettings, RestCatalog, RestOptions, SqlCatalog,
};
use serde_json::json;
use support::catalog::{Fault, FaultyCatalog};
use support::rest::{CREDENTIAL, Rest};
use support::{BOUND, DAY_MS, FIRST_DAY_MS, Folder, Lake, Records, catch_up, judge};
use testkit::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_catalog_keeps_the_tables() {
    let mut bench = Folder::new().await;
    let (rest, address) = Rest::start(bench.lake.store.clone(), bench.lake.place.clone()).await;
    let url = format!("http://{address}/catalog");
    let options = RestOptions {
        url: url.clone(),
        warehouse: Some("lake".into()),
        token: None,
        credential: Some(CREDENTIAL.into()),
    };
    let catalog: Arc<dyn Catalog> = Arc::new(RestCatalog::new(options).unwrap());
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    catch_up(&mut bench.lake.committer(&catalog)).await;
    let mut start = 10;
    for fault in [Fault::Before, Fault::After, Fault::Conflict] {
        bench.lake.write(0, start, 10, FIRST_DAY_MS).await;
        start += 10;
        rest.meet(fault);
        rest.forget_tokens();
        let mut committer = bench.lake.committer(&catalog);
        committer.turn().await.unwrap_err();
        let left = u64::from(fault != Fault::After);
        assert_eq!(catch_up(&mut committer).await, left, "{fault:?}");
    }
    // A zombie's commit, which arrives when another one has gone on.
    let late = FaultyCatalog::new(catalog.clone(), 1);
    let zombies: Arc<dyn Catalog> = late.clone();
    late.next(&[Some(Fault::Late)]);
    bench.lake.write(0, start, 10, FIRST_DAY_MS).await;
    bench.lake.committer(&zombies).turn().await.unwrap_err();
    assert_eq!(catch_up(&mut bench.lake.committer(&catalog)).await, 1);
    let arrived = late.arrive().await;
    assert!(matches!(arrived.as_slice(), [Err(CatalogError::Conflict(_))]), "{arrived:?}");
    bench.lake.table = Arc::new(Records { version: 2, more: true });
    bench.lake.write(1, 0, 10, FIRST_DAY_MS + DAY_MS - 300_000).await;
    catch_up(&mut bench.lake.committer(&catalog)).await;
    bench.lake.prove(catalog.as_ref()).await;
    let properties = json!({"type": "rest", "uri": url, "warehouse": "lake", "credential": CREDENTIAL});
    let read = judge::pyiceberg(&properties, "");
    assert_eq!(read.rows, bench.lake.written);
    assert_eq!(read.json["columns"]["more"], "string");
    assert_eq!(
        judge::duckdb(read.json["metadata"].as_str().unwrap()).rows,
        bench.lake.written
    );
}

#[test]
fn a_postgres_catalog_keeps_the_tables() {
    testbed::block_on(async {
        let bed = testbed::Testbed::builder().postgres().start().await.unwrap();
        let mut bench = Folder::new().await;
        let catalog = async || {
            let (store, place) = (bench.lake.store.clone(), bench.lake.place.clone());
            let catalog = SqlCatalog::postgres(&bed.postgres().url(), "riverbank", store, place).await;
            Arc::new(catalog.unwrap()) as Arc<dyn Catalog>
        };
        let (one, other) = (catalog().await, catalog().await);
        let mut committers = [bench.lake.committer(&one), bench.lake.committer(&other)];
        for range in 0..6 {
            bench.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
            let [first, second] = &mut committers;
            let (first, second) = tokio::join!(first.turn(), second.turn());
            assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
        }
        for committer in &mut committers {
            catch_up(committer).await;
        }
        bench.lake.prove(one.as_ref()).await;
        let loaded = other.load(&support::table_name()).await.unwrap().unwrap();
        assert_eq!(judge::duckdb(&loaded.location).rows, bench.lake.written);
    });
}

/// The lake in a bucket.
#[test]
fn a_table_in_a_bucket_is_read_from_there() {
    testbed::block_on(async {
        let bed = testbed::Testbed::builder().minio().start().await.unwrap();
        let minio = bed.minio();
        minio.create_bucket("lake").await.unwrap();
        let s3 = sinks::S3Options {
            endpoint: Some(minio.endpoint().to_owned()),
            access_key: Some(minio.access_key().to_owned()),
            secret_key: Some(minio.secret_key().to_owned()),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
        };
        let url = "s3://lake/some/prefix";
        let mut lake = Lake::new(sinks::open(url, &s3).unwrap(), url);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let catalog = SqlCatalog::sqlite(&file, "riverbank", lake.store.clone(), lake.place.clone()).await;
        let catalog: Arc<dyn Catalog> = Arc::new(catalog.unwrap());
        for range in 0..4 {
            lake.write(0, range * 10, 10, FIRST_DAY_MS + range * DAY_MS - 300_000).await;
            assert_eq!(catch_up(&mut lake.committer(&catalog)).await, 1);
        }
        lake.prove(catalog.as_ref()).await;
        let read = judge::pyiceberg(
            &json!({
                "type": "sql",
                "uri": format!("sqlite:///{}", file.display()),
                "s3.endpoint": minio.endpoint(),
                "s3.access-key-id": minio.access_key(),
                "s3.secret-access-key": minio.secret_key(),
                "s3.region": "us-east-1",
            }),
            "",
        );
        assert_eq!(read.rows, lake.written);
    });
}

#[tokio::test]
async fn a_running_program_follows_the_sink_and_says_what_is_wrong() {
    let mut bench = Folder::new().await;
    let url = url::Url::from_file_path(bench.folder.path().join("lake")).unwrap();
    let settings = IcebergSettings {
        interval: Duration::from_millis(20),
        slow_interval: Duration::from_millis(50),
        ..IcebergSettings::new(CatalogTarget::Sqlite(bench.folder.path().join("catalog.db")))
    };
    let metrics = prometheus::Registry::new();
    let tables = || vec![bench.lake.table.clone() as Arc<dyn sinks::Table>];
    let running = IcebergHandle::start(settings.clone(), bench.lake.store.clone(), url.as_str(), tables(), &metrics).unwrap();
    bench.lake.write(0, 0, 10, FIRST_DAY_MS).await;
    let (catalog, name) = (bench.catalog.clone(), support::table_name());
    let has_rows = async |rows: &str| {
        let loaded = catalog.load(&name).await.unwrap();
        let snapshot = loaded.as_ref().and_then(|loaded| loaded.metadata.current_snapshot());
        snapshot.is_some_and(|snapshot| snapshot["summary"]["total-records"] == rows)
    };
    until("the first rows", BOUND, async || has_rows("10").await).await;
    assert_eq!(running.trouble(), None);
    // A gap, until it is filled.
    bench.lake.write(0, 20, 10, FIRST_DAY_MS).await;
    bench.lake.write(0, 30, 10, FIRST_DAY_MS).await;
    until("trouble", BOUND, async || {
        running
            .trouble()
            .is_some_and(|trouble| trouble.contains("offsets from 10 on are in no file"))
    })
    .await;
    bench.lake.write(0, 10, 10, FIRST_DAY_MS).await;
    until("the rest", BOUND, async || has_rows("40").await).await;
    until("no trouble", BOUND, async || running.trouble().is_none()).await;
    // What is finished before the stop is in the table after it.
    bench.lake.write(0, 40, 10, FIRST_DAY_MS).await;
    running.stop().unwrap();
    bench.lake.prove(bench.catalog.as_ref()).await;
    let text = prometheus::TextEncoder::new().encode_to_string(&metrics.gather()).unwrap();
    for line in [
        "riverbank_iceberg_rows_total{table=\"bronze.records\"} 50",
        "riverbank_iceberg_source_position{table=\"bronze.records\"} 1049",
        "riverbank_iceberg_lag_seconds{table=\"bronze.records\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

/// A sink of the same process says what it has finished; snapshots do not multiply by that.
#[tokio::test]
async fn finished_files_are_not_waited_for_and_snapshots_do_not_multiply() {
    let mut bench = Folder::new().await;
    let url = url::Url::from_file_path(bench.folder.path().join("lake")).unwrap();
    let settings = IcebergSettings {
        interval: Duration::from_secs(3_600),
        ..IcebergSettings::new(CatalogTarget::Sqlite(bench.folder.path().join("catalog.db")))
    };
    let tables = vec![bench.lake.table.clone() as Arc<dyn sinks::Table>];
    let metrics = prometheus::Registry::new();
    let running = IcebergHandle::start(settings, bench.lake.store.clone(), url.as_str(), tables, &metrics).unwrap();
    let listener = running.listener();
    let name = support::table_name();
    // Its first look has made the table, and found nothing.
    until("the table", BOUND, async || {
        bench.catalog.load(&name).await.unwrap().is_some()
    })
    .await;
    for range in 0..3 {
        let (intent, _) = bench.lake.range(0, 1, range * 10, 10, FIRST_DAY_MS);
        bench.lake.write(0, range * 10, 10, FIRST_DAY_MS).await;
        listener(&intent);
        until("the first rows", BOUND, async || {
            let loaded = bench.catalog.load(&name).await.unwrap().unwrap();
            loaded.metadata.current_snapshot().is_some()
        })
        .await;
    }
    running.stop().unwrap();
    bench.lake.prove(bench.catalog.as_ref()).await;
    let loaded = bench.catalog.load(&name).await.unwrap().unwrap();
    assert_eq!(
        loaded.metadata.snapshots().len(),
        2,
        "the first one, and what was held until the stop"
    );
}
