//! Ids, so that no account is taken for a customer.

use std::fmt;

use serde::{Deserialize, Serialize};
use wire::{Codec, OrderedKey, Wire, WireError};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl OrderedKey for $name {
            fn encode_ordered(&self, out: &mut Vec<u8>) {
                self.0.encode_ordered(out);
            }
            fn decode_ordered(bytes: &mut &[u8]) -> Result<Self, WireError> {
                i64::decode_ordered(bytes).map(Self)
            }
            fn encode_part(&self, out: &mut Vec<u8>) {
                self.0.encode_part(out);
            }
            fn decode_part(bytes: &mut &[u8]) -> Result<Self, WireError> {
                i64::decode_part(bytes).map(Self)
            }
        }

        impl Wire for $name {
            const SCHEMA: Option<&'static str> = None;
            fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
                self.0.encode(codec, out)
            }
            fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
                i64::decode(bytes, codec).map(Self)
            }
        }
    };
}

id!(
    /// A customer's id, as the source's identity column gives it. As a key: eight bytes, big endian.
    CustomerId
);
id!(
    /// An account's id. Negative ids are the bank's own cash accounts, which the source does not have.
    AccountId
);
id!(
    /// A transaction's id.
    TransactionId
);
