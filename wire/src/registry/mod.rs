//! The schema registry port, and what stands behind it: Confluent's HTTP API, a folder, or memory.

mod file;
#[cfg(feature = "avro")]
mod http;
mod recording;

use std::sync::Arc;

pub use file::{FileRegistry, MemoryRegistry};
#[cfg(feature = "avro")]
pub use http::HttpRegistry;
pub use recording::{RecordingRegistry, Registered, same_schema, schema_name};

use crate::RegistryError;

/// Keeps schemas under subjects, each with an id that never changes. Callable from any thread, inside an async runtime too.
pub trait Registry: Send + Sync + 'static {
    /// Registers a schema and returns its id; the same schema again gives the same id. A schema that cannot read what was written
    /// under the subject's newest one is [`RegistryError::Refused`].
    ///
    /// # Errors
    ///
    /// [`RegistryError::Refused`], or it does not answer.
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError>;
    /// The schema of an id.
    ///
    /// # Errors
    ///
    /// It has none, or does not answer.
    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError>;
    /// The schema of a GUID (in its text form), by which newer serializers name schemas in record headers. Few registries know it.
    ///
    /// # Errors
    ///
    /// It has none, knows none by GUID, or does not answer.
    fn by_guid(&self, guid: &str) -> Result<Arc<str>, RegistryError> {
        Err(RegistryError::NoSuchGuid(guid.to_owned()))
    }
}
