//! Arrays and maps, each as one block and its end. Bytes may come as items too: serde takes a `Vec<u8>` for a sequence.

use serde::Serialize;
use serde::ser::{SerializeSeq, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant};

use super::fit::Shape;
use super::scalar;
use super::{Encoder, State};
use crate::avro::error::{Error, Result};
use crate::avro::output;
use crate::avro::plan::{Node, NodeId};

/// A block whose number of items is known in the end.
struct Block {
    start: usize,
    count: usize,
}

impl Block {
    fn new(out: &[u8]) -> Self {
        Self {
            start: out.len(),
            count: 0,
        }
    }

    /// Puts the number before the items, and with `ends` a zero behind them.
    fn end(self, ends: bool, out: &mut Vec<u8>) {
        let mut count = Vec::with_capacity(10);
        if self.count > 0 || !ends {
            output::length(self.count, &mut count);
        }
        out.splice(self.start..self.start, count);
        if ends {
            out.push(0);
        }
    }
}

pub(crate) struct Items<'s, 'a> {
    state: &'s mut State<'a>,
    node: &'a Node,
    block: Block,
}

impl<'s, 'a> Items<'s, 'a> {
    pub fn new(encoder: Encoder<'s, 'a>) -> Result<Self> {
        match encoder.node {
            Node::Array(_) | Node::Bytes | Node::Fixed(_) => Ok(Self {
                node: encoder.node,
                block: Block::new(&encoder.state.out),
                state: encoder.state,
            }),
            _ => Err(encoder.refused(Shape::Items)),
        }
    }
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.block.count += 1;
        match self.node {
            Node::Array(array) => value.serialize(self.state.at(array.items)),
            _ => {
                self.state.out.push(scalar::integer(value)?);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        match self.node {
            Node::Fixed(fixed) if fixed.size == self.block.count => {}
            Node::Fixed(fixed) => {
                let message = format!("{} bytes in the place of {}", self.block.count, fixed.size);
                return Err(Error::new(message));
            }
            node => self.block.end(matches!(node, Node::Array(_)), &mut self.state.out),
        }
        Ok(())
    }
}

macro_rules! like_a_sequence {
    ($($trait:ident: $method:ident),*) => {
        $(impl $trait for Items<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                SerializeSeq::serialize_element(self, value)
            }

            fn end(self) -> Result<()> {
                SerializeSeq::end(self)
            }
        })*
    };
}

impl SerializeTuple for Items<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<()> {
        SerializeSeq::end(self)
    }
}

like_a_sequence! { SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field }

/// A map's entries.
pub(super) struct Entries<'s, 'a> {
    state: &'s mut State<'a>,
    values: NodeId,
    block: Block,
}

impl<'s, 'a> Entries<'s, 'a> {
    pub fn new(state: &'s mut State<'a>, values: NodeId) -> Self {
        Self {
            values,
            block: Block::new(&state.out),
            state,
        }
    }

    pub fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.block.count += 1;
        output::prefixed(scalar::text(key)?.as_bytes(), &mut self.state.out);
        Ok(())
    }

    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(self.state.at(self.values))
    }

    pub fn end(self) {
        self.block.end(true, &mut self.state.out);
    }
}
