//! A writer's Avro schema, with what Kafka Connect and Debezium mean by its types.
//!
//! Two libraries were looked at. `apache_avro` forgets the attributes of primitive types (`connect.name`), and so what a text or
//! a number means. `arrow-avro` decodes straight into Arrow, but a damaged record leaves half of a row in its arrays, another
//! schema id takes effect only with the next batch, and types of Debezium's own stay plain.

use std::collections::HashMap;

use serde_json::Value as Json;

/// A type's place among its schema's types.
pub type NodeId = usize;

/// How deep a schema's types may lie in each other.
const DEPTH: u32 = 64;

/// A schema: all its types in one list, named types resolved.
#[derive(Debug)]
pub struct Avro {
    nodes: Vec<Node>,
    /// The datum's own type.
    pub root: NodeId,
}

/// A type.
#[derive(Debug)]
pub struct Node {
    /// How it is written.
    pub form: Form,
    /// What it stands for.
    pub meaning: Meaning,
}

/// How a type is written.
#[derive(Debug)]
pub enum Form {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(NodeId),
    Map(NodeId),
    /// A union of null, at this index, and one other type.
    Optional {
        null: u64,
        other: NodeId,
    },
    /// Any other union.
    Union(Vec<NodeId>),
    Record(Record),
}

/// A record type.
#[derive(Debug)]
pub struct Record {
    /// With its namespace.
    pub name: String,
    pub fields: Vec<Field>,
}

/// A record's field.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// Its name as a key in JSON.
    pub key: Vec<u8>,
    pub node: NodeId,
}

/// What a type stands for, by Avro's logical type or the name that Connect gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// What it is written as.
    Plain,
    /// A decimal of this precision, where it is given, and scale.
    Decimal { precision: Option<u32>, scale: i32 },
    /// A decimal that carries its own scale: Debezium's record of `scale` and `value`.
    ScaledDecimal,
    /// A text with an offset from UTC.
    ZonedTimestamp,
    /// So many parts of a second since the epoch.
    Timestamp { per_second: i64 },
    /// Days since the epoch.
    Date,
    /// So many parts of a second since midnight.
    Time { per_second: i64 },
}

impl Avro {
    /// Reads a schema; the error says why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A primitive type may be a bare word.
        let json = serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
        let mut parser = Parser::default();
        let root = parser.node(&json, "", DEPTH)?;
        // Only now is every named type what it is.
        let optional: Vec<_> = (0..)
            .zip(&parser.nodes)
            .filter_map(|(id, node)| Some((id, parser.optional(node)?)))
            .collect();
        for (id, form) in optional {
            parser.nodes[id].form = form;
        }
        Ok(Self {
            nodes: parser.nodes,
            root,
        })
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The record of a type, or of its union with null.
    pub fn record(&self, id: NodeId) -> Option<&Record> {
        match &self.node(id).form {
            Form::Record(record) => Some(record),
            Form::Optional { other, .. } => match &self.node(*other).form {
                Form::Record(record) => Some(record),
                _ => None,
            },
            _ => None,
        }
    }
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    named: HashMap<String, NodeId>,
}

impl Parser {
    fn add(&mut self, form: Form, meaning: Meaning) -> NodeId {
        self.nodes.push(Node { form, meaning });
        self.nodes.len() - 1
    }

    fn optional(&self, node: &Node) -> Option<Form> {
        let Form::Union(variants) = &node.form else {
            return None;
        };
        let is_null = |id: NodeId| matches!(self.nodes[id].form, Form::Null);
        match variants[..] {
            [null, other] if is_null(null) => Some(Form::Optional { null: 0, other }),
            [other, null] if is_null(null) => Some(Form::Optional { null: 1, other }),
            _ => None,
        }
    }

    fn node(&mut self, json: &Json, namespace: &str, depth: u32) -> Result<NodeId, String> {
        let depth = depth.checked_sub(1).ok_or("types lie too deep in each other")?;
        match json {
            Json::String(name) => self.word(name, json, namespace),
            Json::Array(variants) => {
                let variants: Result<_, _> = variants.iter().map(|v| self.node(v, namespace, depth)).collect();
                Ok(self.add(Form::Union(variants?), Meaning::Plain))
            }
            Json::Object(object) => match object.get("type") {
                Some(Json::String(word)) => match word.as_str() {
                    "record" | "error" => self.record(json, namespace, depth),
                    "enum" => {
                        let symbols = texts(json, "symbols")?;
                        self.name_node(json, namespace, Form::Enum(symbols), Meaning::Plain)
                    }
                    "fixed" => {
                        let size = json.get("size").and_then(Json::as_u64).ok_or("a fixed type has no size")?;
                        let size = usize::try_from(size).map_err(|error| error.to_string())?;
                        self.name_node(json, namespace, Form::Fixed(size), meaning(json))
                    }
                    "array" => {
                        let items = self.node(json.get("items").ok_or("an array has no items")?, namespace, depth)?;
                        Ok(self.add(Form::Array(items), Meaning::Plain))
                    }
                    "map" => {
                        let values = self.node(json.get("values").ok_or("a map has no values")?, namespace, depth)?;
                        Ok(self.add(Form::Map(values), Meaning::Plain))
                    }
                    word => self.word(word, json, namespace),
                },
                Some(inner) => self.node(inner, namespace, depth),
                None => Err("a type without a type".to_owned()),
            },
            other => Err(format!("{other} is no type")),
        }
    }

    /// A primitive type, or one that has its name already.
    fn word(&mut self, word: &str, json: &Json, namespace: &str) -> Result<NodeId, String> {
        let form = match word {
            "null" => Form::Null,
            "boolean" => Form::Boolean,
            "int" => Form::Int,
            "long" => Form::Long,
            "float" => Form::Float,
            "double" => Form::Double,
            "bytes" => Form::Bytes,
            "string" => Form::String,
            name => {
                let known = self.named.get(&full_name(name, namespace)).or_else(|| self.named.get(name));
                return known.copied().ok_or_else(|| format!("type {name} is not defined"));
            }
        };
        Ok(self.add(form, meaning(json)))
    }

    fn name_node(&mut self, json: &Json, namespace: &str, form: Form, meaning: Meaning) -> Result<NodeId, String> {
        let id = self.add(form, meaning);
        self.named.insert(own_name(json, namespace)?, id);
        Ok(id)
    }

    fn record(&mut self, json: &Json, namespace: &str, depth: u32) -> Result<NodeId, String> {
        let name = own_name(json, namespace)?;
        // Named before its fields, which may refer to it.
        let id = self.name_node(json, namespace, Form::Null, Meaning::Plain)?;
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let mut fields = Vec::new();
        for field in json.get("fields").and_then(Json::as_array).ok_or("a record has no fields")? {
            let node = self.node(field.get("type").ok_or("a field has no type")?, namespace, depth)?;
            let name = field.get("name").and_then(Json::as_str).ok_or("a field has no name")?;
            let mut key = serde_json::to_vec(name).map_err(|error| error.to_string())?;
            key.push(b':');
            fields.push(Field {
                name: name.to_owned(),
                key,
                node,
            });
        }
        let is_scaled = connect_name(json) == Some("io.debezium.data.VariableScaleDecimal");
        let meaning = if is_scaled && matches!(self.kinds(&fields)[..], [("scale", Form::Int), ("value", Form::Bytes)]) {
            Meaning::ScaledDecimal
        } else {
            Meaning::Plain
        };
        self.nodes[id] = Node {
            form: Form::Record(Record { name, fields }),
            meaning,
        };
        Ok(id)
    }

    fn kinds<'a>(&'a self, fields: &'a [Field]) -> Vec<(&'a str, &'a Form)> {
        let of = |field: &'a Field| (field.name.as_str(), &self.nodes[field.node].form);
        fields.iter().map(of).collect()
    }
}

fn connect_name(json: &Json) -> Option<&str> {
    json.get("connect.name").and_then(Json::as_str)
}

/// By Connect's name, or where that says nothing, by the logical type.
fn meaning(json: &Json) -> Meaning {
    let logical = json.get("logicalType").and_then(Json::as_str);
    let names = [connect_name(json), logical].into_iter().flatten();
    let mut meanings = names.map(|name| meaning_of(json, name));
    meanings.find(|meaning| *meaning != Meaning::Plain).unwrap_or(Meaning::Plain)
}

fn meaning_of(json: &Json, name: &str) -> Meaning {
    let timestamp = |per_second| Meaning::Timestamp { per_second };
    let time = |per_second| Meaning::Time { per_second };
    let form = json.get("type").and_then(Json::as_str).unwrap_or_default();
    let number = |key: &str| json.get(key).and_then(Json::as_i64);
    match (form, name) {
        ("string", "io.debezium.time.ZonedTimestamp") => Meaning::ZonedTimestamp,
        ("bytes" | "fixed", "org.apache.kafka.connect.data.Decimal" | "decimal") => Meaning::Decimal {
            precision: number("precision").and_then(|precision| u32::try_from(precision).ok()),
            scale: number("scale").and_then(|scale| i32::try_from(scale).ok()).unwrap_or(0),
        },
        ("int", "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" | "date") => Meaning::Date,
        ("int", "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" | "time-millis") => time(1_000),
        ("long", "io.debezium.time.MicroTime" | "time-micros") => time(1_000_000),
        ("long", "io.debezium.time.NanoTime") => time(1_000_000_000),
        ("long", "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => timestamp(1_000),
        ("long", "timestamp-millis" | "local-timestamp-millis") => timestamp(1_000),
        ("long", "io.debezium.time.MicroTimestamp" | "timestamp-micros" | "local-timestamp-micros") => timestamp(1_000_000),
        ("long", "io.debezium.time.NanoTimestamp" | "timestamp-nanos" | "local-timestamp-nanos") => timestamp(1_000_000_000),
        _ => Meaning::Plain,
    }
}

fn texts(json: &Json, key: &str) -> Result<Vec<String>, String> {
    let items = json
        .get(key)
        .and_then(Json::as_array)
        .ok_or_else(|| format!("there are no {key}"))?;
    let text = |item: &Json| item.as_str().map(str::to_owned).ok_or_else(|| format!("{item} among {key}"));
    items.iter().map(text).collect()
}

/// A named type's name, with its namespace.
fn own_name(json: &Json, namespace: &str) -> Result<String, String> {
    let name = json.get("name").and_then(Json::as_str).ok_or("a named type has no name")?;
    Ok(full_name(
        name,
        json.get("namespace").and_then(Json::as_str).unwrap_or(namespace),
    ))
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_and_attributes_heard() {
        let schema = Avro::parse(
            r#"{"type": "record", "name": "a.b.R", "fields": [
                {"name": "inner", "type": ["null", {"type": "record", "name": "I", "fields": [
                    {"name": "at", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}}
                ]}]},
                {"name": "again", "type": "I"},
                {"name": "full", "type": "a.b.I"},
                {"name": "day", "type": {"type": "int", "logicalType": "date", "connect.name": "our.Day"}}
            ]}"#,
        )
        .unwrap();
        let root = schema.record(schema.root).unwrap();
        assert_eq!(root.name, "a.b.R");
        for field in &root.fields[..3] {
            let inner = schema.record(field.node).unwrap();
            assert_eq!(inner.name, "a.b.I");
            let at = schema.node(inner.fields[0].node).meaning;
            assert_eq!(at, Meaning::Timestamp { per_second: 1_000_000 });
        }
        assert_eq!(schema.node(root.fields[3].node).meaning, Meaning::Date);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (text, word) in [
            ("nonsense", "nonsense is not defined"),
            ("[\"null\", 3]", "3 is no type"),
            ("{\"type\": \"record\", \"name\": \"R\"}", "no fields"),
            ("{\"type\": \"enum\", \"name\": \"E\"}", "no symbols"),
            ("{\"name\": \"R\"}", "without a type"),
        ] {
            let error = Avro::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(Avro::parse(&format!("{}\"int\"{}", "[".repeat(100), "]".repeat(100))).is_err());
        assert!(matches!(Avro::parse("long").unwrap().node(0).form, Form::Long));
    }
}
