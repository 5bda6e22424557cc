//! Stateful stream processing on Kafka, as a library: typed topologies, RocksDB state, exactly once.
//!
//! It is to a Rust program what Kafka Streams is to one on the JVM: Kafka is the distributed system, and any number of
//! instances of the program share the work. Begin with [`dsl`] and [`Processor`]; run with [`Streams`]; ask with [`Queries`];
//! test with [`testing::TestDriver`], which runs the same code on an in-process log.
//!
//! A program needs no other crate beside this one: what it names of the log and of the wire format is here, too, and all of them are
//! [`topology::broker`](broker) and [`topology::wire`](wire).
//!
//! Features, all on by default: `kafka` (librdkafka), `rocksdb` (state on disk), `avro` (Avro and the schema registry). Without any of them
//! nothing but Rust is compiled, and topologies run on the log in the process.

mod change;
pub mod dsl;
mod error;
mod graph;
mod headers;
mod node;
mod number;
mod offset;
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
pub use ::clock::{Micros, Millis};
pub use change::Change;
pub use dsl::TopicPattern;
pub use error::{EngineError, ProcessError, StoreError};
pub use graph::{OffsetReset, Topology};
pub use offset::RecordOffset;
pub use processor::{Context, Forward, Processor, ReadAhead};
pub use punctuators::{Punctuation, PunctuationType, Punctuator, Schedule};
pub use query::{Answer, Queries, QueryError};
pub use record::{Payload, Record, RecordMetadata};
pub use runtime::{Engine, EngineParts, EngineSettings, EngineState, Metrics, OnFault, Position, TaskId};
pub use streams::Streams;

/// The log beneath: the port, Kafka, and the one in this process.
pub use broker;
pub use broker::{Broker, BrokerError, Headers, InProcessBroker, InvalidTopicSetting, TopicSettings};
#[cfg(feature = "kafka")]
pub use broker::{KafkaBroker, KafkaSettings};
/// How types become bytes: fixed formats, Avro, the schema registry.
pub use wire;
pub use wire::{Codec, MemoryRegistry, Registry, Topic, Wire, WireError};
/// Types of other crates that are seen from outside: the bytes of records, and where metrics are registered.
pub use {bytes::Bytes, prometheus};
