//! How far a datum is written, and what comes next.

use serde::Serialize;

use super::fit::{self, Shape};
use super::scalar;
use crate::avro::error::{Error, Result};
use crate::avro::output;
use crate::avro::plan::{Node, NodeId, Plan};

/// How far a datum is written.
pub(crate) struct State<'a> {
    plan: &'a Plan,
    pub out: Vec<u8>,
}

impl<'a> State<'a> {
    /// Appends to a buffer.
    pub fn new(plan: &'a Plan, out: Vec<u8>) -> Self {
        Self { plan, out }
    }

    /// The whole datum.
    #[inline(always)]
    pub fn root(&mut self) -> Encoder<'_, 'a> {
        self.at(self.plan.root)
    }

    /// A value at the end of the buffer.
    #[inline(always)]
    pub(super) fn at(&mut self, node: NodeId) -> Encoder<'_, 'a> {
        Encoder {
            node: self.plan.node(node),
            state: self,
        }
    }
}

/// Where a value goes. Two words, which are passed in registers.
pub(crate) struct Encoder<'s, 'a> {
    pub(super) node: &'a Node,
    pub(super) state: &'s mut State<'a>,
}

impl<'a> Encoder<'_, 'a> {
    /// The same buffer, by another type.
    #[inline(always)]
    pub(super) fn by(self, node: NodeId) -> Self {
        Self {
            node: self.state.plan.node(node),
            ..self
        }
    }

    /// Chooses a union's variant for a value, and writes its index.
    #[inline(always)]
    pub(super) fn resolved(self, shape: Shape<'_>) -> Result<Self> {
        match self.node {
            Node::Union(_) => self.variant(shape),
            _ => Ok(self),
        }
    }

    pub(super) fn variant(self, shape: Shape<'_>) -> Result<Self> {
        let Node::Union(union) = self.node else {
            return Ok(self);
        };
        let (index, node) = fit::best(self.state.plan, union, shape).ok_or_else(|| self.refused(shape))?;
        output::length(index, &mut self.state.out);
        Ok(self.by(node))
    }

    #[cold]
    pub(super) fn refused(&self, shape: Shape<'_>) -> Error {
        Error::new(format!("{shape:?} in the place of {}", self.node.label()))
    }

    #[inline]
    fn integer(self, value: i64, shape: Shape<'_>) -> Result<()> {
        let this = self.resolved(shape)?;
        match this.node {
            Node::Long => output::long(value, &mut this.state.out),
            Node::Int => match i32::try_from(value) {
                Ok(_) => output::long(value, &mut this.state.out),
                Err(_) => return Err(Error::new(format!("{value} in an int's place"))),
            },
            Node::Decimal(0) => output::digits(value.into(), &mut this.state.out),
            _ => return Err(this.refused(shape)),
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn int(self, value: i32) -> Result<()> {
        self.integer(value.into(), Shape::Int)
    }

    #[inline(always)]
    pub(super) fn long(self, value: i64) -> Result<()> {
        self.integer(value, Shape::Long(value))
    }

    pub(super) fn wide_integer(self, value: i128) -> Result<()> {
        match i64::try_from(value) {
            Ok(value) => self.long(value),
            Err(_) => Err(Error::new(format!("{value} in a long's place"))),
        }
    }

    /// Raw bytes, of text or not.
    pub(super) fn raw(self, bytes: &[u8], shape: Shape<'_>) -> Result<()> {
        match self.node {
            Node::Bytes => output::prefixed(bytes, &mut self.state.out),
            Node::Fixed(fixed) if fixed.size == bytes.len() => self.state.out.extend_from_slice(bytes),
            Node::Fixed(fixed) => return Err(Error::new(format!("{} bytes in the place of {}", bytes.len(), fixed.size))),
            _ => return Err(self.refused(shape)),
        }
        Ok(())
    }

    pub(super) fn symbol(self, text: &str, shape: Shape<'_>) -> Result<()> {
        match self.node {
            Node::Enum(symbols) => {
                let index = symbols.symbols.iter().position(|symbol| symbol == text);
                output::length(index.ok_or_else(|| self.refused(shape))?, &mut self.state.out);
                Ok(())
            }
            Node::String => {
                output::prefixed(text.as_bytes(), &mut self.state.out);
                Ok(())
            }
            _ => Err(self.refused(shape)),
        }
    }

    #[inline(always)]
    pub(super) fn decimal<T: Serialize + ?Sized>(self, scale: u32, value: &T) -> Result<()> {
        let shape = Shape::Decimal(scale);
        let this = self.resolved(shape)?;
        let size = match this.node {
            Node::Decimal(expected) if *expected == scale => None,
            Node::FixedDecimal(fixed) if fixed.scale == scale => Some(fixed.size),
            _ => return Err(this.refused(shape)),
        };
        let unscaled = scalar::integer(value)?;
        match size {
            None => output::digits(unscaled, &mut this.state.out),
            Some(size) => {
                if !output::fixed_digits(unscaled, size, &mut this.state.out) {
                    return Err(Error::new(format!("{unscaled} does not fit {size} bytes")));
                }
            }
        }
        Ok(())
    }
}
