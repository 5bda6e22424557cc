//! `riverbank iceberg …`: the tables that there are; their small files merged; their old days dropped. A file for each command.

mod compact;
mod existing;
mod ls;
mod retain;
mod verdict;

pub use self::compact::compact;
pub use self::ls::ls;
pub use self::retain::retain;
