//! A simulated bank, for demonstrations, tests and load: seeded, so that whatever it shows can be shown again.
//!
//! [`SimulatedBank`] says what happens, as [`Operation`]s in [`Batch`]es that commit together; [`drive()`] takes them to a
//! [`Target`] at a pace. [`RecordTarget`] is a system of record as the target: Postgres, or the in-process implementation.
//! [`Profile`] says what the bank is like.
//!
//! ```
//! use simulator::{Profile, SimulatedBank};
//!
//! let first: Vec<_> = SimulatedBank::new(42, Profile::default()).take(3).collect();
//! let again: Vec<_> = SimulatedBank::new(42, Profile::default()).take(3).collect();
//! assert_eq!(first, again);
//! ```
//!
//! *Why not random SQL?* Rows that no bank would write prove little: here, references hold, money is there before it is
//! spent, salaries come each month, pending transactions are settled, mistakes are corrected, and what the bank must refuse is
//! tried now and then.

mod activity;
mod amounts;
mod bank;
mod book;
mod calendar;
mod customers;
mod draw;
mod drive;
mod ids;
mod mix;
mod operation;
mod people;
mod population;
mod profile;
mod record_target;
mod roll;
mod standing;
mod target;
mod totals;
mod transactions;

pub use bank::SimulatedBank;
pub use drive::{DriveError, Pace, drive, keep_busy, open};
pub use operation::{
    AccountReason, AccountRef, Batch, ChangeReason, CustomerRef, Draft, Operation, Person, Purpose, TransactionRef,
};
pub use profile::{Days, Mix, Profile, Range, Salary, Spread, StandingOrders};
pub use record_target::RecordTarget;
pub use target::{Outcome, Target, TargetError};
pub use totals::Totals;
