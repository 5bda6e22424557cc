//! Avro's primitives at the end of a buffer.

/// Appends a number as it is on the wire: zigzag, seven bits to a byte.
#[inline(always)]
pub(crate) fn long(value: i64, out: &mut Vec<u8>) {
    unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Appends a length or an index.
#[inline(always)]
pub(crate) fn length(value: usize, out: &mut Vec<u8>) {
    // No slice is longer than i64::MAX.
    unsigned((value as u64) << 1, out);
}

#[inline(always)]
fn unsigned(bits: u64, out: &mut Vec<u8>) {
    match bits {
        0..0x80 => out.push(bits as u8),
        0x80..0x100_0000_0000_0000 => eight(bits, out),
        _ => bytewise(bits, out),
    }
}

/// At most 56 bits: spread to eight bytes at once.
#[inline]
fn eight(bits: u64, out: &mut Vec<u8>) {
    let count = (70 - bits.leading_zeros() as usize) / 7;
    let bits = (bits & 0x0fff_ffff) | ((bits << 4) & 0x0fff_ffff_0000_0000);
    let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits << 2) & 0x3fff_0000_3fff_0000);
    let bits = (bits & 0x007f_007f_007f_007f) | ((bits << 1) & 0x7f00_7f00_7f00_7f00);
    // More bytes follow all but the last.
    let more = 0x0080_8080_8080_8080 & ((1 << (8 * (count - 1))) - 1);
    head(&(bits | more).to_le_bytes(), count, out);
}

fn bytewise(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Appends the first bytes of an array: a copy of fixed length and a cut are cheaper than a copy of unknown length.
#[inline(always)]
fn head<const N: usize>(bytes: &[u8; N], count: usize, out: &mut Vec<u8>) {
    let end = out.len() + count;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// Appends a length and so many bytes.
#[inline(always)]
pub(crate) fn prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// How many bytes hold the number, at the least: as Java's `BigInteger.toByteArray` has it.
#[inline(always)]
fn width(number: i128) -> usize {
    let magnitude = number ^ (number >> 127);
    (136 - magnitude.leading_zeros() as usize) / 8
}

/// Appends a decimal's digits: their length, and the fewest bytes that hold them, big endian.
#[inline(always)]
pub(crate) fn digits(number: i128, out: &mut Vec<u8>) {
    let width = width(number);
    length(width, out);
    match i64::try_from(number) {
        Ok(small) => head(&(small << (64 - 8 * width)).to_be_bytes(), width, out),
        Err(_) => head(&(number << (128 - 8 * width)).to_be_bytes(), width, out),
    }
}

/// Appends a decimal's digits in so many bytes; `false` if it takes more.
pub(crate) fn fixed_digits(number: i128, size: usize, out: &mut Vec<u8>) -> bool {
    if width(number) > size {
        return false;
    }
    let sign = if number < 0 { 0xff } else { 0 };
    out.resize(out.len() + size.saturating_sub(16), sign);
    out.extend_from_slice(&number.to_be_bytes()[16 - size.min(16)..]);
    true
}
