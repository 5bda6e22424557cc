//! From a schema's text to a plan.

use apache_avro::Schema;
use apache_avro::schema::{Aliases, InnerDecimalSchema, Name, UuidSchema};
use hashbrown::HashMap;

use super::default;
use super::found::List;
use super::name;
use super::plan::{Array, Enum, Field, Fixed, FixedDecimal, Node, NodeId, Optional, Plan, Record, Union};

impl Plan {
    /// The plan of a schema; the error says why there is none.
    pub fn compile(text: &str) -> Result<Plan, String> {
        let text = text.trim();
        let schema = match text.starts_with(['{', '[', '"']) {
            true => Schema::parse_str(text),
            // A primitive type may be a bare word.
            false => Schema::parse_str(&format!("\"{text}\"")),
        };
        let schema = schema.map_err(|error| error.to_string())?;
        let mut compiler = Compiler::default();
        let root = compiler.node(&schema)?;
        let mut plan = Plan {
            nodes: compiler.nodes,
            root,
            record: name::record_name(&schema),
            fits: List::default(),
        };
        mark_empty_items(&mut plan)?;
        for (record, field, value) in compiler.defaults {
            let default = default::encode(&plan, record, field, value.as_ref());
            if let Node::Record(record) = &mut plan.nodes[record as usize] {
                record.fields[field].default = default;
            }
        }
        Ok(plan)
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    named: HashMap<String, NodeId>,
    /// Record, field, and the default in the schema.
    defaults: Vec<(NodeId, usize, Option<serde_json::Value>)>,
}

impl Compiler {
    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }

    fn add_named(&mut self, name: &Name, aliases: &Aliases, node: Node) -> NodeId {
        let id = self.add(node);
        self.named.insert(name.fullname(None), id);
        for alias in aliases.iter().flatten() {
            self.named.insert(alias.fullname(name.namespace()), id);
        }
        id
    }

    fn node(&mut self, schema: &Schema) -> Result<NodeId, String> {
        let node = match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Node::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::String,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                let node = Node::Fixed(Box::new(Fixed {
                    name: fixed.name.name().to_owned(),
                    size: fixed.size,
                }));
                return Ok(self.add_named(&fixed.name, &fixed.aliases, node));
            }
            Schema::Decimal(decimal) => {
                let scale = u32::try_from(decimal.scale).map_err(|_| format!("a decimal of scale {}", decimal.scale))?;
                match &decimal.inner {
                    InnerDecimalSchema::Bytes => Node::Decimal(scale),
                    InnerDecimalSchema::Fixed(fixed) => {
                        let size = fixed.size;
                        let node = Node::FixedDecimal(Box::new(FixedDecimal { scale, size }));
                        return Ok(self.add_named(&fixed.name, &fixed.aliases, node));
                    }
                }
            }
            Schema::Enum(symbols) => {
                let node = Node::Enum(Box::new(Enum {
                    name: symbols.name.name().to_owned(),
                    symbols: symbols.symbols.clone(),
                }));
                return Ok(self.add_named(&symbols.name, &symbols.aliases, node));
            }
            Schema::Array(array) => Node::Array(Array {
                items: self.node(&array.items)?,
                empty: false,
            }),
            Schema::Map(map) => Node::Map(self.node(&map.types)?),
            Schema::Union(union) => {
                let variants: Result<_, _> = union.variants().iter().map(|variant| self.node(variant)).collect();
                self.union(variants?)?
            }
            Schema::Record(record) => {
                if let Some(known) = self.named.get(&record.name.fullname(None)) {
                    return Ok(*known);
                }
                // Named before its fields, which may refer to it.
                let id = self.add_named(&record.name, &record.aliases, Node::Null);
                let mut fields = Vec::with_capacity(record.fields.len());
                for (index, field) in record.fields.iter().enumerate() {
                    fields.push(Field::new(field.name.clone(), self.node(&field.schema)?));
                    self.defaults.push((id, index, field.default.clone()));
                }
                self.nodes[id as usize] = Node::Record(Box::new(Record {
                    name: record.name.name().to_owned(),
                    fields,
                    views: List::default(),
                }));
                return Ok(id);
            }
            Schema::Ref { name } => {
                let name = name.fullname(None);
                return self
                    .named
                    .get(&name)
                    .copied()
                    .ok_or_else(|| format!("type {name} is not defined"));
            }
        };
        Ok(self.add(node))
    }

    fn union(&self, variants: Vec<NodeId>) -> Result<Node, String> {
        let is_null =
            |id: &NodeId| matches!(self.nodes[*id as usize], Node::Null) && !self.named.values().any(|named| named == id);
        if variants.iter().any(|id| matches!(self.nodes[*id as usize], Node::Union(_))) {
            return Err("a union in a union".to_owned());
        }
        let optional = match variants[..] {
            [null, node] if is_null(&null) => Some(Optional { none: 0, some: 1, node }),
            [node, null] if is_null(&null) => Some(Optional { none: 1, some: 0, node }),
            _ => None,
        };
        Ok(Node::Union(Box::new(Union { variants, optional })))
    }
}

/// Finds array items that take no bytes, and refuses a record that always contains itself: no datum of it ends.
fn mark_empty_items(plan: &mut Plan) -> Result<(), String> {
    let mut known = vec![Size::Unknown; plan.nodes.len()];
    for id in 0..plan.nodes.len() {
        size(plan, id as NodeId, &mut known)?;
    }
    for node in &mut plan.nodes {
        if let Node::Array(array) = node {
            array.empty = known[array.items as usize] == Size::Empty;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Size {
    Unknown,
    BeingAsked,
    Empty,
    Some,
}

fn size(plan: &Plan, id: NodeId, known: &mut [Size]) -> Result<Size, String> {
    match (known[id as usize], plan.node(id)) {
        (Size::BeingAsked, node) => return Err(format!("{} always contains itself", node.label())),
        (Size::Unknown, node) => {
            known[id as usize] = Size::BeingAsked;
            let mut size_of_node = match node {
                Node::Null | Node::Record(_) => Size::Empty,
                Node::Fixed(fixed) if fixed.size == 0 => Size::Empty,
                Node::FixedDecimal(fixed) if fixed.size == 0 => Size::Empty,
                _ => Size::Some,
            };
            if let Node::Record(record) = node {
                for field in &record.fields {
                    if size(plan, field.node, known)? == Size::Some {
                        size_of_node = Size::Some;
                    }
                }
            }
            known[id as usize] = size_of_node;
        }
        _ => {}
    }
    Ok(known[id as usize])
}
