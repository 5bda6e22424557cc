//! A datum, by its writer's schema. The bytes may be anything: an error, never a panic, and never more memory than they justify.

use wire::{DatumError, DatumInput};

use super::avro::{Avro, Form, NodeId};

/// How deep values may lie in each other.
const DEPTH: u32 = 64;

/// A value; what it means stands in its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// An array's items, or a record's fields.
    Items(Vec<Value<'a>>),
    /// A map's entries.
    Entries(Vec<(&'a str, Value<'a>)>),
    /// A value of a union's variant, unless the union is null and one other type.
    Variant(usize, Box<Value<'a>>),
}

/// Reads a value of a type.
pub fn read<'a>(avro: &'a Avro, id: NodeId, input: &mut DatumInput<'a>) -> Result<Value<'a>, DatumError> {
    read_at(avro, id, input, DEPTH)
}

fn read_at<'a>(avro: &'a Avro, id: NodeId, input: &mut DatumInput<'a>, depth: u32) -> Result<Value<'a>, DatumError> {
    let depth = deeper(depth)?;
    Ok(match &avro.node(id).form {
        Form::Null => Value::Null,
        Form::Boolean => Value::Bool(input.boolean()?),
        Form::Int => Value::Int(input.int()?.into()),
        Form::Long => Value::Int(input.long()?),
        Form::Float => Value::Float(f32::from_le_bytes(input.array()?)),
        Form::Double => Value::Double(f64::from_le_bytes(input.array()?)),
        Form::Bytes => Value::Bytes(input.prefixed()?),
        Form::String => Value::Text(text(input)?),
        Form::Fixed(size) => Value::Bytes(input.take(*size)?),
        Form::Enum(symbols) => Value::Text(symbol(symbols, input)?),
        Form::Array(items) => {
            let mut read = Vec::new();
            blocks(input, takes_no_bytes(avro, *items, DEPTH), |input| {
                read.push(read_at(avro, *items, input, depth)?);
                Ok(())
            })?;
            Value::Items(read)
        }
        Form::Map(values) => {
            let mut entries = Vec::new();
            blocks(input, false, |input| {
                let key = text(input)?;
                entries.push((key, read_at(avro, *values, input, depth)?));
                Ok(())
            })?;
            Value::Entries(entries)
        }
        Form::Optional { null, other } => match input.index()? {
            index if index == *null => Value::Null,
            0 | 1 => read_at(avro, *other, input, depth)?,
            index => return Err(no_variant(index)),
        },
        Form::Union(variants) => {
            let (place, variant) = variant(variants, input)?;
            Value::Variant(place, Box::new(read_at(avro, variant, input, depth)?))
        }
        Form::Record(record) => {
            let mut read = Vec::with_capacity(record.fields.len());
            for field in &record.fields {
                read.push(read_at(avro, field.node, input, depth).map_err(|error| error.within(&field.name))?);
            }
            Value::Items(read)
        }
    })
}

/// Steps over a value of a type. What it refuses is what [`read`] refuses.
pub fn skip<'a>(avro: &'a Avro, id: NodeId, input: &mut DatumInput<'a>) -> Result<(), DatumError> {
    skip_at(avro, id, input, DEPTH)
}

fn skip_at<'a>(avro: &'a Avro, id: NodeId, input: &mut DatumInput<'a>, depth: u32) -> Result<(), DatumError> {
    let depth = deeper(depth)?;
    match &avro.node(id).form {
        Form::Null => Ok(()),
        Form::Boolean => input.boolean().map(drop),
        Form::Int => input.int().map(drop),
        Form::Long => input.long().map(drop),
        Form::Float => input.take(4).map(drop),
        Form::Double => input.take(8).map(drop),
        Form::Bytes => input.prefixed().map(drop),
        Form::String => text(input).map(drop),
        Form::Fixed(size) => input.take(*size).map(drop),
        Form::Enum(symbols) => symbol(symbols, input).map(drop),
        Form::Array(items) => blocks(input, takes_no_bytes(avro, *items, DEPTH), |input| {
            skip_at(avro, *items, input, depth)
        }),
        Form::Map(values) => blocks(input, false, |input| {
            text(input)?;
            skip_at(avro, *values, input, depth)
        }),
        Form::Optional { null, other } => match input.index()? {
            index if index == *null => Ok(()),
            0 | 1 => skip_at(avro, *other, input, depth),
            index => Err(no_variant(index)),
        },
        Form::Union(variants) => skip_at(avro, variant(variants, input)?.1, input, depth),
        Form::Record(record) => record
            .fields
            .iter()
            .try_for_each(|field| skip_at(avro, field.node, input, depth).map_err(|error| error.within(&field.name))),
    }
}

fn deeper(depth: u32) -> Result<u32, DatumError> {
    depth
        .checked_sub(1)
        .ok_or_else(|| DatumError::new("values lie too deep in each other"))
}

fn symbol<'a>(symbols: &'a [String], input: &mut DatumInput<'_>) -> Result<&'a str, DatumError> {
    let index = input.index()?;
    let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
    symbol
        .map(String::as_str)
        .ok_or_else(|| DatumError::new(format!("an enum has no symbol {index}")))
}

/// A union's variant: its place, and its type.
fn variant(variants: &[NodeId], input: &mut DatumInput<'_>) -> Result<(usize, NodeId), DatumError> {
    let index = input.index()?;
    let place = usize::try_from(index).ok();
    let found = place.and_then(|place| Some((place, *variants.get(place)?)));
    found.ok_or_else(|| no_variant(index))
}

fn no_variant(index: u64) -> DatumError {
    DatumError::new(format!("a union has no variant {index}"))
}

/// Whether a value of this type takes no bytes: nothing else would bound how many an array has.
fn takes_no_bytes(avro: &Avro, id: NodeId, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match &avro.node(id).form {
        Form::Null | Form::Fixed(0) => true,
        Form::Record(record) => record.fields.iter().all(|field| takes_no_bytes(avro, field.node, depth)),
        _ => false,
    }
}

fn blocks<'a>(
    input: &mut DatumInput<'a>,
    empty: bool,
    mut item: impl FnMut(&mut DatumInput<'a>) -> Result<(), DatumError>,
) -> Result<(), DatumError> {
    loop {
        match input.block(empty)? {
            (0, _) => return Ok(()),
            (count, _) => (0..count).try_for_each(|_| item(input))?,
        }
    }
}

fn text<'a>(input: &mut DatumInput<'a>) -> Result<&'a str, DatumError> {
    std::str::from_utf8(input.prefixed()?).map_err(|_| DatumError::new("text that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepping_over_a_value_ends_where_reading_it_does() {
        let avro = Avro::parse(
            r#"{"type": "record", "name": "R", "fields": [
                {"name": "text", "type": "string"},
                {"name": "maybe", "type": ["null", {"type": "record", "name": "I", "fields": [
                    {"name": "flag", "type": "boolean"}, {"name": "kind", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}}
                ]}]},
                {"name": "some", "type": ["null", "int", {"type": "map", "values": "long"}]},
                {"name": "many", "type": {"type": "array", "items": ["I", "null"]}},
                {"name": "none", "type": {"type": "array", "items": "null"}},
                {"name": "raw", "type": {"type": "fixed", "name": "F", "size": 2}}
            ]}"#,
        )
        .unwrap();
        let whole = [
            &[4, b'o', b'k', 2, 1, 2, 4, 2, 2, b'k', 6, 0, 4, 0, 0, 0, 2, 0, 6, 0, 7, 7][..],
            &[0, 0, 0, 0, 0, 1, 2],
        ];
        let both = |bytes: &[u8]| {
            let (mut one, mut other) = (DatumInput::new(bytes), DatumInput::new(bytes));
            let read = read(&avro, avro.root, &mut one).map(|_| one.left());
            let skipped = skip(&avro, avro.root, &mut other).map(|()| other.left());
            (
                read.map_err(|error| error.to_string()),
                skipped.map_err(|error| error.to_string()),
            )
        };
        let mut kinds = [0, 0];
        for good in whole {
            assert_eq!(both(good), (Ok(0), Ok(0)));
            // Every shorter one, and every one with another byte.
            let shorter = (0..good.len()).map(|end| good[..end].to_vec());
            let others = (0..good.len()).flat_map(|place| {
                (0..=u8::MAX).map(move |byte| {
                    let mut other = good.to_vec();
                    other[place] = byte;
                    other
                })
            });
            for bytes in shorter.chain(others) {
                let (read, skipped) = both(&bytes);
                kinds[usize::from(read.is_ok())] += 1;
                assert_eq!(read, skipped, "{bytes:?}");
            }
        }
        assert!(kinds.iter().all(|kind| *kind > 100), "{kinds:?}");
    }
}
