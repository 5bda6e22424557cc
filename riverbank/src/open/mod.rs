//! What the settings name, opened: the log, the lake, the catalog of its Iceberg tables, Snowflake, the system of record.
//!
//! Commands and the running program open the same things, and know nothing of each other.

pub mod iceberg;
pub mod lake;
pub mod log;
pub mod records;
pub mod snowflake;
