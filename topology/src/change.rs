//! What flows along the edges between tables: a key's value before and after.

use wire::{Codec, Wire, WireError};

/// A change of a table's row.
///
/// `old` is there for those who ask for it: an operator that needs what a key had before says so when the topology is built, and then all
/// tables in front of it tell. Else it is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<V> {
    /// The row before; `None` where there was none, or nobody asked.
    pub old: Option<V>,
    /// The row from now on; `None` where it is deleted.
    pub new: Option<V>,
    /// Whether no later version is known: always, but in a versioned table. Joins and groups pass over changes that are not.
    pub is_latest: bool,
}

impl<V> Change<V> {
    /// A change to this value, from that one.
    pub fn new(new: Option<V>, old: Option<V>) -> Self {
        Self {
            old,
            new,
            is_latest: true,
        }
    }

    /// The same change of other values.
    pub(crate) fn map<VO>(&self, map: impl Fn(&V) -> Option<VO>) -> Change<VO> {
        Change {
            old: self.old.as_ref().and_then(&map),
            new: self.new.as_ref().and_then(&map),
            is_latest: self.is_latest,
        }
    }

    /// Nothing before, and nothing now.
    pub(crate) fn is_empty(&self) -> bool {
        self.old.is_none() && self.new.is_none()
    }
}

const HAS_OLD: u8 = 1;
const HAS_NEW: u8 = 2;

/// As it goes through a repartition topic: which of both there are, the length of the old one, both.
impl<V: Wire> Wire for Change<V> {
    const SCHEMA: Option<&'static str> = V::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flag = |value: &Option<V>, flag| if value.is_some() { flag } else { 0 };
        out.push(flag(&self.old, HAS_OLD) | flag(&self.new, HAS_NEW));
        if let Some(old) = &self.old {
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            old.encode(codec, out)?;
            let len = u32::try_from(out.len() - at - 4);
            let len = len.map_err(|_| WireError::Unencodable("a value has more than 4 GiB".to_owned()))?;
            out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        }
        match &self.new {
            Some(new) => new.encode(codec, out),
            None => Ok(()),
        }
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        let short = || WireError::Malformed(format!("a change has {} bytes", bytes.len()));
        let (flags, mut rest) = bytes.split_first().ok_or_else(short)?;
        let old = match flags & HAS_OLD {
            0 => None,
            _ => {
                let (len, after) = rest.split_first_chunk().ok_or_else(short)?;
                let (old, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(short)?;
                rest = after;
                Some(V::decode(old, codec)?)
            }
        };
        let new = match flags & HAS_NEW {
            0 => None,
            _ => Some(V::decode(rest, codec)?),
        };
        // What a later version has overtaken goes through no topic.
        Ok(Self::new(new, old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_values_survive_and_what_is_cut_off_is_an_error() {
        let codec = Codec::plain();
        for (new, old) in [
            (None, None),
            (Some("new"), None),
            (None, Some("old")),
            (Some(""), Some("before")),
        ] {
            let change = Change::new(new.map(str::to_owned), old.map(str::to_owned));
            let mut bytes = Vec::new();
            change.encode(&codec, &mut bytes).unwrap();
            assert_eq!(Change::<String>::decode(&bytes, &codec).unwrap(), change);
            let has_old = old.is_some();
            let cut = if has_old { 4 } else { 0 };
            assert!(Change::<String>::decode(&bytes[..cut], &codec).is_err());
        }
    }
}
