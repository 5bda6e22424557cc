//! The program: the only place where the parts are put together.
//!
//! The other crates know little of each other; here they are put together. [`cli`] says what can be asked, [`config`] what
//! can be set, [`commands`] has a file for each command. [`open`] opens what the settings name; [`running`] is the whole at work,
//! which `run` and `demo` share.
//!
//! Why a library with a thin `main.rs`? So that tests read settings and run the program in their own
//! process through the same functions as the command line.

mod assembly;
pub mod audit;
pub mod cli;
pub mod commands;
pub mod config;
mod lake_writers;
pub mod open;
pub mod print;
pub mod process;
pub mod rejections;
pub mod running;
pub mod sink_service;
pub mod snowpipe;
pub mod source;
mod source_counters;
pub mod telemetry;
pub mod upgrade;
