//! The lake's tables as Iceberg tables, over the very files that the Parquet sink writes.
//!
//! - [`committer`]: what the sink has finished becomes a snapshot; the reason why no file is lost or doubled.
//! - [`next`]: which files come next. [`progress`]: how far the table is.
//! - [`catalog`]: SQL (SQLite, Postgres) and REST. [`metadata`], [`schema`], [`manifest`], [`data_file`], [`place`]: the format. `access`,
//!   `snapshot`, `change`: one table, what a snapshot of it consists of, and how it goes on to it. [`expire`]: what goes.
//! - [`maintain`]: small files become one, old days are dropped. [`named`]: which files may not be deleted.
//! - [`IcebergHandle`]: a thread that commits all tables, again and again. [`settings`], [`metrics`]: of it.
//!
//! Why not the `iceberg` crates? docs/decisions/iceberg.md.

mod access;
pub mod catalog;
mod change;
pub mod committer;
pub mod data_file;
mod error;
pub mod expire;
pub mod maintain;
pub mod manifest;
pub mod metadata;
pub mod metrics;
pub mod named;
pub mod next;
pub mod place;
pub mod progress;
mod runner;
pub mod schema;
pub mod settings;
mod snapshot;

pub use access::Access;
pub use catalog::{Catalog, CatalogError, RestCatalog, RestOptions, SqlCatalog, TableName};
pub use committer::{Committed, Committer};
pub use error::CommitError;
pub use maintain::{CompactSettings, Compacted, Compactor, MaintainError, Retained, Retention};
pub use named::{Named, NamedError, named_files};
pub use place::Place;
pub use progress::Progress;
pub use runner::{IcebergError, IcebergHandle};
pub use settings::{CatalogTarget, IcebergSettings};
