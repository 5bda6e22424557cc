//! Arrays and maps.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::{Decoder, State};
use crate::avro::error::{Error, Result};
use crate::avro::input::text;
use crate::avro::plan::{Array, NodeId};

/// Items in blocks, up to an empty one.
struct Blocks<'s, 'a, 'de> {
    state: &'s mut State<'a, 'de>,
    items: NodeId,
    /// Whether an item takes no bytes.
    empty: bool,
    /// Items of this block that are still to come.
    left: u64,
    ended: bool,
}

impl<'s, 'a, 'de> Blocks<'s, 'a, 'de> {
    /// At the first block, whose length is a hint.
    fn new(decoder: Decoder<'s, 'a, 'de>, items: NodeId, empty: bool) -> Result<Self> {
        decoder.state.enter()?;
        let mut blocks = Self {
            state: decoder.state,
            items,
            empty,
            left: 0,
            ended: false,
        };
        blocks.more()?;
        Ok(blocks)
    }

    /// Whether there is one more.
    fn more(&mut self) -> Result<bool> {
        if self.left == 0 && !self.ended {
            (self.left, _) = self.state.input.block(self.empty)?;
            self.ended = self.left == 0;
        }
        Ok(!self.ended)
    }

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.left = self.left.saturating_sub(1);
        seed.deserialize(self.state.at(self.items))
    }

    /// The type may have stopped early.
    fn end(mut self) -> Result<()> {
        if self.more()? {
            return Err(Error::new("more items than the type takes"));
        }
        self.state.leave();
        Ok(())
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

pub(super) struct Items<'s, 'a, 'de>(Blocks<'s, 'a, 'de>);

impl<'s, 'a, 'de> Items<'s, 'a, 'de> {
    pub fn visit<V: Visitor<'de>>(decoder: Decoder<'s, 'a, 'de>, array: &Array, visitor: V) -> Result<V::Value> {
        let mut items = Self(Blocks::new(decoder, array.items, array.empty)?);
        let value = visitor.visit_seq(&mut items)?;
        items.0.end()?;
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, '_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.0.more()? {
            true => self.0.read(seed).map(Some),
            false => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

pub(super) struct Entries<'s, 'a, 'de>(Blocks<'s, 'a, 'de>);

impl<'s, 'a, 'de> Entries<'s, 'a, 'de> {
    pub fn visit<V: Visitor<'de>>(decoder: Decoder<'s, 'a, 'de>, values: NodeId, visitor: V) -> Result<V::Value> {
        let mut entries = Self(Blocks::new(decoder, values, false)?);
        let value = visitor.visit_map(&mut entries)?;
        entries.0.end()?;
        Ok(value)
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if !self.0.more()? {
            return Ok(None);
        }
        let key = text(self.0.state.input.prefixed()?)?;
        seed.deserialize(BorrowedStrDeserializer::<Error>::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.0.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}
