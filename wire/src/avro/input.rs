//! Avro's primitives off the front of bytes that nobody vouches for: every length is checked against what is left.

use super::error::{Error, Result};

/// Array items that take no bytes at all (nulls), in one datum: nothing else would bound their number.
const EMPTY_ITEMS: u64 = 1 << 16;

/// The top bit of each byte: set on all bytes of a number but the last.
const MORE: u64 = 0x8080_8080_8080_8080;

/// A datum's bytes, and how far they are read.
pub struct Input<'de> {
    rest: &'de [u8],
    empty_items: u64,
}

impl<'de> Input<'de> {
    /// From the front of these bytes.
    pub fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            empty_items: EMPTY_ITEMS,
        }
    }

    /// How many bytes are left.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    #[inline(always)]
    pub fn rest(&self) -> &'de [u8] {
        self.rest
    }

    /// Goes on with these bytes, which are behind those that were taken.
    #[inline(always)]
    pub fn go_on(&mut self, rest: &'de [u8]) {
        self.rest = rest;
    }

    /// The next so many bytes.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Result<&'de [u8]> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or_else(Error::ends)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(Error::ends)?;
        self.rest = tail;
        Ok(*head)
    }

    /// A number of variable length, as it is on the wire: zigzag.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            _ => self.long_varint(),
        }
    }

    /// Eight bytes at once: where the number ends is found, and its groups of seven bits are moved together, without a branch
    /// for each byte.
    #[inline]
    fn long_varint(&mut self) -> Result<u64> {
        if let Some(chunk) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let last = !word & MORE;
            if last != 0 {
                let (_, rest) = self
                    .rest
                    .split_at_checked(last.trailing_zeros() as usize / 8 + 1)
                    .ok_or_else(Error::ends)?;
                self.rest = rest;
                // The lowest set bit and all below it: the bytes of this number.
                let bits = word & (last ^ (last - 1)) & !MORE;
                let bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
                let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
                return Ok((bits & 0x0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4));
            }
        }
        let (bits, rest) = bytewise(self.rest)?;
        self.rest = rest;
        Ok(bits)
    }

    /// A long.
    #[inline(always)]
    pub fn long(&mut self) -> Result<i64> {
        let bits = self.varint()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// An int.
    #[inline(always)]
    pub fn int(&mut self) -> Result<i32> {
        let wide = self.long()?;
        i32::try_from(wide).map_err(|_| Error::new(format!("{wide} in an int's place")))
    }

    /// The number of a union's variant or of an enum's symbol.
    #[inline(always)]
    pub fn index(&mut self) -> Result<u64> {
        match self.varint()? {
            bits if bits & 1 == 0 => Ok(bits >> 1),
            _ => Err(Error::new("a number below zero in an index's or a length's place")),
        }
    }

    /// A length and so many bytes.
    #[inline(always)]
    pub fn prefixed(&mut self) -> Result<&'de [u8]> {
        let length = self.index()?;
        self.take(usize::try_from(length).map_err(|_| Error::ends())?)
    }

    /// A boolean.
    #[inline(always)]
    pub fn boolean(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Error::new(format!("{other} in a boolean's place"))),
        }
    }

    /// The number of items in the next block of an array or map, which is 0 at its end; and the block's length in bytes, if it
    /// tells it. No more items are accepted than bytes are left.
    pub fn block(&mut self, empty_items: bool) -> Result<(u64, Option<usize>)> {
        let count = self.long()?;
        let size = match count < 0 {
            true => Some(usize::try_from(self.index()?).map_err(|_| Error::ends())?),
            false => None,
        };
        let count = count.unsigned_abs();
        let most = match empty_items {
            true => self.empty_items,
            false => self.rest.len() as u64,
        };
        if count > most || size.is_some_and(|size| size > self.rest.len()) {
            return Err(Error::new(format!("a block of {count} items, but the bytes end before that")));
        }
        if empty_items {
            self.empty_items -= count;
        }
        Ok((count, size))
    }
}

/// A number near the end of the input, or a long one; and what follows it.
fn bytewise(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut bits = 0;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        bits |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            if position == 9 && *byte > 1 {
                break;
            }
            return Ok((bits, &bytes[position + 1..]));
        }
    }
    Err(match bytes.len() {
        0..10 => Error::ends(),
        _ => Error::new("a number has more than 64 bits"),
    })
}

/// What follows a number.
#[inline(always)]
pub(crate) fn after_varint(bytes: &[u8]) -> Result<&[u8]> {
    if let Some(chunk) = bytes.first_chunk::<8>() {
        let last = !u64::from_le_bytes(*chunk) & MORE;
        if last != 0 {
            return bytes.get(last.trailing_zeros() as usize / 8 + 1..).ok_or_else(Error::ends);
        }
    }
    bytewise(bytes).map(|(_, rest)| rest)
}

/// What follows a length and so many bytes.
#[inline(always)]
pub(crate) fn after_prefixed(bytes: &[u8]) -> Result<&[u8]> {
    match bytes {
        [length, rest @ ..] if length & 0x81 == 0 => rest.get(usize::from(*length >> 1)..).ok_or_else(Error::ends),
        _ => after_long(bytes),
    }
}

fn after_long(bytes: &[u8]) -> Result<&[u8]> {
    let mut input = Input::new(bytes);
    input.prefixed()?;
    Ok(input.rest)
}

/// Bytes as text.
#[inline(always)]
pub(crate) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::new("text that is not UTF-8"))
}
