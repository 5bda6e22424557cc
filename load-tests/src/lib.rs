//! Load tests: what the engine costs, beside what a user would take instead, in the same run.

pub mod bank;
pub mod freshness;
pub mod growth;
pub mod kafka;
pub mod latency;
pub mod load;
pub mod measure;
pub mod process;
pub mod records;
pub mod reference;
pub mod report;
pub mod restart;
pub mod samples;
pub mod sink;
pub mod soak;
pub mod stack;
pub mod steps;
pub mod tables;
pub mod way;
