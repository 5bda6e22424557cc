//! The commands, a file or a folder for each. None knows another one: what several need is in the modules beside this one.

pub mod audit;
pub mod connect;
pub mod demo;
pub mod generate;
pub mod health;
pub mod iceberg;
pub mod lake;
pub mod rules;
pub mod run;
pub mod sink;
pub mod topology;
pub mod warehouse;
