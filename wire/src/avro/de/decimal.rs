//! Decimals.

use serde::de::value::{I128Deserializer, U32Deserializer};
use serde::de::{DeserializeSeed, MapAccess, Visitor};

use crate::avro::error::{Error, Result};

/// Digits of a decimal: big endian, and of at most 16 bytes but for leading ones that say nothing.
#[inline(always)]
pub(crate) fn digits(bytes: &[u8]) -> Result<i128> {
    match bytes {
        [] => Ok(0),
        [first, rest @ ..] if rest.len() < 8 => {
            let number = rest
                .iter()
                .fold(i64::from(*first as i8), |sum, byte| sum << 8 | i64::from(*byte));
            Ok(number.into())
        }
        _ => many_digits(bytes),
    }
}

fn many_digits(bytes: &[u8]) -> Result<i128> {
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
    let (spare, kept) = bytes.split_at(bytes.len().saturating_sub(16));
    let number = kept.iter().fold(sign, |sum: i128, byte| sum << 8 | i128::from(*byte));
    match spare.iter().all(|byte| *byte == sign as u8) && (number < 0) == (sign < 0) {
        true => Ok(number),
        false => Err(Error::new(format!("a decimal of {} bytes", bytes.len()))),
    }
}

/// Shows a visitor a decimal, which is a map of one entry.
#[inline(always)]
pub(super) fn visit<'de, V: Visitor<'de>>(scale: u32, bytes: &[u8], visitor: V) -> Result<V::Value> {
    visitor.visit_map(Entry {
        scale: Some(scale),
        unscaled: digits(bytes)?,
    })
}

struct Entry {
    scale: Option<u32>,
    unscaled: i128,
}

impl<'de> MapAccess<'de> for Entry {
    type Error = Error;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let scale = self.scale.take().map(U32Deserializer::<Error>::new);
        scale.map(|scale| seed.deserialize(scale)).transpose()
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        seed.deserialize(I128Deserializer::<Error>::new(self.unscaled))
    }
}
