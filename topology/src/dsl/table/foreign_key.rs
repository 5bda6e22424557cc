//! What goes to and fro between the tables of a foreign-key join.

use wire::{Codec, OrderedKey, Wire, WireError};

/// What becomes of a row's subscription to its foreign key, and who must hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    /// It ends; what was joined is deleted.
    DeleteAndAnswer,
    /// It ends; another one answers.
    Delete,
    /// It begins or goes on; answered in any case.
    Answer,
    /// It begins or goes on; answered, and where the foreign key has no row nobody need hear of it who has no result.
    AnswerIfThere,
}

impl Instruction {
    const ALL: [Self; 4] = [Self::DeleteAndAnswer, Self::Delete, Self::Answer, Self::AnswerIfThere];
}

/// A row's value as a number that no other value has: by it, an answer to an earlier value is known. 128 bits of FNV-1a, which does not
/// change with the program; no value at all is `None`.
pub(super) type Fingerprint = Option<u128>;

pub(super) fn fingerprint(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes
        .iter()
        .fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// To the table of the foreign key: a row has it, or has it no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription<K> {
    pub row: K,
    pub value: Fingerprint,
    pub instruction: Instruction,
}

/// To the table of the rows: what the foreign key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response<V> {
    /// Of the row's value that asked.
    pub value: Fingerprint,
    pub foreign: Option<V>,
    /// There should be no result, and most probably there is none: the one before was for an earlier value, or its end is on its way. If
    /// that is overtaken by another value of the row, it is dropped; so the result ends with this one.
    pub is_probably_known: bool,
}

fn encode_fingerprint(value: Fingerprint, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn short() -> WireError {
    WireError::Malformed("a message of a foreign-key join is cut off".to_owned())
}

fn decode_fingerprint(bytes: &mut &[u8]) -> Result<Fingerprint, WireError> {
    let (has_value, rest) = bytes.split_first().ok_or_else(short)?;
    *bytes = rest;
    if *has_value == 0 {
        return Ok(None);
    }
    let (value, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    *bytes = rest;
    Ok(Some(u128::from_be_bytes(*value)))
}

/// The instruction, the fingerprint, the row's key.
impl<K: OrderedKey + Send + Sync + 'static> Wire for Subscription<K> {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, _: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.push(self.instruction as u8);
        encode_fingerprint(self.value, out);
        self.row.encode_part(out);
        Ok(())
    }

    fn decode(mut bytes: &[u8], _: &Codec) -> Result<Self, WireError> {
        let (instruction, rest) = bytes.split_first().ok_or_else(short)?;
        let instruction = *Instruction::ALL.get(usize::from(*instruction)).ok_or_else(short)?;
        bytes = rest;
        let value = decode_fingerprint(&mut bytes)?;
        let row = K::decode_part(&mut bytes)?;
        Ok(Self { row, value, instruction })
    }
}

const NONE: u8 = 0;
const FOREIGN: u8 = 1;
const NONE_AS_KNOWN: u8 = 2;

/// The fingerprint, whether there is a foreign value, and it.
impl<V: Wire> Wire for Response<V> {
    const SCHEMA: Option<&'static str> = V::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        encode_fingerprint(self.value, out);
        out.push(match (&self.foreign, self.is_probably_known) {
            (None, false) => NONE,
            (Some(_), _) => FOREIGN,
            (None, true) => NONE_AS_KNOWN,
        });
        match &self.foreign {
            Some(foreign) => foreign.encode(codec, out),
            None => Ok(()),
        }
    }

    fn decode(mut bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        let value = decode_fingerprint(&mut bytes)?;
        let (has_foreign, rest) = bytes.split_first().ok_or_else(short)?;
        let foreign = match *has_foreign {
            NONE | NONE_AS_KNOWN => None,
            _ => Some(V::decode(rest, codec)?),
        };
        Ok(Self {
            value,
            foreign,
            is_probably_known: *has_foreign == NONE_AS_KNOWN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_and_what_is_cut_off_is_an_error() {
        let codec = Codec::plain();
        for (index, instruction) in Instruction::ALL.into_iter().enumerate() {
            assert_eq!(instruction as usize, index);
            let sent = Subscription {
                row: "a".to_owned(),
                value: Some(fingerprint(b"a")).filter(|_| index > 0),
                instruction,
            };
            let mut bytes = Vec::new();
            sent.encode(&codec, &mut bytes).unwrap();
            assert_eq!(Subscription::<String>::decode(&bytes, &codec).unwrap(), sent);
            assert!((0..bytes.len()).all(|len| Subscription::<String>::decode(&bytes[..len], &codec).is_err()));
        }
        for (foreign, is_probably_known) in [(None, false), (Some(7_i64), false), (None, true)] {
            let sent = Response {
                value: Some(fingerprint(b"")),
                foreign,
                is_probably_known,
            };
            let mut bytes = Vec::new();
            sent.encode(&codec, &mut bytes).unwrap();
            assert_eq!(Response::<i64>::decode(&bytes, &codec).unwrap(), sent);
            assert!((0..17).all(|len| Response::<i64>::decode(&bytes[..len], &codec).is_err()));
        }
    }

    #[test]
    fn the_fingerprint_is_the_published_one() {
        // Test vectors of FNV-1a, 128 bits.
        assert_eq!(fingerprint(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
