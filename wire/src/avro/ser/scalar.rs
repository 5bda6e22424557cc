//! A serializer that takes texts and whole numbers only: a map's key, a byte of a sequence, a decimal's digits.

use serde::ser::{Impossible, Serialize, Serializer};

use crate::avro::error::{Error, Result};

pub(super) struct Scalars;

pub(super) enum Scalar {
    Text(String),
    Integer(i128),
}

/// A key.
pub(super) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    match value.serialize(Scalars)? {
        Scalar::Text(text) => Ok(text),
        Scalar::Integer(_) => refused("a number in a text's place"),
    }
}

/// A number in the type's range.
#[inline(always)]
pub(super) fn integer<N: TryFrom<i128>, T: Serialize + ?Sized>(value: &T) -> Result<N> {
    match value.serialize(Scalars)? {
        Scalar::Integer(number) => N::try_from(number).or_else(|_| refused("a number out of range")),
        Scalar::Text(_) => refused("a text in a number's place"),
    }
}

#[cold]
fn refused<T>(message: &str) -> Result<T> {
    Err(Error::new(message))
}

fn neither<T>() -> Result<T> {
    refused("neither text nor a whole number")
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(#[inline(always)]
        fn $method(self, value: $type) -> Result<Scalar> {
            Ok(Scalar::Integer(value.into()))
        })*
    };
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$ok> {
            neither()
        })*
    };
}

type None = Impossible<Scalar, Error>;

impl Serializer for Scalars {
    type Ok = Scalar;
    type Error = Error;
    type SerializeSeq = None;
    type SerializeTuple = None;
    type SerializeTupleStruct = None;
    type SerializeTupleVariant = None;
    type SerializeMap = None;
    type SerializeStruct = None;
    type SerializeStructVariant = None;

    integers! { serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
    serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64 }

    fn serialize_u128(self, value: u128) -> Result<Scalar> {
        let number = i128::try_from(value);
        number.map(Scalar::Integer).or_else(|_| refused("a number out of range"))
    }

    fn serialize_str(self, text: &str) -> Result<Scalar> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn serialize_char(self, character: char) -> Result<Scalar> {
        Ok(Scalar::Text(character.into()))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Scalar> {
        self.serialize_str(variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Scalar> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Scalar> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, _: u32, _: &'static str, _: &T) -> Result<Scalar> {
        neither()
    }

    refuse! {
        serialize_bool(bool) -> Scalar;
        serialize_f32(f32) -> Scalar;
        serialize_f64(f64) -> Scalar;
        serialize_bytes(&[u8]) -> Scalar;
        serialize_none() -> Scalar;
        serialize_unit() -> Scalar;
        serialize_unit_struct(&'static str) -> Scalar;
        serialize_seq(Option<usize>) -> None;
        serialize_tuple(usize) -> None;
        serialize_tuple_struct(&'static str, usize) -> None;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> None;
        serialize_map(Option<usize>) -> None;
        serialize_struct(&'static str, usize) -> None;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> None;
    }
}
