//! Rust's enums: an Avro enum's symbol or a text is a variant without content; a union's variant may be one with content, called
//! as its type is.

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeSeed, EnumAccess, IgnoredAny, VariantAccess, Visitor};

use super::Decoder;
use crate::avro::error::{Error, Result};
use crate::avro::plan::Node;

pub(super) fn visit<'de, V: Visitor<'de>>(
    decoder: Decoder<'_, '_, 'de>,
    variants: &'static [&'static str],
    visitor: V,
) -> Result<V::Value> {
    let mut decoder = decoder.resolved()?;
    let label = decoder.node.label();
    if !variants.contains(&label)
        && let Some(symbol) = decoder.symbol()?
    {
        return visitor.visit_enum(StrDeserializer::<Error>::new(symbol));
    }
    visitor.visit_enum(Content { label, decoder })
}

struct Content<'s, 'a, 'de> {
    label: &'a str,
    decoder: Decoder<'s, 'a, 'de>,
}

impl<'s, 'a, 'de> EnumAccess<'de> for Content<'s, 'a, 'de> {
    type Error = Error;
    type Variant = Decoder<'s, 'a, 'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant)> {
        let variant = seed.deserialize(StrDeserializer::<Error>::new(self.label))?;
        Ok((variant, self.decoder))
    }
}

impl<'de> VariantAccess<'de> for Decoder<'_, '_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        match self.node {
            Node::Null => Ok(()),
            _ => IgnoredAny::deserialize(self).map(|_| ()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        serde::Deserializer::deserialize_tuple(self, length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value> {
        serde::Deserializer::deserialize_struct(self, "", names, visitor)
    }
}
