//! How a type becomes bytes.
//!
//! A [`Wire`] type knows its format; a [`Codec`] carries what that format needs at run time (for Avro: the registry, the
//! writer's schema id, the schemas by id). A [`Topic`] is a name with the types of its key and value.
//!
//! Values are Avro in Confluent's framing, read by the **writer's** schema straight into the struct: fields are matched by name,
//! fields that the struct does not have are skipped, fields that the writer did not have take the struct's default. The record's
//! name must be the struct's: else any record would be read as one whose fields are all optional. Keys of our
//! own topics have a fixed format, so that a partition never depends on a schema's id.

#[cfg(feature = "avro")]
mod avro;
#[cfg(not(feature = "avro"))]
#[path = "without_avro.rs"]
mod avro;
mod codec;
#[cfg(feature = "avro")]
mod decimal;
mod error;
mod framing;
mod keys;
mod plans;
mod registry;
mod topic;

#[cfg(feature = "avro")]
pub use avro::{DatumError, DatumInput, decode_avro, decode_avro_as, encode_avro};
pub use codec::{Codec, Wire};
#[cfg(feature = "avro")]
pub use decimal::Decimal;
pub use error::{RegistryError, WireError};
pub use framing::{HEADER_LEN, KEY_SCHEMA_HEADER, VALUE_SCHEMA_HEADER, WriterSchema, split};
pub use keys::OrderedKey;
#[cfg(feature = "avro")]
pub use registry::HttpRegistry;
pub use registry::{FileRegistry, MemoryRegistry, RecordingRegistry, Registered, Registry, same_schema, schema_name};
pub use topic::{Topic, name};
