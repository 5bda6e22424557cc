//! What a manifest says of a file: rows, sizes and each column's bounds, from the file's own footer.

use std::collections::BTreeMap;

use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use crate::schema::{Columns, Field, Type};

/// Bounds of texts and bytes are cut to this many characters or bytes, as other writers do.
const BOUND_LENGTH: usize = 16;

/// A Parquet file of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Its URL.
    pub url: String,
    /// Its rows.
    pub rows: i64,
    /// Its size in bytes.
    pub bytes: i64,
    /// The sequence number of its rows, where they were in the table before it.
    pub since: Option<i64>,
    /// By field id.
    pub columns: BTreeMap<i32, ColumnFacts>,
    /// Where its row groups begin.
    pub splits: Vec<i64>,
}

/// What is known of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnFacts {
    /// Its compressed bytes.
    pub bytes: i64,
    /// Its values, nulls included.
    pub values: i64,
    /// Its nulls.
    pub nulls: Option<i64>,
    /// No value is below.
    pub lower: Option<Vec<u8>>,
    /// No value is above.
    pub upper: Option<Vec<u8>>,
}

impl DataFile {
    /// The file of a footer.
    pub fn new(url: String, bytes: u64, metadata: &ParquetMetaData, columns: &Columns) -> Self {
        let mut facts: BTreeMap<i32, Vec<&ColumnChunkMetaData>> = BTreeMap::new();
        for group in metadata.row_groups() {
            for chunk in group.columns() {
                let column = chunk.column_path().string();
                if let Some(field) = columns.of(&column) {
                    facts.entry(field.id).or_default().push(chunk);
                }
            }
        }
        let field = |id: i32| columns.fields.iter().find(|field| field.id == id);
        let facts = facts
            .into_iter()
            .filter_map(|(id, chunks)| Some((id, facts_of(field(id)?, &chunks))));
        let start = |group: &parquet::file::metadata::RowGroupMetaData| {
            let chunk = group.columns().first()?;
            Some(chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()))
        };
        Self {
            url,
            rows: metadata.file_metadata().num_rows(),
            bytes: bytes as i64,
            since: None,
            columns: facts.collect(),
            splits: metadata.row_groups().iter().filter_map(start).collect(),
        }
    }
}

/// The highest value of a column of whole numbers, if the footer says.
pub fn highest(metadata: &ParquetMetaData, column: &str) -> Option<i64> {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let of_column = chunks.filter(|chunk| chunk.column_path().string() == column);
    let highest = of_column.filter_map(|chunk| match chunk.statistics()? {
        Statistics::Int64(values) => values.max_opt().copied(),
        _ => None,
    });
    highest.max()
}

fn facts_of(field: &Field, chunks: &[&ColumnChunkMetaData]) -> ColumnFacts {
    let nulls = chunks.iter().map(|chunk| chunk.statistics()?.null_count_opt());
    let nulls = nulls
        .map(|nulls| nulls.and_then(|nulls| i64::try_from(nulls).ok()))
        .sum::<Option<i64>>();
    let values: i64 = chunks.iter().map(|chunk| chunk.num_values()).sum();
    let mut facts = ColumnFacts {
        bytes: chunks.iter().map(|chunk| chunk.compressed_size()).sum(),
        values,
        nulls,
        ..ColumnFacts::default()
    };
    let bounds = chunks
        .iter()
        // A chunk of nulls bounds nothing.
        .filter(|chunk| chunk.statistics().and_then(Statistics::null_count_opt) != Some(chunk.num_values() as u64))
        .map(|chunk| Bounds::of(field.kind?, chunk));
    let bounds: Option<Vec<Bounds>> = bounds.collect();
    if let Some(bounds) = bounds.and_then(|all| all.into_iter().reduce(Bounds::with)) {
        (facts.lower, facts.upper) = bounds.written(field.kind);
    }
    facts
}

/// The least and greatest value.
enum Bounds {
    Bool(bool, bool),
    Int(i128, i128),
    Float(f64, f64),
    Bytes(Vec<u8>, Vec<u8>),
}

impl Bounds {
    fn of(kind: Type, chunk: &ColumnChunkMetaData) -> Option<Self> {
        let statistics = chunk.statistics()?;
        if statistics.is_min_max_deprecated() {
            return None;
        }
        let is_decimal = matches!(kind, Type::Decimal { .. });
        Some(match statistics {
            Statistics::Boolean(values) => Bounds::Bool(*values.min_opt()?, *values.max_opt()?),
            Statistics::Int32(values) => Bounds::Int((*values.min_opt()?).into(), (*values.max_opt()?).into()),
            Statistics::Int64(values) => Bounds::Int((*values.min_opt()?).into(), (*values.max_opt()?).into()),
            Statistics::Float(values) => Bounds::Float((*values.min_opt()?).into(), (*values.max_opt()?).into()),
            Statistics::Double(values) => Bounds::Float(*values.min_opt()?, *values.max_opt()?),
            other if chunk.column_type() == Physical::FIXED_LEN_BYTE_ARRAY && is_decimal => {
                Bounds::Int(big_endian(other.min_bytes_opt()?)?, big_endian(other.max_bytes_opt()?)?)
            }
            other if chunk.column_type() == Physical::BYTE_ARRAY && !is_decimal => {
                Bounds::Bytes(other.min_bytes_opt()?.to_vec(), other.max_bytes_opt()?.to_vec())
            }
            _ => return None,
        })
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Bounds::Bool(a, b), Bounds::Bool(c, d)) => Bounds::Bool(a.min(c), b.max(d)),
            (Bounds::Int(a, b), Bounds::Int(c, d)) => Bounds::Int(a.min(c), b.max(d)),
            (Bounds::Float(a, b), Bounds::Float(c, d)) => Bounds::Float(a.min(c), b.max(d)),
            (Bounds::Bytes(a, b), Bounds::Bytes(c, d)) => Bounds::Bytes(a.min(c), b.max(d)),
            (one, _) => one,
        }
    }

    /// As the column's type has them in a manifest.
    fn written(self, kind: Option<Type>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let both = |lower: Vec<u8>, upper: Vec<u8>| (Some(lower), Some(upper));
        match (kind, self) {
            (Some(Type::Boolean), Bounds::Bool(min, max)) => both(vec![min.into()], vec![max.into()]),
            (Some(Type::Int | Type::Date), Bounds::Int(min, max)) => {
                both((min as i32).to_le_bytes().to_vec(), (max as i32).to_le_bytes().to_vec())
            }
            (Some(Type::Long | Type::Timestamptz), Bounds::Int(min, max)) => {
                both((min as i64).to_le_bytes().to_vec(), (max as i64).to_le_bytes().to_vec())
            }
            (Some(Type::Decimal { .. }), Bounds::Int(min, max)) => both(shortest(min), shortest(max)),
            (Some(Type::Float), Bounds::Float(min, max)) => {
                both((min as f32).to_le_bytes().to_vec(), (max as f32).to_le_bytes().to_vec())
            }
            (Some(Type::Double), Bounds::Float(min, max)) => both(min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec()),
            (Some(Type::String), Bounds::Bytes(min, max)) => (text_below(&min), text_above(&max)),
            (Some(Type::Binary), Bounds::Bytes(min, max)) => {
                (Some(min.into_iter().take(BOUND_LENGTH).collect()), bytes_above(max))
            }
            _ => (None, None),
        }
    }
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    let mut all = [if first & 0x80 == 0 { 0 } else { 0xff }; 16];
    let start = all.len().checked_sub(bytes.len())?;
    all[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(all))
}

/// Two's complement, big endian, in as few bytes as hold it.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    let mut from = 0;
    while from < bytes.len() - 1 && bytes[from] == sign && (bytes[from + 1] & 0x80) == (sign & 0x80) {
        from += 1;
    }
    bytes[from..].to_vec()
}

fn text_below(min: &[u8]) -> Option<Vec<u8>> {
    // A bound of the footer may be cut within a character.
    let valid = match std::str::from_utf8(min) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&min[..error.valid_up_to()]).ok()?,
    };
    Some(valid.chars().take(BOUND_LENGTH).collect::<String>().into_bytes())
}

fn text_above(max: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(max).ok()?;
    if text.chars().count() <= BOUND_LENGTH {
        return Some(max.to_vec());
    }
    let mut cut: Vec<char> = text.chars().take(BOUND_LENGTH).collect();
    while let Some(last) = cut.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            cut.push(next);
            return Some(cut.into_iter().collect::<String>().into_bytes());
        }
    }
    None
}

fn bytes_above(max: Vec<u8>) -> Option<Vec<u8>> {
    if max.len() <= BOUND_LENGTH {
        return Some(max);
    }
    let mut cut = max[..BOUND_LENGTH].to_vec();
    while let Some(last) = cut.pop() {
        if last < u8::MAX {
            cut.push(last + 1);
            return Some(cut);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_take_as_few_bytes_as_hold_them() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0, 128]),
            (-128, vec![128]),
            (-129, vec![255, 127]),
            (-1, vec![255]),
            (1_000_000, vec![15, 66, 64]),
        ] {
            assert_eq!(shortest(value), bytes, "{value}");
            assert_eq!(big_endian(&bytes), Some(value));
        }
    }

    #[test]
    fn a_cut_bound_still_bounds() {
        let long = "abcdefghijklmnopqrst";
        assert_eq!(text_below(long.as_bytes()).unwrap(), b"abcdefghijklmnop");
        assert_eq!(text_above(long.as_bytes()).unwrap(), b"abcdefghijklmnoq");
        let last = format!("a{}", char::MAX.to_string().repeat(20));
        assert_eq!(text_above(last.as_bytes()).unwrap(), b"b");
        assert_eq!(bytes_above(vec![255; 20]), None);
        assert_eq!(bytes_above([vec![1], vec![255; 20]].concat()), Some(vec![2]));
    }
}
