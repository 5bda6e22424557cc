//! What a format needs at run time.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;
use serde_avro_fast::Schema;

use crate::decimal;
use crate::{Registry, RegistryError, WireError};

/// A type that has a format on the wire.
pub trait Wire: Sized + Send + Sync + 'static {
    /// The Avro schema (JSON) that it is written with and read as; `None` for a fixed binary format.
    const SCHEMA: Option<&'static str>;

    /// Appends its bytes. On an error, what was appended is worthless.
    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError>;

    /// Reads it from all of these bytes.
    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError>;
}

/// The registry, the id to write with, and the schemas met so far. Cheap to clone; clones share the schemas.
#[derive(Clone)]
pub struct Codec {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Option<Arc<dyn Registry>>,
    writer: Option<(u32, Arc<Schema>)>,
    by_id: RwLock<HashMap<u32, Arc<Schema>>>,
}

impl Codec {
    /// For types with a fixed format.
    pub fn plain() -> Self {
        Self {
            inner: Arc::new(Inner {
                registry: None,
                writer: None,
                by_id: RwLock::default(),
            }),
        }
    }

    /// For reading what others wrote.
    pub fn reader(registry: Arc<dyn Registry>) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry: Some(registry),
                writer: None,
                by_id: RwLock::default(),
            }),
        }
    }

    /// For writing and reading: registers the type's schema under the subject, which the registry refuses when data already
    /// written could not be read with it.
    pub fn register<T: Wire>(registry: Arc<dyn Registry>, subject: &str) -> Result<Self, WireError> {
        let Some(text) = T::SCHEMA else {
            return Ok(Self::reader(registry));
        };
        let id = registry.register(subject, text)?;
        let schema = Arc::new(parse(id, text)?);
        let by_id = RwLock::new(HashMap::from_iter([(id, schema.clone())]));
        Ok(Self {
            inner: Arc::new(Inner {
                registry: Some(registry),
                writer: Some((id, schema)),
                by_id,
            }),
        })
    }

    /// The id and schema to write with.
    pub(crate) fn writer(&self) -> Result<&(u32, Arc<Schema>), WireError> {
        self.inner
            .writer
            .as_ref()
            .ok_or_else(|| WireError::Unencodable("this codec only reads: no schema was registered".to_owned()))
    }

    /// The schema that something was written with.
    pub(crate) fn schema(&self, id: u32) -> Result<Arc<Schema>, WireError> {
        if let Some(schema) = self.inner.by_id.read().get(&id) {
            return Ok(schema.clone());
        }
        let registry = self.inner.registry.as_ref().ok_or(WireError::UnknownSchema { id })?;
        let text = registry.by_id(id).map_err(|error| match error {
            RegistryError::NotFound(id) => WireError::UnknownSchema { id },
            error => error.into(),
        })?;
        let schema = Arc::new(parse(id, &text)?);
        self.inner.by_id.write().insert(id, schema.clone());
        Ok(schema)
    }
}

fn parse(id: u32, text: &str) -> Result<Schema, WireError> {
    let unresolvable = |reason: String| WireError::Unresolvable { id, reason };
    let mut schema: serde_json::Value = match text.trim_start().starts_with(['{', '[', '"']) {
        true => serde_json::from_str(text).map_err(|error| unresolvable(error.to_string()))?,
        // A primitive type may be a bare word.
        false => serde_json::Value::String(text.trim().to_owned()),
    };
    decimal::replace(&mut schema);
    schema
        .to_string()
        .parse()
        .map_err(|error: serde_avro_fast::schema::SchemaError| unresolvable(error.to_string()))
}
