//! How far a datum is read, and what is at its front.

use crate::avro::error::{Error, Result};
use crate::avro::input::{Input, text};
use crate::avro::plan::{DEPTH, Node, NodeId, Plan, Union};
use crate::avro::skip;
use crate::avro::step::Step;

/// How far a datum is read.
pub(crate) struct State<'a, 'de> {
    pub(super) plan: &'a Plan,
    pub input: Input<'de>,
    /// How much deeper values may lie.
    pub(super) depth: u32,
}

impl<'a, 'de> State<'a, 'de> {
    pub fn new(plan: &'a Plan, datum: &'de [u8]) -> Self {
        Self {
            plan,
            input: Input::new(datum),
            depth: DEPTH,
        }
    }

    /// The whole datum.
    #[inline(always)]
    pub fn root(&mut self) -> Decoder<'_, 'a, 'de> {
        self.at(self.plan.root)
    }

    /// A value at the front of the input.
    #[inline(always)]
    pub(super) fn at(&mut self, node: NodeId) -> Decoder<'_, 'a, 'de> {
        Decoder {
            node: self.plan.node(node),
            state: self,
        }
    }

    /// Into a value that holds others.
    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<()> {
        self.depth = self.depth.checked_sub(1).ok_or_else(skip::too_deep)?;
        Ok(())
    }

    /// And out of it.
    #[inline(always)]
    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, steps: &[Step]) -> Result<()> {
        match steps.is_empty() {
            true => Ok(()),
            false => skip::run(steps, self.plan, &mut self.input, self.depth),
        }
    }
}

/// A value at the front of the input. Two words, which are passed in registers.
pub(crate) struct Decoder<'s, 'a, 'de> {
    pub(super) node: &'a Node,
    pub(super) state: &'s mut State<'a, 'de>,
}

impl<'a, 'de> Decoder<'_, 'a, 'de> {
    /// The same input, by another type.
    #[inline(always)]
    pub(super) fn by(self, node: NodeId) -> Self {
        Self {
            node: self.state.plan.node(node),
            ..self
        }
    }

    /// Reads a union's index. The variant is no union.
    #[inline(always)]
    pub(super) fn variant(self, union: &Union) -> Result<Self> {
        let index = self.state.input.index()?;
        let variant = usize::try_from(index).ok().and_then(|index| union.variants.get(index));
        Ok(self.by(*variant.ok_or_else(|| skip::no_variant(index))?))
    }

    #[inline(always)]
    pub(super) fn resolved(self) -> Result<Self> {
        match self.node {
            Node::Union(union) => self.variant(union),
            _ => Ok(self),
        }
    }

    /// The bytes of text, bytes or a fixed; `None` for other types.
    #[inline(always)]
    pub(super) fn raw(&mut self) -> Result<Option<&'de [u8]>> {
        match self.node {
            Node::Bytes | Node::String | Node::Decimal(_) => self.state.input.prefixed().map(Some),
            Node::Fixed(fixed) => self.state.input.take(fixed.size).map(Some),
            Node::FixedDecimal(fixed) => self.state.input.take(fixed.size).map(Some),
            _ => Ok(None),
        }
    }

    /// The symbol of an enum, or text.
    pub(super) fn symbol<'x>(&mut self) -> Result<Option<&'x str>>
    where
        'a: 'x,
        'de: 'x,
    {
        match self.node {
            Node::Enum(symbols) => symbol(&symbols.symbols, &mut self.state.input).map(Some),
            Node::String | Node::Bytes => text(self.state.input.prefixed()?).map(Some),
            _ => Ok(None),
        }
    }
}

pub(super) fn symbol<'a>(symbols: &'a [String], input: &mut Input<'_>) -> Result<&'a str> {
    let index = input.index()?;
    let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
    symbol
        .map(String::as_str)
        .ok_or_else(|| Error::new(format!("an enum has no symbol {index}")))
}
