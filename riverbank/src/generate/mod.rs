//! A simulated bank, for demonstrations, tests and load: seeded, so that whatever it shows can be shown again.
//!
//! [`SimulatedBank`] says what happens, as [`Operation`]s in [`Batch`]es that commit together; [`drive`](drive::drive)
//! takes them to any [`Teller`] at a pace; a teller applies them to a system of record. The knobs are in `config.yaml`
//! ([`Plan`], [`Profile`]).
//!
//! Why not random SQL? Rows that no bank would write prove little: here, references hold, money is there before it is
//! spent, pending transactions are settled, mistakes are corrected, and what the bank must refuse is tried now and then.

mod acts;
pub mod args;
pub mod bank;
mod book;
mod command;
mod draw;
pub mod drive;
pub mod founding;
mod holders;
pub mod ids;
pub mod knobs;
mod mix;
pub mod operation;
mod people;
pub mod profile;
pub mod record;
pub mod teller;
pub mod totals;

pub use args::GenerateArgs;
pub use bank::SimulatedBank;
pub use command::generate;
pub use drive::{Pace, drive};
pub use operation::{AccountRef, Batch, ChangeReason, CustomerRef, Draft, Operation, Person, TransactionRef};
pub use profile::{Plan, Profile, Target};
pub use record::RecordTeller;
pub use teller::{Teller, TellerError, Verdict};
pub use totals::Totals;
