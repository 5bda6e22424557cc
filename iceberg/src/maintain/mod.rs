//! What keeps a table small: [`Compactor`] merges the small files of days that are over, [`Retention`] drops the days that are not
//! kept. Both run beside committers and beside themselves, as commands of their own.
//!
//! The lake's own files are never touched: a reader by folders would see rows twice, or not at all, while files are put in the place of
//! others. Here the catalog swaps them at once, and a reader has either. Merged files are `_iceberg/<table>/<table id>/day=…/p=…`,
//! beside the lake's tables, so that nothing that reads or loads a table's folder finds them.

mod compact;
mod error;
mod orphans;
mod plan;
mod retain;
mod rows;
mod settings;
mod spot;

pub use compact::{Compacted, Compactor};
pub use error::MaintainError;
pub use retain::{Retained, Retention};
pub use settings::CompactSettings;
