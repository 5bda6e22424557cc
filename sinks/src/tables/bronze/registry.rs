//! The schemas of a topic's records, as the registry has them; and the ids in its keys.

use std::collections::HashMap;
use std::sync::Arc;

use broker::Message;
use parking_lot::Mutex;
use wire::{DatumInput, Registry, RegistryError, VALUE_SCHEMA_HEADER, WireError, WriterSchema, split};

use super::avro::{Avro, Form, NodeId};
use super::datum::{Value, read};
use super::event::EventSchema;
use crate::RowError;

/// Schemas met so far. What the registry does not know is asked for again.
pub struct Schemas {
    registry: Arc<dyn Registry>,
    topic: &'static str,
    events: Mutex<HashMap<WriterSchema, Result<Arc<EventSchema>, String>>>,
    keys: Mutex<HashMap<u32, Option<Arc<KeySchema>>>>,
}

/// A key's schema, and which of its fields is the row's id.
struct KeySchema {
    avro: Avro,
    id: Option<usize>,
}

impl Schemas {
    pub fn new(registry: Arc<dyn Registry>, topic: &'static str) -> Self {
        Self {
            registry,
            topic,
            events: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// The schema of a change event; the inner error says that it is none.
    pub fn event(&self, id: WriterSchema) -> Result<Result<Arc<EventSchema>, String>, RowError> {
        let known = self.events.lock().get(&id).cloned();
        if let Some(schema) = known {
            return Ok(schema);
        }
        let text = match self.text(id)? {
            Ok(text) => text,
            Err(reason) => return Ok(Err(reason)),
        };
        let schema = EventSchema::parse(&text, self.topic).map(Arc::new);
        let schema = schema.map_err(|reason| format!("schema {id}: {reason}"));
        Ok(self.events.lock().entry(id).or_insert(schema).clone())
    }

    /// The row's id in a key: eight bytes, as Kafka's `LongSerializer` has them, or a framed record as Debezium's. `None` for a key
    /// that is readable and names its row by something else.
    pub fn id(&self, key: &[u8]) -> Result<Result<Option<i64>, String>, RowError> {
        let plain = key
            .first_chunk::<8>()
            .filter(|_| key.len() == 8)
            .map(|bytes| i64::from_be_bytes(*bytes));
        let framed = match split(key) {
            // No registry gives the id 0: eight bytes of a number below 2^24 are never framed.
            Ok((0, _)) if plain.is_some() => return Ok(Ok(plain)),
            Ok((id, datum)) => self.framed_id(id, datum)?,
            Err(error) => Err(error.to_string()),
        };
        Ok(match (framed, plain) {
            (Ok(id), _) => Ok(id),
            (Err(_), Some(id)) => Ok(Some(id)),
            (Err(reason), None) => Err(reason),
        })
    }

    fn framed_id(&self, schema: u32, datum: &[u8]) -> Result<Result<Option<i64>, String>, RowError> {
        let known = self.keys.lock().get(&schema).cloned();
        let key = match known {
            Some(key) => key,
            None => {
                let text = match self.text(WriterSchema::Id(schema))? {
                    Ok(text) => text,
                    Err(reason) => return Ok(Err(reason)),
                };
                let key = KeySchema::parse(&text).map(Arc::new);
                self.keys.lock().entry(schema).or_insert(key).clone()
            }
        };
        Ok(match key {
            Some(key) => key.read(datum),
            None => Err(format!("malformed: schema {schema} is no row's key")),
        })
    }

    /// A schema's text; the inner error says that there is none.
    fn text(&self, named: WriterSchema) -> Result<Result<Arc<str>, String>, RowError> {
        match named.text(&*self.registry) {
            Ok(text) => Ok(Ok(text)),
            Err(error @ RegistryError::Unavailable(_)) => Err(RowError::Unavailable(error.to_string())),
            Err(error) => Ok(Err(WireError::from(error).to_string())),
        }
    }
}

/// A value's schema and its datum: newer serializers put what stands before the datum into a header.
pub fn framing<'a>(record: &'a Message, value: &'a [u8]) -> Result<(WriterSchema, &'a [u8]), WireError> {
    match record.headers.iter().find(|(name, _)| name == VALUE_SCHEMA_HEADER) {
        None => split(value).map(|(id, datum)| (WriterSchema::Id(id), datum)),
        Some((_, header)) => Ok((WriterSchema::of_header(header.as_deref().unwrap_or_default())?, value)),
    }
}

impl KeySchema {
    fn parse(text: &str) -> Option<Self> {
        let avro = Avro::parse(text).ok()?;
        let Form::Record(record) = &avro.node(avro.root).form else {
            return None;
        };
        let named = record.fields.iter().position(|field| field.name == "id");
        let id = named.or((record.fields.len() == 1).then_some(0));
        Some(Self { avro, id })
    }

    fn read(&self, datum: &[u8]) -> Result<Option<i64>, String> {
        let mut input = DatumInput::new(datum);
        let root: NodeId = self.avro.root;
        let value = read(&self.avro, root, &mut input).map_err(|error| format!("malformed: {error}"))?;
        match (value, input.left()) {
            (Value::Items(items), 0) => Ok(match self.id.and_then(|id| items.get(id)) {
                Some(Value::Int(id)) => Some(*id),
                _ => None,
            }),
            (_, left) => Err(format!("malformed: {left} bytes are left over")),
        }
    }
}
