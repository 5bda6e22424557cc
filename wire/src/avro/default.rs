//! Defaults in a schema, which a writer that lacks a field writes in its place.

use serde_json::Value;

use super::output;
use super::plan::{Node, NodeId, Plan};

/// The bytes of a field's default; of an optional field without one, null's. `None` if there is no default, or none that fits.
pub(crate) fn encode(plan: &Plan, record: NodeId, field: usize, default: Option<&Value>) -> Option<Vec<u8>> {
    let Node::Record(record) = plan.node(record) else {
        return None;
    };
    let node = record.fields.get(field)?.node;
    let mut out = Vec::new();
    match default {
        Some(default) => append(plan, node, default, &mut out)?,
        None => match plan.node(node) {
            Node::Null => {}
            Node::Union(union) => {
                let null = union.variants.iter().position(|id| matches!(plan.node(*id), Node::Null))?;
                output::length(null, &mut out);
            }
            _ => return None,
        },
    }
    Some(out)
}

/// Nesting is the schema's own: that of its JSON text, which its parser bounds.
fn append(plan: &Plan, node: NodeId, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match plan.node(node) {
        Node::Null => value.as_null()?,
        Node::Boolean => out.push(u8::from(value.as_bool()?)),
        Node::Int => output::long(i32::try_from(value.as_i64()?).ok()?.into(), out),
        Node::Long => output::long(value.as_i64()?, out),
        Node::Float => out.extend_from_slice(&(value.as_f64()? as f32).to_le_bytes()),
        Node::Double => out.extend_from_slice(&value.as_f64()?.to_le_bytes()),
        Node::String => output::prefixed(value.as_str()?.as_bytes(), out),
        Node::Bytes | Node::Decimal(_) => output::prefixed(&bytes(value)?, out),
        Node::Fixed(fixed) => out.extend_from_slice(&bytes(value).filter(|bytes| bytes.len() == fixed.size)?),
        Node::FixedDecimal(fixed) => out.extend_from_slice(&bytes(value).filter(|bytes| bytes.len() == fixed.size)?),
        Node::Enum(symbols) => {
            let text = value.as_str()?;
            output::length(symbols.symbols.iter().position(|symbol| symbol == text)?, out);
        }
        Node::Array(array) => {
            let items = value.as_array()?;
            if !items.is_empty() {
                output::length(items.len(), out);
                items.iter().try_for_each(|item| append(plan, array.items, item, out))?;
            }
            out.push(0);
        }
        Node::Map(values) => {
            let entries = value.as_object()?;
            if !entries.is_empty() {
                output::length(entries.len(), out);
                for (key, value) in entries {
                    output::prefixed(key.as_bytes(), out);
                    append(plan, *values, value, out)?;
                }
            }
            out.push(0);
        }
        // A union's default was of its first variant; newer schemas may mean any.
        Node::Union(union) => {
            let start = out.len();
            let fits = |(index, variant): (usize, &NodeId)| {
                out.truncate(start);
                output::length(index, out);
                append(plan, *variant, value, out)
            };
            union.variants.iter().enumerate().find_map(fits)?;
        }
        Node::Record(record) => {
            let entries = value.as_object()?;
            for field in &record.fields {
                match (entries.get(&field.name), &field.default) {
                    (Some(value), _) => append(plan, field.node, value, out)?,
                    (None, Some(default)) => out.extend_from_slice(default),
                    (None, None) => return None,
                }
            }
        }
    }
    Some(())
}

/// Bytes are text in JSON, each character a byte.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    value
        .as_str()?
        .chars()
        .map(|character| u8::try_from(character).ok())
        .collect()
}
