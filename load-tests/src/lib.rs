//! Load tests: what the engine costs, beside what a user would take instead, in the same run.

pub mod kafka;
pub mod measure;
pub mod reference;
pub mod report;
pub mod restart;
pub mod steps;
