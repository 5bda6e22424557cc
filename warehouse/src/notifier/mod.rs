//! The notifier: reports every Parquet file of the lake to the pipe of its table, and watches what became of it.
//!
//! ```text
//!  the sinks' own commits ─┐
//!  bucket events, webhook ─┤ names   ┌────────┐ footers  ┌───────┐ batches  ┌──────────┐
//!  bucket events, Kafka ───┼────────►│ Memory │◄────────►│ Lake  │          │ Snowpipe │
//!  reconciling listings ───┘         └────────┴──────────┴───────┴─────────►└──────────┘
//!                                        ▲                                       │
//!                                        └────────────── reports ────────────────┘
//! ```
//!
//! **Repeating is safe, losing is not.** Snowflake ignores a path that a pipe has received within 14 days, so every source may
//! repeat, be late or out of order, and the memory of what was reported is only a saving. What makes it complete is the lake itself:
//! a file's name says which offsets it covers, ranges of a partition follow one another, and the sink's last intent says where they
//! end. A range that is in no received file shows as a hole, and is looked for until it is found ([`reconcile`]).
//!
//! **A name alone is never reported.** Snowflake would take a path that is not there for received, and ignore the file that comes
//! later. So each file's footer is read first, which also says on which days its range has other files.
//!
//! - [`events`]: names in bucket events. [`webhook`], [`kafka`]: how these arrive.
//! - [`offers`]: where names are handed in. [`stream`], [`memory`]: what is known of files. [`ledger`]: what a restart finds of that. [`lake`]: what is asked of the store.
//! - [`reconcile`]: listings. [`watch`]: reports, failures, lag. [`worker`]: all of it, turn by turn.
//!   [`service`]: a worker that runs.

pub mod events;
pub mod kafka;
pub mod lake;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod offers;
pub mod reconcile;
pub mod service;
pub mod settings;
pub mod stream;
pub mod watch;
pub mod webhook;
pub mod worker;

pub use offers::{Offers, Source, TableLag};
pub use service::{Notifier, NotifierHandle, StartError};
pub use settings::{NotifierSettings, PipeRule};
