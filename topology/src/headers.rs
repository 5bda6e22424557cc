//! Headers as bytes, where records wait for their way into a topic, and in [packs](crate::runtime).
//!
//! ```text
//!  header:  name's length │ name │ value's length + 1, or 0 where there is none │ value
//! ```

use std::ops::Range;

use broker::Headers;
use bytes::Bytes;
use wire::{KEY_SCHEMA_HEADER, VALUE_SCHEMA_HEADER};

use crate::number;

/// Whether a header says how the key's or the value's bytes are to be read. It belongs to the bytes that came, and goes no further.
pub(crate) fn is_of_bytes(name: &str) -> bool {
    [KEY_SCHEMA_HEADER, VALUE_SCHEMA_HEADER].contains(&name)
}

/// Appends headers.
pub(crate) fn encode(headers: &Headers, out: &mut Vec<u8>) {
    for (name, value) in headers {
        number::put(name.len() as u64, out);
        out.extend_from_slice(name.as_bytes());
        number::put(value.as_ref().map_or(0, |value| value.len() as u64 + 1), out);
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

/// The next header: where its name is, and its value.
fn next(bytes: &[u8], at: &mut usize) -> Option<(Range<usize>, Option<Range<usize>>)> {
    let len = number::take(bytes, at)?;
    let name = number::take_part(bytes, len, at)?;
    let value = match number::take(bytes, at)?.checked_sub(1) {
        Some(len) => Some(number::take_part(bytes, len, at)?),
        None => None,
    };
    Some((name, value))
}

/// Whether these bytes are headers and nothing else.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let name = next(bytes, &mut at).map(|(name, _)| &bytes[name]);
        if name.is_none_or(|name| std::str::from_utf8(name).is_err()) {
            return false;
        }
    }
    true
}

/// The headers that these bytes hold, which are whole.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (name, value) = next(bytes, &mut at)?;
        Some((std::str::from_utf8(&bytes[name]).ok()?, value.map(|value| &bytes[value])))
    })
}

/// The same, of a part of these bytes; values are not copied.
pub(crate) fn decode(bytes: &Bytes, within: Range<usize>, into: &mut Headers) {
    let bytes = bytes.slice(within);
    let all = parts(&bytes).map(|(name, value)| (name.to_owned(), value.map(|value| bytes.slice_ref(value))));
    into.extend(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_what_is_cut_off_is_not_whole() {
        let headers: Headers = vec![
            ("trace".to_owned(), Some(Bytes::from_static(b"17"))),
            ("none".to_owned(), None),
            (String::new(), Some(Bytes::new())),
            ("trace".to_owned(), Some(Bytes::from(vec![7; 200]))),
        ];
        let mut bytes = b"before".to_vec();
        encode(&headers, &mut bytes);
        let bytes = Bytes::from(bytes);
        let mut decoded = Headers::new();
        decode(&bytes, 6..bytes.len(), &mut decoded);
        assert_eq!(decoded, headers);
        assert!(is_whole(&bytes[6..]) && is_whole(b""));
        // At the end of each header, what is there is whole.
        let whole = (6..bytes.len()).filter(|end| is_whole(&bytes[6..*end])).count();
        assert_eq!(whole, headers.len());
        assert!(!is_whole(&[1, 0xff, 0]), "a name is a text");
    }
}
