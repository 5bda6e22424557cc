//! serde's way out: a value, as the schema's type says.
//!
//! A value goes into a union as the variant that fits it best. What does not fit exactly (a number out of range, an unknown
//! symbol, a missing field without default) is an error. A decimal is a newtype variant, called [`crate::decimal::NAME`], whose
//! index is its scale.

mod blocks;
mod fit;
mod record;
mod scalar;
mod state;

use serde::{Serialize, Serializer};

use super::error::{Error, Result};
use super::output;
use super::plan::Node;
use crate::decimal;
use blocks::Items;
use fit::Shape;
use record::Fields;
pub(crate) use state::{Encoder, State};

macro_rules! integers {
    ($($method:ident: $type:ty => $through:ident),*) => {
        $(#[inline(always)]
        fn $method(self, value: $type) -> Result<()> {
            self.$through(value.into())
        })*
    };
}

impl<'s, 'a> Serializer for Encoder<'s, 'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'s, 'a>;
    type SerializeTuple = Items<'s, 'a>;
    type SerializeTupleStruct = Items<'s, 'a>;
    type SerializeTupleVariant = Items<'s, 'a>;
    type SerializeMap = Fields<'s, 'a>;
    type SerializeStruct = Fields<'s, 'a>;
    type SerializeStructVariant = Fields<'s, 'a>;

    integers! { serialize_i8: i8 => int, serialize_i16: i16 => int, serialize_i32: i32 => int, serialize_i64: i64 => long,
    serialize_u8: u8 => int, serialize_u16: u16 => int, serialize_u32: u32 => long,
    serialize_u64: u64 => wide_integer, serialize_i128: i128 => wide_integer }

    fn serialize_u128(self, value: u128) -> Result<()> {
        match i128::try_from(value) {
            Ok(value) => self.wide_integer(value),
            Err(_) => Err(Error::new(format!("{value} in a long's place"))),
        }
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        let this = self.resolved(Shape::Boolean)?;
        match this.node {
            Node::Boolean => this.state.out.push(u8::from(value)),
            _ => return Err(this.refused(Shape::Boolean)),
        }
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        let this = self.resolved(Shape::Float)?;
        match this.node {
            Node::Float => this.state.out.extend_from_slice(&value.to_le_bytes()),
            Node::Double => this.state.out.extend_from_slice(&f64::from(value).to_le_bytes()),
            _ => return Err(this.refused(Shape::Float)),
        }
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        let this = self.resolved(Shape::Double)?;
        match this.node {
            Node::Double => this.state.out.extend_from_slice(&value.to_le_bytes()),
            Node::Float if f64::from(value as f32) == value || value.is_nan() => {
                this.state.out.extend_from_slice(&(value as f32).to_le_bytes());
            }
            _ => return Err(this.refused(Shape::Double)),
        }
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        let this = self.resolved(Shape::Text(text))?;
        match this.node {
            Node::String => output::prefixed(text.as_bytes(), &mut this.state.out),
            Node::Enum(_) => return this.symbol(text, Shape::Text(text)),
            _ => return this.raw(text.as_bytes(), Shape::Text(text)),
        }
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        let shape = Shape::Bytes(bytes.len());
        self.resolved(shape)?.raw(bytes, shape)
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        match self.node {
            Node::Null => Ok(()),
            _ => match self.resolved(Shape::Null)? {
                Encoder { node: Node::Null, .. } => Ok(()),
                this => Err(this.refused(Shape::Null)),
            },
        }
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        match self.node {
            Node::Union(union) => match union.optional {
                Some(optional) => {
                    output::length(optional.some as usize, &mut self.state.out);
                    value.serialize(self.by(optional.node))
                }
                None => value.serialize(self),
            },
            _ => value.serialize(self),
        }
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_none()
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        let shape = Shape::Symbol(variant);
        match self.resolved(shape)? {
            Encoder { node: Node::Null, .. } => Ok(()),
            this => this.symbol(variant, shape),
        }
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    #[inline(always)]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        match name == decimal::NAME {
            true => self.decimal(index, value),
            false => value.serialize(self.variant(Shape::Called(variant))?),
        }
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'s, 'a>> {
        Items::new(self.resolved(Shape::Items)?)
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'s, 'a>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'s, 'a>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Items<'s, 'a>> {
        self.variant(Shape::Called(variant))?.serialize_seq(None)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'s, 'a>> {
        Fields::new(self.resolved(Shape::Entries)?, Shape::Entries)
    }

    #[inline(always)]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'s, 'a>> {
        let shape = Shape::Fields(name);
        Fields::new(self.resolved(shape)?, shape)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Fields<'s, 'a>> {
        let shape = Shape::Called(variant);
        Fields::new(self.variant(shape)?, shape)
    }
}
