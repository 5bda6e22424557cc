//! `riverbank warehouse …`: the SQL that sets Snowflake up, and what Snowflake has of the lake. A file for each command.

mod apply;
mod configuration;
mod ddl;
mod plan;
mod status;

pub use self::apply::apply;
pub use self::ddl::ddl;
pub use self::plan::plan;
pub use self::status::status;
