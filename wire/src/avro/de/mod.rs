//! serde's way in: a datum, by its writer's type, into whatever asks.
//!
//! What asks for a type gets it when the writer's type can be it: unions are resolved, numbers widen, text and bytes stand for
//! each other. A decimal is a map of one entry, from its scale to its digits: [`crate::Decimal::from_map`] reads it.

mod blocks;
mod decimal;
mod record;
mod state;
mod variant;

use serde::Deserializer;
use serde::de::Visitor;
use serde::de::value::SeqDeserializer;

use super::error::{Error, Result};
use super::input::text;
use super::plan::Node;
use super::skip;
use blocks::{Entries, Items};
pub(crate) use decimal::digits;
use record::All;
use state::symbol;
pub(crate) use state::{Decoder, State};

macro_rules! as_any {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.deserialize_any(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Decoder<'_, '_, 'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let this = self.resolved()?;
        match this.node {
            Node::Null => visitor.visit_unit(),
            Node::Boolean => visitor.visit_bool(this.state.input.boolean()?),
            Node::Int => visitor.visit_i32(this.state.input.int()?),
            Node::Long => visitor.visit_i64(this.state.input.long()?),
            Node::Float => visitor.visit_f32(f32::from_le_bytes(this.state.input.array()?)),
            Node::Double => visitor.visit_f64(f64::from_le_bytes(this.state.input.array()?)),
            Node::Bytes => visitor.visit_borrowed_bytes(this.state.input.prefixed()?),
            Node::String => visitor.visit_borrowed_str(text(this.state.input.prefixed()?)?),
            Node::Decimal(scale) => decimal::visit(*scale, this.state.input.prefixed()?, visitor),
            Node::FixedDecimal(fixed) => decimal::visit(fixed.scale, this.state.input.take(fixed.size)?, visitor),
            Node::Fixed(fixed) => visitor.visit_borrowed_bytes(this.state.input.take(fixed.size)?),
            Node::Enum(symbols) => visitor.visit_str(symbol(&symbols.symbols, &mut this.state.input)?),
            Node::Array(array) => Items::visit(this, array, visitor),
            Node::Map(values) => Entries::visit(this, *values, visitor),
            Node::Record(record) => All::visit(this, record, visitor),
            Node::Union(_) => Err(Error::new("a union in a union")),
        }
    }

    #[inline(always)]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Long => visitor.visit_i64(self.state.input.long()?),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Int => visitor.visit_i32(self.state.input.int()?),
            _ => self.deserialize_any(visitor),
        }
    }

    as_any! { deserialize_bool deserialize_i8 deserialize_i16 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
    deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_unit deserialize_map
    deserialize_identifier }

    #[inline(always)]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let mut this = self.resolved()?;
        match this.node {
            Node::String => visitor.visit_borrowed_str(text(this.state.input.prefixed()?)?),
            Node::Bytes | Node::Fixed(_) => match this.raw()? {
                Some(bytes) => visitor.visit_borrowed_str(text(bytes)?),
                None => this.deserialize_any(visitor),
            },
            _ => this.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let mut this = self.resolved()?;
        match this.raw()? {
            Some(bytes) => visitor.visit_borrowed_bytes(bytes),
            None => this.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let this = match self.node {
            Node::Union(union) => match union.optional {
                Some(optional) => match self.state.input.index()? {
                    index if index == optional.some => return visitor.visit_some(self.by(optional.node)),
                    index if index == optional.none => return visitor.visit_none(),
                    index => return Err(skip::no_variant(index)),
                },
                None => self.variant(union)?,
            },
            _ => self,
        };
        match this.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(this),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    #[inline(always)]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let mut this = self.resolved()?;
        match this.node {
            // Of numbers: what serde takes a `Vec<u8>` for.
            Node::Bytes | Node::Fixed(_) => match this.raw()? {
                Some(bytes) => visitor.visit_seq(SeqDeserializer::<_, Error>::new(bytes.iter().copied())),
                None => this.deserialize_any(visitor),
            },
            _ => this.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let this = self.resolved()?;
        match this.node {
            Node::Record(record) => this.fields(record, names, visitor),
            _ => this.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        variant::visit(self, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        skip::skip_node(self.state.plan, self.node, &mut self.state.input, self.state.depth)?;
        visitor.visit_unit()
    }
}
