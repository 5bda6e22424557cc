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
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| DatumError::new("values lie too deep in each other"))?;
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
        Form::Enum(symbols) => {
            let index = input.index()?;
            let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
            Value::Text(symbol.ok_or_else(|| DatumError::new(format!("an enum has no symbol {index}")))?)
        }
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
        Form::Union(variants) => {
            let index = input.index()?;
            if let Some((null, other)) = avro.optional(variants) {
                return match index {
                    index if index == null => Ok(Value::Null),
                    0 | 1 => read_at(avro, other, input, depth),
                    _ => Err(no_variant(index)),
                };
            }
            let place = usize::try_from(index).map_err(|_| no_variant(index))?;
            let variant = variants.get(place).ok_or_else(|| no_variant(index))?;
            Value::Variant(place, Box::new(read_at(avro, *variant, input, depth)?))
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

fn no_variant(index: u64) -> DatumError {
    DatumError::new(format!("a union has no variant {index}"))
}
