//! What a format needs at run time.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::avro::Plan;
use crate::framing::{WriterSchema, write_header};
use crate::plans::Plans;
use crate::{Registry, RegistryError, WireError};

/// A type that has a format on the wire.
pub trait Wire: Sized + Send + Sync + 'static {
    /// The Avro schema (JSON) that it is written with and read as; `None` for a fixed binary format.
    const SCHEMA: Option<&'static str>;

    /// Appends its bytes. On an error, what was appended is worthless.
    ///
    /// # Errors
    ///
    /// The value does not fit its schema, or the codec has none to write with.
    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError>;

    /// Reads it from all of these bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not of this type, or their schema is not known or cannot be asked for ([`WireError::is_transient`]).
    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError>;

    /// What a record without a key has as its key, if that is a value of this type; see `Option`.
    fn missing() -> Option<Self> {
        None
    }

    /// Whether it is written as no key at all.
    fn is_missing(&self) -> bool {
        false
    }
}

/// The key of records that may have none.
impl<T: Wire> Wire for Option<T> {
    const SCHEMA: Option<&'static str> = T::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        match self {
            Some(value) => value.encode(codec, out),
            None => Ok(()),
        }
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        T::decode(bytes, codec).map(Some)
    }

    fn missing() -> Option<Self> {
        Some(None)
    }

    fn is_missing(&self) -> bool {
        self.is_none()
    }
}

/// The registry, the id to write with, and the schemas met so far. Cheap to clone; clones share the schemas.
#[derive(Clone)]
pub struct Codec {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Option<Arc<dyn Registry>>,
    /// The id to write with; its plan is among the others.
    #[cfg_attr(not(feature = "avro"), expect(dead_code, reason = "only Avro has an id in its bytes"))]
    writer: Option<u32>,
    plans: Plans,
    /// Ids of our own for schemas that have a GUID only.
    guids: Mutex<HashMap<[u8; 16], u32>>,
}

/// Registries' ids are positive in Java: from here on they are ours.
const GUID_IDS: u32 = 1 << 31;

impl Codec {
    /// For types with a fixed format.
    pub fn plain() -> Self {
        Self::new(None, None)
    }

    /// For reading what others wrote.
    pub fn reader(registry: Arc<dyn Registry>) -> Self {
        Self::new(Some(registry), None)
    }

    /// For writing and reading: registers the type's schema under the subject, which the registry refuses when data already
    /// written could not be read with it.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or refuses the schema.
    pub fn register<T: Wire>(registry: Arc<dyn Registry>, subject: &str) -> Result<Self, WireError> {
        match T::SCHEMA {
            Some(text) => Self::register_schema(registry, subject, text),
            None => Ok(Self::reader(registry)),
        }
    }

    /// The same for a schema that is known at run time only.
    ///
    /// # Errors
    ///
    /// As [`Codec::register`].
    pub fn register_schema(registry: Arc<dyn Registry>, subject: &str, text: &str) -> Result<Self, WireError> {
        let id = registry.register(subject, text)?;
        let codec = Self::new(Some(registry), Some(id));
        codec.inner.plans.add(id, compile(id, text)?);
        Ok(codec)
    }

    fn new(registry: Option<Arc<dyn Registry>>, writer: Option<u32>) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry,
                writer,
                plans: Plans::default(),
                guids: Mutex::default(),
            }),
        }
    }

    /// The id to write with, and its plan.
    #[inline]
    #[cfg(feature = "avro")]
    pub(crate) fn writer(&self) -> Result<(u32, &Plan), WireError> {
        let id = self.inner.writer;
        let id = id.ok_or_else(|| WireError::Unencodable("this codec only reads: no schema was registered".to_owned()))?;
        Ok((id, self.plan(id)?))
    }

    /// The plan of the schema that something was written with.
    #[inline]
    #[cfg(feature = "avro")]
    pub(crate) fn plan(&self, id: u32) -> Result<&Plan, WireError> {
        match self.inner.plans.get(id) {
            Some(plan) => Ok(plan),
            None => self.fetch(id),
        }
    }

    /// A datum with what must stand before it, where that came in a record's header ([`crate::VALUE_SCHEMA_HEADER`]): the id, or
    /// one of our own for a GUID, which nobody but this codec knows.
    ///
    /// # Errors
    ///
    /// The header says nothing, or the registry has no schema of the GUID.
    pub fn framed(&self, header: &[u8], datum: &[u8]) -> Result<Vec<u8>, WireError> {
        let id = match WriterSchema::of_header(header)? {
            WriterSchema::Id(id) => id,
            WriterSchema::Guid(guid) => self.id_of(guid)?,
        };
        let mut framed = Vec::with_capacity(crate::HEADER_LEN + datum.len());
        write_header(id, &mut framed);
        framed.extend_from_slice(datum);
        Ok(framed)
    }

    fn id_of(&self, guid: [u8; 16]) -> Result<u32, WireError> {
        let mut guids = self.inner.guids.lock();
        if let Some(id) = guids.get(&guid) {
            return Ok(*id);
        }
        let named = WriterSchema::Guid(guid);
        let registry = self.inner.registry.as_ref();
        let registry = registry.ok_or_else(|| RegistryError::NoSuchGuid(named.to_string()))?;
        let schema = named.text(&**registry)?;
        let id = GUID_IDS + guids.len() as u32;
        self.inner.plans.add(id, compile(id, &schema)?);
        guids.insert(guid, id);
        Ok(id)
    }

    #[cold]
    #[cfg(feature = "avro")]
    fn fetch(&self, id: u32) -> Result<&Plan, WireError> {
        let registry = self.inner.registry.as_ref().ok_or(WireError::UnknownSchema { id })?;
        let text = registry.by_id(id).map_err(|error| match error {
            RegistryError::NotFound(id) => WireError::UnknownSchema { id },
            error => error.into(),
        })?;
        Ok(self.inner.plans.add(id, compile(id, &text)?))
    }
}

fn compile(id: u32, text: &str) -> Result<Plan, WireError> {
    Plan::compile(text).map_err(|reason| WireError::Unresolvable { id, reason })
}
