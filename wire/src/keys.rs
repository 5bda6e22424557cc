//! Keys with a fixed format: one for topics, which other clients read, and one for stores, whose bytes sort as the keys do.

use crate::{Codec, Wire, WireError};

/// A key whose encodings say where they end, so that tuples of keys are keys.
///
/// In a topic, an `i64` is eight bytes, big endian, as Kafka's `LongSerializer` writes it: every Kafka client reads our keys. In a
/// store, its sign is turned around, so that numbers below zero come before the others, as they do for everybody else.
pub trait OrderedKey: Sized {
    /// Appends the bytes that a store has; they sort as the keys do.
    fn encode_ordered(&self, out: &mut Vec<u8>);
    /// Takes a store's key off the front of the bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not of such a key.
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError>;
    /// Appends the bytes that a topic has, as a part of a key.
    fn encode_part(&self, out: &mut Vec<u8>);
    /// Takes a topic's key, or a part of one, off the front of the bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not of such a key.
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError>;
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (head, tail) = bytes
        .split_first_chunk::<N>()
        .ok_or_else(|| WireError::Malformed(format!("a key has {} bytes, not {N}", bytes.len())))?;
    *bytes = tail;
    Ok(*head)
}

/// Reads a key that must fill the bytes.
fn whole<T: OrderedKey>(mut bytes: &[u8]) -> Result<T, WireError> {
    let key = T::decode_part(&mut bytes)?;
    if bytes.is_empty() {
        Ok(key)
    } else {
        Err(WireError::Malformed(format!("a key has {} bytes too many", bytes.len())))
    }
}

macro_rules! number {
    ($type:ty, $sign:expr) => {
        impl OrderedKey for $type {
            fn encode_ordered(&self, out: &mut Vec<u8>) {
                (self ^ $sign).encode_part(out);
            }
            fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
                Self::decode_part(bytes).map(|turned| turned ^ $sign)
            }
            fn encode_part(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
                take(bytes).map(<$type>::from_be_bytes)
            }
        }
        fixed!($type);
    };
}

macro_rules! fixed {
    ($type:ty $(, $generic:ident)*) => {
        impl<$($generic: OrderedKey + Send + Sync + 'static),*> Wire for $type {
            const SCHEMA: Option<&'static str> = None;
            fn encode(&self, _: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
                self.encode_part(out);
                Ok(())
            }
            fn decode(bytes: &[u8], _: &Codec) -> Result<Self, WireError> {
                whole(bytes)
            }
        }
    };
}

number!(i64, i64::MIN);
number!(u32, 0);
number!(i32, i32::MIN);
fixed!((A, B), A, B);
fixed!((A, B, C), A, B, C);
fixed!((A, B, C, D), A, B, C, D);

impl<A: OrderedKey, B: OrderedKey> OrderedKey for (A, B) {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.0.encode_ordered(out);
        self.1.encode_ordered(out);
    }
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((A::decode_ordered(bytes)?, B::decode_ordered(bytes)?))
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.0.encode_part(out);
        self.1.encode_part(out);
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((A::decode_part(bytes)?, B::decode_part(bytes)?))
    }
}

impl<A: OrderedKey, B: OrderedKey, C: OrderedKey> OrderedKey for (A, B, C) {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.0.encode_ordered(out);
        self.1.encode_ordered(out);
        self.2.encode_ordered(out);
    }
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((
            A::decode_ordered(bytes)?,
            B::decode_ordered(bytes)?,
            C::decode_ordered(bytes)?,
        ))
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.0.encode_part(out);
        self.1.encode_part(out);
        self.2.encode_part(out);
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((A::decode_part(bytes)?, B::decode_part(bytes)?, C::decode_part(bytes)?))
    }
}

impl<A: OrderedKey, B: OrderedKey, C: OrderedKey, D: OrderedKey> OrderedKey for (A, B, C, D) {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.0.encode_ordered(out);
        self.1.encode_ordered(out);
        self.2.encode_ordered(out);
        self.3.encode_ordered(out);
    }
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((
            A::decode_ordered(bytes)?,
            B::decode_ordered(bytes)?,
            C::decode_ordered(bytes)?,
            D::decode_ordered(bytes)?,
        ))
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.0.encode_part(out);
        self.1.encode_part(out);
        self.2.encode_part(out);
        self.3.encode_part(out);
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Ok((
            A::decode_part(bytes)?,
            B::decode_part(bytes)?,
            C::decode_part(bytes)?,
            D::decode_part(bytes)?,
        ))
    }
}

/// UTF-8 as Kafka's `StringSerializer` writes it; in a store, and as a part of a key, ended by two zero bytes (a zero within is
/// escaped).
impl OrderedKey for String {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        for byte in self.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let malformed = || WireError::Malformed("a text key does not end".to_owned());
        let mut text = Vec::new();
        let mut rest = bytes.iter();
        loop {
            match rest.next().ok_or_else(malformed)? {
                0 => match rest.next().ok_or_else(malformed)? {
                    0 => break,
                    _ => text.push(0),
                },
                byte => text.push(*byte),
            }
        }
        *bytes = rest.as_slice();
        String::from_utf8(text).map_err(|e| WireError::Malformed(e.to_string()))
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.encode_ordered(out);
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Self::decode_ordered(bytes)
    }
}

impl Wire for String {
    const SCHEMA: Option<&'static str> = None;
    fn encode(&self, _: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }
    fn decode(bytes: &[u8], _: &Codec) -> Result<Self, WireError> {
        String::from_utf8(bytes.to_vec()).map_err(|e| WireError::Malformed(e.to_string()))
    }
}
