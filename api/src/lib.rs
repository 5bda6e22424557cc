//! The HTTP service, in the same process as the state stores.
//!
//! Reads are answered from the stores and never touch the database; writes go to the [`system_of_record`] and come back
//! through change capture.

pub mod system_of_record;
