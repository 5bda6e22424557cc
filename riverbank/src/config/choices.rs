//! Settings that are one of a few words.

use clap::ValueEnum;

/// Where Iceberg tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IcebergCatalog {
    /// Nowhere: there are none.
    Off,
    /// A file.
    Sqlite,
    /// A database.
    Postgres,
    /// A REST catalog.
    Rest,
}

/// How the lake's rows are in Snowflake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WarehouseTables {
    /// Ordinary tables, loaded by pipes.
    Loaded,
    /// The lake's Iceberg tables.
    Iceberg,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
