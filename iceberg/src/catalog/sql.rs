//! The catalog in a database, in the tables that Java's JDBC catalog, pyiceberg and iceberg-rust share: SQLite or Postgres.
//!
//! A row has the place of the newest metadata file; who replaces it names the one that it read.

use std::fmt;
use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::{Clock, SystemClock};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, Row, SqlitePool};

use super::{Catalog, CatalogError, Commit, Creation, Loaded, TableName};
use crate::metadata::Metadata;
use crate::place::Place;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
)";
const NAMESPACES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
)";
/// What other programs know a namespace by that has no properties of its own.
const NAMESPACE: &str = "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
    VALUES ($1, $2, 'exists', 'true') ON CONFLICT DO NOTHING";
const LOAD: &str = "SELECT metadata_location FROM iceberg_tables
    WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3";
const INSERT: &str = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = $1, previous_metadata_location = $2
    WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5 AND metadata_location = $2";

/// How long a statement may wait for the database.
const PATIENCE: Duration = Duration::from_secs(30);

enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A catalog in a database.
pub struct SqlCatalog {
    name: String,
    database: Database,
    store: Arc<dyn ObjectStore>,
    place: Place,
}

impl SqlCatalog {
    /// The catalog in a SQLite file, which is made if it is not there.
    pub async fn sqlite(file: &FilePath, name: &str, store: Arc<dyn ObjectStore>, place: Place) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .busy_timeout(PATIENCE);
        // One connection: SQLite has one writer anyway.
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let database = Database::Sqlite(pool.connect_with(options).await.map_err(failed)?);
        Self::prepare(name, database, store, place).await
    }

    /// The catalog in a Postgres database, which must be there already.
    pub async fn postgres(url: &str, name: &str, store: Arc<dyn ObjectStore>, place: Place) -> Result<Self, CatalogError> {
        let options = PgConnectOptions::from_str(url).map_err(failed)?;
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(PATIENCE);
        let database = Database::Postgres(pool.connect_with(options).await.map_err(failed)?);
        Self::prepare(name, database, store, place).await
    }

    async fn prepare(name: &str, database: Database, store: Arc<dyn ObjectStore>, place: Place) -> Result<Self, CatalogError> {
        let catalog = Self {
            name: name.to_owned(),
            database,
            store,
            place,
        };
        for statement in [TABLES, NAMESPACES] {
            // Two that start at once may both find no table; one of them then fails, and finds it.
            if catalog.execute(statement, &[]).await.is_err() {
                catalog.execute(statement, &[]).await.map_err(failed)?;
            }
        }
        Ok(catalog)
    }

    async fn execute(&self, sql: &'static str, values: &[&str]) -> Result<u64, sqlx::Error> {
        match &self.database {
            Database::Sqlite(pool) => {
                let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value));
                Ok(query.execute(pool).await?.rows_affected())
            }
            Database::Postgres(pool) => {
                let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value));
                Ok(query.execute(pool).await?.rows_affected())
            }
        }
    }

    async fn location(&self, table: &TableName) -> Result<Option<String>, sqlx::Error> {
        let namespace = table.namespace.join(".");
        match &self.database {
            Database::Sqlite(pool) => {
                let query = sqlx::query(LOAD).bind(&self.name).bind(&namespace).bind(&table.name);
                let row = query.fetch_optional(pool).await?;
                row.map(|row| row.try_get(0)).transpose()
            }
            Database::Postgres(pool) => {
                let query = sqlx::query(LOAD).bind(&self.name).bind(&namespace).bind(&table.name);
                let row = query.fetch_optional(pool).await?;
                row.map(|row| row.try_get(0)).transpose()
            }
        }
    }

    /// Writes metadata as a file of their own, and returns where.
    async fn write(&self, metadata: &Metadata, version: u64) -> Result<(String, Path), CatalogError> {
        let id = uuid::Uuid::new_v4();
        let location = format!("{}/metadata/{version:05}-{id}.metadata.json", metadata.location());
        let path = self.place.path_of(&location);
        let path = path.ok_or_else(|| CatalogError::Failed(format!("{location} is not in the lake")))?;
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let put = self.store.put_opts(&path, metadata.to_bytes().into(), options).await;
        put.map_err(|error| CatalogError::Failed(error.to_string()))?;
        Ok((location, path))
    }

    /// Deletes the metadata files that the newest ones do not name any more, if the table wants that.
    async fn tidy(&self, before: &Metadata, now: &Metadata) {
        if now.property("write.metadata.delete-after-commit.enabled") != Some("true") {
            return;
        }
        let named = now.log();
        for old in before.log().into_iter().filter(|old| !named.contains(old)) {
            if let Some(path) = self.place.path_of(old) {
                self.drop_file(&path).await;
            }
        }
    }

    /// A metadata file that nothing names.
    async fn drop_file(&self, path: &Path) {
        if let Err(error) = self.store.delete(path).await {
            tracing::debug!(%path, %error, "a metadata file that nothing names stays");
        }
    }
}

fn failed(error: impl fmt::Display) -> CatalogError {
    CatalogError::Failed(error.to_string())
}

/// The number at the beginning of a metadata file's name.
fn version_of(location: &str) -> u64 {
    let file = location.rsplit('/').next().unwrap_or_default();
    let number = file.split('-').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

#[async_trait]
impl Catalog for SqlCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<Loaded>, CatalogError> {
        let Some(location) = self.location(table).await.map_err(failed)? else {
            return Ok(None);
        };
        let path = self.place.path_of(&location);
        let path = path.ok_or_else(|| CatalogError::Failed(format!("{location} is not in the lake")))?;
        let bytes = async { self.store.get(&path).await?.bytes().await }.await.map_err(failed)?;
        let damaged = |reason: &dyn fmt::Display| CatalogError::Failed(format!("{location}: {reason}"));
        let json = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        let metadata = Metadata::from_json(json).map_err(|reason| damaged(&reason))?;
        Ok(Some(Loaded { metadata, location }))
    }

    async fn create(&self, table: &TableName, creation: &Creation) -> Result<(), CatalogError> {
        let namespace = table.namespace.join(".");
        self.execute(NAMESPACE, &[&self.name, &namespace]).await.map_err(failed)?;
        let metadata = Metadata::new(
            &creation.location,
            &creation.columns,
            &creation.properties,
            SystemClock.now_ms().0,
        );
        let (location, path) = self.write(&metadata, 0).await?;
        let values = [self.name.as_str(), &namespace, &table.name, &location];
        match self.execute(INSERT, &values).await {
            Ok(0) => self.drop_file(&path).await,
            Ok(_) => {}
            Err(error) => return Err(CatalogError::Unknown(error.to_string())),
        }
        Ok(())
    }

    async fn commit(&self, table: &TableName, base: &Loaded, commit: &Commit) -> Result<(), CatalogError> {
        if let Some(reason) = commit.requirements.iter().find_map(|one| one.fails_on(&base.metadata)) {
            return Err(CatalogError::Conflict(reason));
        }
        let next = base.metadata.after(&commit.updates, &base.location, SystemClock.now_ms().0);
        let (location, path) = self.write(&next, version_of(&base.location) + 1).await?;
        let namespace = table.namespace.join(".");
        let values = [location.as_str(), &base.location, &self.name, &namespace, &table.name];
        match self.execute(SWAP, &values).await {
            Ok(0) => {
                self.drop_file(&path).await;
                Err(CatalogError::Conflict(format!(
                    "{} is not its newest metadata any more",
                    base.location
                )))
            }
            Ok(_) => {
                self.tidy(&base.metadata, &next).await;
                Ok(())
            }
            Err(error) => Err(CatalogError::Unknown(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_names() {
        assert_eq!(version_of("file:///lake/t/metadata/00041-6c1e.metadata.json"), 41);
        assert_eq!(version_of("s3://b/t/metadata/foreign.json"), 0);
    }
}
