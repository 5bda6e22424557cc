//! Where the newest metadata of a table are, and how they are replaced: by one compare-and-swap, whatever the catalog is.

mod rest;
mod sql;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

pub use rest::{RestCatalog, RestOptions};
pub use sql::SqlCatalog;

use crate::metadata::{Metadata, Requirement, Update};
use crate::schema::Columns;

/// A table's name in a catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// The namespace, which may have levels.
    pub namespace: Vec<String>,
    /// The table.
    pub name: String,
}

impl TableName {
    /// The name of a table of the lake: `bronze.accounts` is the table `accounts` of the namespace `bronze`, beneath `outer`.
    pub fn of(table: &str, outer: Option<&str>) -> Self {
        let mut levels: Vec<&str> = table.split('.').collect();
        let name = levels.pop().unwrap_or(table).to_owned();
        if levels.is_empty() && outer.is_none() {
            levels.push("lake");
        }
        let namespace = outer.into_iter().flat_map(|outer| outer.split('.')).chain(levels);
        Self {
            namespace: namespace.map(str::to_owned).collect(),
            name,
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace.join("."), self.name)
    }
}

/// A table, as the catalog has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Its metadata.
    pub metadata: Metadata,
    /// Where they are.
    pub location: String,
}

/// A table to be made.
#[derive(Debug, Clone)]
pub struct Creation {
    /// Where it is.
    pub location: String,
    /// Its columns.
    pub columns: Columns,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
}

/// What is to be changed, if everything holds that it is based upon.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// What must hold.
    pub requirements: Vec<Requirement>,
    /// What changes.
    pub updates: Vec<Update>,
}

/// Why a catalog did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Somebody else was faster: nothing was changed.
    #[error("somebody else has changed the table: {0}")]
    Conflict(String),
    /// It may have been done or not.
    #[error("the catalog did not say what came of it: {0}")]
    Unknown(String),
    /// It was not done.
    #[error("the catalog: {0}")]
    Failed(String),
}

/// A catalog.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The newest metadata of a table; `None` if there is none.
    async fn load(&self, table: &TableName) -> Result<Option<Loaded>, CatalogError>;

    /// Makes a table, unless one of its name is there.
    async fn create(&self, table: &TableName, creation: &Creation) -> Result<(), CatalogError>;

    /// Changes a table, if it is still as it was loaded as far as the requirements say.
    async fn commit(&self, table: &TableName, base: &Loaded, commit: &Commit) -> Result<(), CatalogError>;
}
