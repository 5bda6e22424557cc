//! Schemas beside each other.

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;

use super::Plan;

/// Whether a text is a schema; else why not.
pub(crate) fn is_schema(text: &str) -> Result<(), String> {
    comparable(text).map(drop)
}

/// Whether what was written with one schema can be read with the other; else why not.
pub(crate) fn can_read(written: &str, schema: &str) -> Result<(), String> {
    let (written, schema) = (comparable(written)?, comparable(schema)?);
    SchemaCompatibility::can_read(&written, &schema)
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Whether what was written with either is read alike.
pub(crate) fn reads_alike(one: &str, other: &str) -> bool {
    // The canonical form knows no decimals.
    let read = |text: &str| {
        let schema = Schema::parse_str(text).ok()?;
        Some((schema.canonical_form(), Plan::compile(text).ok()?.scales()))
    };
    matches!((read(one), read(other)), (Some(one), Some(other)) if one == other)
}

/// Its full name, or its type.
pub(crate) fn schema_name(text: &str) -> String {
    match Schema::parse_str(text) {
        Ok(schema) => match schema.name() {
            Some(name) => name.fullname(None),
            None => schema.canonical_form().trim_matches('"').to_owned(),
        },
        Err(_) => "no schema".to_owned(),
    }
}

/// A schema as the real registry compares it, which looks at types, not at logical types: a decimal's scale may change, since each
/// record is read by the scale that it was written with.
fn comparable(schema: &str) -> Result<Schema, String> {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                if fields.get("logicalType").and_then(|name| name.as_str()) == Some("decimal") {
                    fields.remove("logicalType");
                }
                fields.values_mut().for_each(strip);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut json = serde_json::from_str(schema).map_err(|e| e.to_string())?;
    strip(&mut json);
    Schema::parse(&json).map_err(|e| e.to_string())
}
