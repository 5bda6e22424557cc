//! What every sink shares: a consumer group of its own, and how far each of its partitions is.
//!
//! - `runner`: the thread, which has one `session` after another: a membership of the group.
//! - `partition`: what a session moves, and what a sink has to be for that.
//! - [`protocol`]: what the group's offsets say, and the intents beside them; the reason why it is exactly once. [`generations`]:
//!   which topic a table's rows are of. `floors`: what of them was removed.
//! - `topics`: the topics' ids. `retry`: faults. `probe`: where tests look in. `handle`: a running sink from outside.
//!
//! It knows nothing of files: `parquet/` does.

pub(crate) mod floors;
pub mod generations;
mod handle;
mod partition;
mod probe;
pub mod protocol;
mod retry;
mod runner;
mod session;
mod topics;

pub use handle::{PartitionLag, SinkError, SinkHandle};
pub use partition::Listener;
pub(crate) use partition::{Halt, Partition, Target, Tools, Unready};
pub use probe::{Go, Probe, Step};
pub(crate) use retry::Retry;
pub use runner::SinkRunner;
