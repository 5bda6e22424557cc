//! The tables in a real bucket, and what real stores and disks do wrong: files and offsets as ever, and said where it shows.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use iceberg_tables::{Catalog, CatalogTarget, CompactSettings, Compactor, IcebergHandle, IcebergSettings, SqlCatalog};
use object_store::ObjectStore;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sinks::parquet::layout::day_of;
use support::proxy::{Mode, Proxy};
use support::{BOUND, DAY_MS, FIRST_DAY_MS, Lake, catch_up, judge, progress};
use testbed::{Minio, Testbed};
use testkit::wait::until;

const URL: &str = "s3://lake/some/prefix";

/// A lake in a bucket, which is written past the proxy that the tables' keepers go through.
struct Bucket {
    proxy: Arc<Proxy>,
    proxied: Arc<dyn ObjectStore>,
    lake: Lake,
    file: PathBuf,
    /// As it is, past the proxy.
    truth: Arc<dyn Catalog>,
    _folder: tempfile::TempDir,
}

fn open(minio: &Minio, endpoint: &str) -> Arc<dyn ObjectStore> {
    let s3 = sinks::S3Options {
        endpoint: Some(endpoint.to_owned()),
        access_key: Some(minio.access_key().to_owned()),
        secret_key: Some(minio.secret_key().to_owned()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
    };
    sinks::open(URL, &s3).unwrap()
}

impl Bucket {
    async fn new(minio: &Minio, seed: u64) -> Self {
        minio.create_bucket("lake").await.unwrap();
        let (proxy, address) = Proxy::start(minio, "lake", seed).await;
        let (store, proxied) = (open(minio, minio.endpoint()), open(minio, &format!("http://{address}")));
        let lake = Lake::new(store, URL);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let truth = SqlCatalog::sqlite(&file, "riverbank", lake.store.clone(), lake.place.clone());
        Self {
            truth: Arc::new(truth.await.unwrap()),
            proxy,
            proxied,
            lake,
            file,
            _folder: folder,
        }
    }

    async fn catalog(&self) -> Arc<dyn Catalog> {
        let catalog = SqlCatalog::sqlite(&self.file, "riverbank", self.proxied.clone(), self.lake.place.clone());
        Arc::new(catalog.await.unwrap())
    }

    async fn committer(&self) -> iceberg_tables::Committer {
        let access = self.lake.access(self.catalog().await, self.proxied.clone());
        iceberg_tables::Committer::new(self.lake.table.clone(), access)
    }

    async fn compactor(&self) -> Compactor {
        let settings = CompactSettings {
            files_min: 2,
            ..CompactSettings::new(day_of(FIRST_DAY_MS + 9 * DAY_MS))
        };
        let access = self.lake.access(self.catalog().await, self.proxied.clone());
        Compactor::new(support::TABLE, access, settings)
    }

    fn start(&self) -> IcebergHandle {
        let settings = IcebergSettings {
            interval: Duration::from_millis(20),
            slow_interval: Duration::from_millis(50),
            turn_timeout: Duration::from_secs(2),
            ..IcebergSettings::new(CatalogTarget::Sqlite(self.file.clone()))
        };
        let tables = vec![self.lake.table.clone() as Arc<dyn sinks::Table>];
        IcebergHandle::start(settings, self.proxied.clone(), URL, tables, &prometheus::Registry::new()).unwrap()
    }

    /// Waits until the table has so many rows.
    async fn has_rows(&self, rows: usize) {
        let rows = rows.to_string();
        until("the rows", BOUND, async || {
            let loaded = self.truth.load(&support::table_name()).await.unwrap();
            let snapshot = loaded.as_ref().and_then(|loaded| loaded.metadata.current_snapshot());
            snapshot.is_some_and(|snapshot| snapshot["summary"]["total-records"] == rows.as_str())
        })
        .await;
    }

    async fn prove(&self) {
        self.lake.prove(self.truth.as_ref()).await;
    }
}

fn on_minio(test: impl AsyncFnOnce(&Minio)) {
    testbed::block_on(async {
        let bed = Testbed::builder().minio().start().await.unwrap();
        test(bed.minio()).await;
    });
}

/// The key is revoked while the program runs, and is known again later.
#[test]
fn a_key_that_is_revoked_is_reported_and_nothing_is_lost() {
    on_minio(async |minio| {
        let mut bucket = Bucket::new(minio, 1).await;
        bucket.lake.write(0, 0, 10, FIRST_DAY_MS).await;
        let running = bucket.start();
        bucket.has_rows(10).await;
        bucket.proxy.set(Mode::Revoked);
        bucket.lake.write(0, 10, 10, FIRST_DAY_MS).await;
        bucket.lake.write(1, 0, 10, FIRST_DAY_MS).await;
        until("trouble", BOUND, async || running.trouble().is_some()).await;
        let trouble = running.trouble().unwrap_or_default();
        assert!(
            trouble.contains("bronze.records: ") && trouble.contains("InvalidAccessKeyId"),
            "{trouble}"
        );
        assert!(bucket.proxy.take_changed() > 0);
        bucket.proxy.set(Mode::Pass);
        bucket.has_rows(30).await;
        until("no trouble", BOUND, async || running.trouble().is_none()).await;
        running.stop().unwrap();
        bucket.prove().await;
    });
}

/// What was written is acknowledged late, wrongly or never, in an order that a number replays; two committers and a compactor.
#[test]
fn a_store_that_does_not_say_what_it_has_done_doubles_nothing() {
    on_minio(async |minio| {
        let seed = 7;
        let mut bucket = Bucket::new(minio, seed).await;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut starts = [0; 2];
        let mut committers = [bucket.committer().await, bucket.committer().await];
        bucket.proxy.set(Mode::Unsure(0.2));
        for _ in 0..24 {
            let partition = rng.random_range(0..2_u32);
            let (start, count) = (starts[partition as usize], rng.random_range(1..12));
            starts[partition as usize] += count;
            bucket.lake.write(partition, start, count, FIRST_DAY_MS).await;
            let wait = Duration::from_millis(rng.random_range(100..1_500));
            match rng.random_range(0..4) {
                0 => {
                    let compactor = bucket.compactor().await;
                    let _ = tokio::time::timeout(wait, compactor.run()).await;
                }
                at => {
                    let _ = tokio::time::timeout(wait, committers[at % 2].turn()).await;
                }
            }
        }
        assert!(bucket.proxy.take_changed() > 5, "seed {seed}");
        bucket.proxy.set(Mode::Pass);
        for committer in &mut committers {
            catch_up(committer).await;
        }
        bucket.prove().await;
        bucket.compactor().await.run().await.unwrap();
        bucket.prove().await;
        let at = progress(bucket.truth.as_ref()).await;
        let next: Vec<_> = at.0.values().map(|at| at.next).collect();
        assert_eq!(next, starts, "seed {seed}");
        let properties = json!({
            "type": "sql",
            "uri": format!("sqlite:///{}", bucket.file.display()),
            "s3.endpoint": minio.endpoint(),
            "s3.access-key-id": minio.access_key(),
            "s3.secret-access-key": minio.secret_key(),
            "s3.region": "us-east-1",
        });
        assert_eq!(judge::pyiceberg(&properties, "").rows, bucket.lake.written);
    });
}

/// Names are drawn, and the swap is the catalog's: what is to be created only may be overwritten.
#[test]
fn a_store_that_overwrites_doubles_nothing() {
    on_minio(async |minio| {
        let mut bucket = Bucket::new(minio, 2).await;
        bucket.proxy.set(Mode::Overwrites);
        let (mut one, mut other) = (bucket.committer().await, bucket.committer().await);
        for range in 0..6 {
            bucket.lake.write(0, range * 5, 5, FIRST_DAY_MS).await;
            let (first, second) = tokio::join!(one.turn(), other.turn());
            assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
        }
        bucket.compactor().await.run().await.unwrap();
        catch_up(&mut one).await;
        catch_up(&mut other).await;
        assert!(bucket.proxy.take_changed() > 6);
        bucket.prove().await;
    });
}

/// The disk of the SQLite file takes nothing more: no journal can be made.
#[test]
fn a_catalog_whose_disk_takes_nothing_is_reported_and_goes_on() {
    on_minio(async |minio| {
        let mut bucket = Bucket::new(minio, 3).await;
        bucket.lake.write(0, 0, 10, FIRST_DAY_MS).await;
        let running = bucket.start();
        bucket.has_rows(10).await;
        let journal = PathBuf::from(format!("{}-journal", bucket.file.display()));
        // A commit may be under way, whose journal is in the place.
        until("the journal's place", BOUND, async || std::fs::create_dir(&journal).is_ok()).await;
        bucket.lake.write(0, 10, 10, FIRST_DAY_MS).await;
        until("trouble", BOUND, async || {
            running
                .trouble()
                .is_some_and(|trouble| trouble.contains("bronze.records: the catalog"))
        })
        .await;
        std::fs::remove_dir(&journal).unwrap();
        bucket.has_rows(20).await;
        until("no trouble", BOUND, async || running.trouble().is_none()).await;
        running.stop().unwrap();
        bucket.prove().await;
    });
}

/// A topic that was made anew begins at offset 0 again.
#[test]
fn generations_follow_one_another_in_a_bucket() {
    on_minio(async |minio| {
        let mut bucket = Bucket::new(minio, 4).await;
        let mut committer = bucket.committer().await;
        bucket.lake.note_generation(1, 11, &[]).await;
        for range in 0..3 {
            bucket.lake.write(0, range * 10, 10, FIRST_DAY_MS).await;
        }
        catch_up(&mut committer).await;
        bucket.compactor().await.run().await.unwrap();
        bucket.lake.note_generation(2, 22, &[]).await;
        for range in 0..3 {
            bucket.lake.write_in(2, 0, range * 4, 4, FIRST_DAY_MS).await;
        }
        catch_up(&mut committer).await;
        let compacted = bucket.compactor().await.run().await.unwrap();
        // The merged one of the first generation stays apart.
        assert_eq!((compacted.files_before, compacted.files_after), (3, 1));
        bucket.prove().await;
        let at = progress(bucket.truth.as_ref()).await;
        assert_eq!((at.0[&0].generation, at.0[&0].next), (2, 12));
    });
}
