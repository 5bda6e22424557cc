//! The way from the lake into Snowflake.
//!
//! - [`snowflake`]: its REST APIs, with key-pair authentication: Snowpipe (which files to load) and SQL.
//! - [`notifier`]: reports each Parquet file of the lake to the pipe of its table, at least once, and watches what became of it.
//! - [`migrations`]: the SQL that sets the warehouse up, as ordered files; [`apply`] runs what is not applied yet. [`status`]: what
//!   Snowflake and the lake say of the pipes. [`ddl`]: what a new table's migration begins with, from the table's declaration.
//!
//! Why not Snowpipe's own auto-ingest? It does not work on stages of S3-compatible stores. On AWS S3 it does, by SQS; then the
//! migrations of `stage=s3` set it up, and no notifier is needed.

pub mod apply;
pub mod ddl;
pub mod migrations;
pub mod notifier;
pub mod snowflake;
pub mod status;
