//! Codes: closed lists of accepted values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::{Codec, OrderedKey, Wire, WireError};

/// A text that is none of a code's accepted values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an accepted value")]
pub struct UnknownCode(pub String);

/// Declares a code as an enum with its texts.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$item_doc])* #[serde(rename = $text)] $item),+ }

        impl $name {
            /// All accepted values.
            pub const ALL: &'static [$name] = &[$($name::$item),+];

            /// The code's text.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$item => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownCode;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok($name::$item),)+ other => Err($crate::UnknownCode(other.to_owned())) }
            }
        }

        $crate::codes::text_key!($name);
    };
}
pub(crate) use codes;

/// Makes a code a part of keys: its text, as a text key is.
macro_rules! text_key {
    ($name:ty) => {
        impl wire::OrderedKey for $name {
            fn encode_ordered(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_str().as_bytes());
                out.extend_from_slice(&[0, 0]);
            }
            fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, wire::WireError> {
                let text = String::decode_ordered(bytes)?;
                text.parse()
                    .map_err(|error: $crate::UnknownCode| wire::WireError::Malformed(error.to_string()))
            }
            fn encode_part(&self, out: &mut Vec<u8>) {
                self.encode_ordered(out);
            }
            fn decode_part(bytes: &mut &[u8]) -> Result<Self, wire::WireError> {
                Self::decode_ordered(bytes)
            }
        }
    };
}
pub(crate) use text_key;

/// A currency of ISO 4217, by its three letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal places its amounts have: its minor units in ISO 4217.
    pub fn minor_digits(&self) -> u32 {
        minor_digits(self.as_str()).unwrap_or(2)
    }

    /// Whether accounts may still be opened in it: it was not replaced by another one.
    pub fn is_current(&self) -> bool {
        // The library takes Venezuela's second code for the first one's successor; both are current.
        let replaced = iso_currency::Currency::from_code(self.as_str()).and_then(|known| known.is_superseded());
        replaced.is_none() || self.as_str() == "VES"
    }
}

/// The minor units of a currency; `None` for what has none (metals, test codes). A currency that was replaced stays known: its
/// accounts may still be there.
fn minor_digits(code: &str) -> Option<u32> {
    iso_currency::Currency::from_code(code)?.exponent().map(u32::from)
}

impl Currency {
    /// What was written passed the list; a list that has since lost a currency must not make it unreadable.
    fn written(text: &str) -> Result<Self, UnknownCode> {
        let letters = <[u8; 3]>::try_from(text.as_bytes()).ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_uppercase));
        letters.map(Currency).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// As a part of keys: its three letters, as a text key is.
impl OrderedKey for Currency {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        out.extend_from_slice(&[0, 0]);
    }
    fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let text = String::decode_ordered(bytes)?;
        Self::written(&text).map_err(|error| WireError::Malformed(error.to_string()))
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.encode_ordered(out);
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
        Self::decode_ordered(bytes)
    }
}

/// As a value of its own: its three letters.
impl Wire for Currency {
    const SCHEMA: Option<&'static str> = None;
    fn encode(&self, _: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
    fn decode(bytes: &[u8], _: &Codec) -> Result<Self, WireError> {
        let text = std::str::from_utf8(bytes).map_err(|error| WireError::Malformed(error.to_string()))?;
        Self::written(text).map_err(|error| WireError::Malformed(error.to_string()))
    }
}

impl FromStr for Currency {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        match (minor_digits(text), text.as_bytes().try_into()) {
            (Some(_), Ok(letters)) => Ok(Currency(letters)),
            _ => Err(UnknownCode(text.to_owned())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Currency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a currency of ISO 4217")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Currency, E> {
                Currency::written(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
