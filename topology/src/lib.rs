//! Stateful stream processing on Kafka, as a library: typed topologies, RocksDB state, exactly once.
//!
//! It is to a Rust program what Kafka Streams is to one on the JVM: Kafka is the distributed system, and any number of
//! instances of the program share the work. Begin with [`dsl`] and [`Processor`]; run with [`Engine`]; ask with [`Queries`];
//! test with [`testing::TestDriver`], which runs the same code on an in-process log.

mod change;
pub mod dsl;
mod error;
mod graph;
mod headers;
mod node;
mod number;
mod planted;
mod processor;
mod punctuators;
pub mod query;
mod record;
mod runtime;
pub mod store;
mod streams;
pub mod testing;

pub use ::clock;
pub use broker::Headers;
pub use change::Change;
pub use error::{EngineError, ProcessError, StoreError};
pub use graph::Topology;
pub use processor::{Context, Forward, Processor, ReadAhead};
pub use punctuators::{Punctuation, PunctuationType, Punctuator, Schedule};
pub use query::{Answer, Queries, QueryError};
pub use record::{Payload, Record, RecordMetadata};
pub use runtime::{Engine, EngineParts, EngineSettings, EngineState, Metrics, OnPanic, Position, TaskId};
pub use streams::Streams;
