//! A lake in memory with a store and a catalog that fail, and what keeps its table.

use std::sync::Arc;

use iceberg_tables::{Catalog, Committer, CompactSettings, Compactor, SqlCatalog};
use object_store::ObjectStore;
use sinks::parquet::layout::day_of;

use super::catalog::FaultyCatalog;
use super::{DAY_MS, FIRST_DAY_MS, Lake};
use testkit::object_store::FaultyStore;

/// A lake in memory, whose store can fail, and a catalog that can.
pub struct Bench {
    pub faulty: Arc<FaultyStore>,
    pub lake: Lake,
    /// As committers see it.
    pub catalog: Arc<FaultyCatalog>,
    /// As it is.
    pub truth: Arc<dyn Catalog>,
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faulty = Arc::new(FaultyStore::new(seed));
        let lake = Lake::new(faulty.inner(), "memory:///lake");
        let file = folder.path().join("catalog.db");
        // The catalog's own metadata files meet the store's faults as well.
        let inner = SqlCatalog::sqlite(&file, "riverbank", faulty.clone(), lake.place.clone())
            .await
            .unwrap();
        let truth = SqlCatalog::sqlite(&file, "riverbank", faulty.inner(), lake.place.clone())
            .await
            .unwrap();
        Self {
            catalog: FaultyCatalog::new(Arc::new(inner), seed),
            truth: Arc::new(truth),
            faulty,
            lake,
            folder,
        }
    }

    pub fn committer(&self) -> Committer {
        Committer::new(
            self.lake.table.clone(),
            self.lake.access(self.catalog.clone(), self.faulty.clone()),
        )
    }

    /// A compactor that merges whatever it can, as everybody else sees the catalog and the store.
    pub fn compactor(&self) -> Compactor {
        self.compactor_of(self.catalog.clone(), self.faulty.clone())
    }

    pub fn compactor_of(&self, catalog: Arc<dyn Catalog>, store: Arc<dyn ObjectStore>) -> Compactor {
        let settings = CompactSettings {
            files_min: 2,
            target_bytes: 20_000,
            ..CompactSettings::new(day_of(FIRST_DAY_MS + 9 * DAY_MS))
        };
        Compactor::new(super::TABLE, self.lake.access(catalog, store), settings)
    }

    /// How many snapshots put files in the place of others.
    pub async fn replaced(&self) -> usize {
        let loaded = self.truth.load(&super::table_name()).await.unwrap().unwrap();
        let replaces = |one: &&serde_json::Value| one["summary"]["operation"] == "replace";
        loaded.metadata.snapshots().iter().filter(replaces).count()
    }

    pub async fn prove(&self) {
        self.lake.prove(self.truth.as_ref()).await;
    }
}
