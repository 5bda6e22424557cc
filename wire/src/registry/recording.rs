//! A registry that remembers what was registered through it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Registry;
use crate::{RegistryError, avro};

/// What a registration gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The subject.
    pub subject: String,
    /// The id that the registry gave.
    pub id: u32,
    /// The schema.
    pub schema: String,
}

/// Passes everything on to a registry, and remembers what was registered.
pub struct RecordingRegistry {
    inner: Arc<dyn Registry>,
    registered: Mutex<Vec<Registered>>,
}

impl RecordingRegistry {
    /// Before this registry.
    pub fn new(inner: Arc<dyn Registry>) -> Self {
        Self {
            inner,
            registered: Mutex::default(),
        }
    }

    /// What was registered so far, in order.
    pub fn registered(&self) -> Vec<Registered> {
        self.registered.lock().clone()
    }
}

impl Registry for RecordingRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let id = self.inner.register(subject, schema)?;
        self.registered.lock().push(Registered {
            subject: subject.to_owned(),
            id,
            schema: schema.to_owned(),
        });
        Ok(id)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.inner.by_id(id)
    }

    fn by_guid(&self, guid: &str) -> Result<Arc<str>, RegistryError> {
        self.inner.by_guid(guid)
    }
}

/// Whether two schemas are the same to whoever reads what was written with them: spaces, documentation, aliases and defaults do
/// not count. What is no schema is the same as itself alone.
pub fn same_schema(one: &str, other: &str) -> bool {
    one == other || avro::reads_alike(one, other)
}

/// What a schema is called in a message: its full name, or its type.
pub fn schema_name(text: &str) -> String {
    avro::schema_name(text)
}

#[cfg(all(test, feature = "avro"))]
mod tests {
    use super::*;

    fn money(name: &str, scale: u32, rest: &str) -> String {
        format!(
            r#"{{"type":"record","name":"{name}"{rest},"fields":[{{"name":"a","type":{{"type":"bytes","logicalType":"decimal","precision":20,"scale":{scale}}}}}]}}"#
        )
    }

    #[test]
    fn what_reads_alike_is_the_same() {
        let one = money("bank.M", 2, "");
        assert!(same_schema(&one, &one.replace(':', ": ")));
        assert!(same_schema(
            &one,
            &money("M", 2, r#","namespace":"bank","doc":"d","aliases":["N"]"#)
        ));
        assert!(!same_schema(&one, &money("bank.N", 2, "")));
        assert!(!same_schema(&one, &money("bank.M", 4, "")));
        assert!(!same_schema(&one, "\"long\""));
        assert!(same_schema("nonsense", "nonsense"));
        assert!(!same_schema("nonsense", "other nonsense"));
    }

    #[test]
    fn a_schema_has_a_name() {
        assert_eq!(schema_name(&money("bank.M", 2, "")), "bank.M");
        assert_eq!(schema_name("\"long\""), "long");
        assert_eq!(schema_name("nonsense"), "no schema");
    }
}
