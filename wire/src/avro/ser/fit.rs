//! Which variant of a union a value is.

use crate::avro::plan::{Node, NodeId, Plan, Union};

/// A value, as far as the choice needs it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'v> {
    Null,
    Boolean,
    /// A number that Rust has in at most 32 bits.
    Int,
    Long(i64),
    Float,
    Double,
    Text(&'v str),
    /// So many bytes.
    Bytes(usize),
    /// A variant without content.
    Symbol(&'v str),
    Items,
    Entries,
    /// A struct of this name.
    Fields(&'v str),
    /// A decimal of this scale.
    Decimal(u32),
    /// A variant with content.
    Called(&'v str),
}

/// The best variant: its index and its type. Of equals, the first.
pub(super) fn best(plan: &Plan, union: &Union, shape: Shape<'_>) -> Option<(usize, NodeId)> {
    let ranked = union.variants.iter().enumerate();
    let ranked = ranked.filter_map(|(index, id)| Some((rank(plan.node(*id), shape)?, index, *id)));
    ranked
        .min_by_key(|(rank, index, _)| (*rank, *index))
        .map(|(_, index, id)| (index, id))
}

/// How well a value fits a type, 0 being best; `None`: not at all.
fn rank(node: &Node, shape: Shape<'_>) -> Option<u8> {
    match (shape, node) {
        (Shape::Null, Node::Null) | (Shape::Boolean, Node::Boolean) => Some(0),
        (Shape::Int, Node::Int) | (Shape::Long(_), Node::Long) => Some(0),
        (Shape::Int, Node::Long) => Some(1),
        (Shape::Long(value), Node::Int) => i32::try_from(value).is_ok().then_some(1),
        (Shape::Int | Shape::Long(_), Node::Decimal(0)) => Some(2),
        (Shape::Float, Node::Float) | (Shape::Double, Node::Double) => Some(0),
        (Shape::Float, Node::Double) | (Shape::Double, Node::Float) => Some(1),
        (Shape::Text(_), Node::String) => Some(0),
        (Shape::Text(text), Node::Enum(symbols)) => symbols.symbols.iter().any(|symbol| symbol == text).then_some(1),
        (Shape::Text(_), Node::Bytes) => Some(2),
        (Shape::Text(text), Node::Fixed(fixed)) => (fixed.size == text.len()).then_some(3),
        (Shape::Bytes(length), Node::Fixed(fixed)) => (fixed.size == length).then_some(1),
        (Shape::Bytes(_), Node::Bytes) => Some(0),
        (Shape::Symbol(text), Node::Enum(symbols)) => symbols.symbols.iter().any(|symbol| symbol == text).then_some(0),
        (Shape::Symbol("Null"), Node::Null) => Some(1),
        (Shape::Symbol(_), Node::String) => Some(2),
        (Shape::Items, Node::Array(_)) => Some(0),
        (Shape::Items, Node::Bytes) => Some(1),
        (Shape::Entries, Node::Map(_)) => Some(0),
        (Shape::Entries, Node::Record(_)) => Some(1),
        (Shape::Fields(name), Node::Record(record)) => Some(u8::from(record.name != name)),
        (Shape::Fields(_), Node::Map(_)) => Some(2),
        (Shape::Decimal(scale), Node::Decimal(of)) => (*of == scale).then_some(0),
        (Shape::Decimal(scale), Node::FixedDecimal(fixed)) => (fixed.scale == scale).then_some(1),
        (Shape::Called(name), node) => (node.label() == name).then_some(0),
        _ => None,
    }
}
