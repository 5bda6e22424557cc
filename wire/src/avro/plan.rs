//! A schema, ready to read and write by: all its types in one list, named types resolved.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::found::{Fit, List, View};
pub(crate) use super::step::NodeId;

/// How deep values may lie in each other: a recursive schema must not let a datum exhaust the stack.
pub(crate) const DEPTH: u32 = 64;

pub(crate) struct Plan {
    /// Never empty.
    pub nodes: Vec<Node>,
    pub root: NodeId,
    /// The full name of a record that is the root, or that the root has or null.
    pub record: Option<String>,
    /// Which types may be read by it.
    pub fits: List<Fit>,
}

impl Plan {
    #[inline(always)]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }
}

/// A type; logical types other than decimals are what they are made of.
pub(crate) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Decimal(u32),
    FixedDecimal(Box<FixedDecimal>),
    Fixed(Box<Fixed>),
    Enum(Box<Enum>),
    Array(Array),
    Map(NodeId),
    Union(Box<Union>),
    Record(Box<Record>),
}

pub(crate) struct FixedDecimal {
    pub scale: u32,
    pub size: usize,
}

pub(crate) struct Fixed {
    /// Without its namespace.
    pub name: String,
    pub size: usize,
}

pub(crate) struct Enum {
    /// Without its namespace.
    pub name: String,
    pub symbols: Vec<String>,
}

pub(crate) struct Array {
    pub items: NodeId,
    /// Whether an item takes no bytes.
    pub empty: bool,
}

pub(crate) struct Union {
    /// None is a union itself.
    pub variants: Vec<NodeId>,
    /// For null and one other type: their indexes, and the other one.
    pub optional: Option<Optional>,
}

#[derive(Clone, Copy)]
pub(crate) struct Optional {
    pub none: u64,
    pub some: u64,
    pub node: NodeId,
}

pub(crate) struct Record {
    /// Without its namespace.
    pub name: String,
    pub fields: Vec<Field>,
    /// What structs want of it.
    pub views: List<View>,
}

pub(crate) struct Field {
    pub name: String,
    pub node: NodeId,
    /// Its default, encoded; of a union with null that has none: null.
    pub default: Option<Vec<u8>>,
    /// Where a struct's key of this name lies: the next time, equality is seen without looking at letters.
    key: AtomicUsize,
}

impl Field {
    pub fn new(name: String, node: NodeId) -> Self {
        Self {
            name,
            node,
            default: None,
            key: AtomicUsize::new(0),
        }
    }

    /// Whether this is its name.
    #[inline(always)]
    pub fn is(&self, key: &'static str) -> bool {
        // Text that lives for ever is the same whenever place and length are.
        let same = self.key.load(Ordering::Relaxed) == key.as_ptr().addr() && self.name.len() == key.len();
        same || self.is_by_letters(key)
    }

    fn is_by_letters(&self, key: &'static str) -> bool {
        let same = self.name == key;
        if same && self.key.load(Ordering::Relaxed) == 0 {
            self.key.store(key.as_ptr().addr(), Ordering::Relaxed);
        }
        same
    }
}

impl Record {
    /// A field's index.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

impl Node {
    /// What a union's variant is called: a named type by its name, any other by its type's.
    pub fn label(&self) -> &str {
        match self {
            Node::Null => "Null",
            Node::Boolean => "Boolean",
            Node::Int => "Int",
            Node::Long => "Long",
            Node::Float => "Float",
            Node::Double => "Double",
            Node::Bytes => "Bytes",
            Node::String => "String",
            Node::Decimal(_) | Node::FixedDecimal(_) => "Decimal",
            Node::Fixed(fixed) => &fixed.name,
            Node::Enum(symbols) => &symbols.name,
            Node::Array(_) => "Array",
            Node::Map(_) => "Map",
            Node::Union(_) => "Union",
            Node::Record(record) => &record.name,
        }
    }
}
