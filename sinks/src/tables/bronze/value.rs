//! What a value is in the lake: by its type in Avro, and by what that stands for at the source.
//!
//! | at the source | in the lake |
//! |---|---|
//! | `NUMERIC(p, s)`, p up to 38 | `DECIMAL(p, s)` |
//! | `NUMERIC` without precision | `DECIMAL(38, 18)`, as Spark reads it from Postgres |
//! | `NUMERIC(p, s)`, p above 38, or a scale below 0 | text in plain notation: no reader has such a decimal |
//! | `TIMESTAMPTZ`, `TIMESTAMP` (read as UTC) | timestamp in microseconds, UTC |
//! | `DATE` | date |
//! | `TIME`, `TIMETZ`, `INTERVAL` | text, number: Spark cannot open files with Parquet's TIME |
//! | whole numbers | 64 bits, so that `ALTER … TYPE bigint` changes no file's shape |
//! | boolean, floats, text, `BYTEA` | the same |
//! | arrays, maps, records, unions of several types | JSON text |
//!
//! A value that its column cannot hold (`infinity`, BC, the year 12000, twenty places of a bare `NUMERIC`) is null there, and
//! text in `_unparsed`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use wire::Decimal;

use super::avro::{Avro, Form, Meaning, NodeId};
use super::datum::Value;
use super::decimal::{decimal, plain};
use super::instant;
use crate::columns::{Cell, Kind, MOST_DIGITS};

/// What a bare `NUMERIC` is.
const BARE_NUMERIC: Kind = Kind::decimal(MOST_DIGITS, 18);

/// Days from 0001-01-01 to 9999-12-31: what every reader of the lake has.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
const DAY_US: i64 = 86_400_000_000;

/// The kind of column that holds a type's values.
pub fn kind(avro: &Avro, id: NodeId) -> Kind {
    let node = avro.node(id);
    match (&node.form, node.meaning) {
        (_, Meaning::Decimal { precision, scale }) => match (precision.map(u8::try_from), u8::try_from(scale)) {
            (Some(Ok(digits @ 1..=MOST_DIGITS)), Ok(scale)) if scale <= digits => Kind::decimal(digits, scale),
            _ => Kind::Text,
        },
        (_, Meaning::ScaledDecimal) => BARE_NUMERIC,
        (_, Meaning::ZonedTimestamp | Meaning::Timestamp { .. }) => Kind::Timestamp,
        (_, Meaning::Date) => Kind::Date,
        (_, Meaning::Time { .. }) => Kind::Text,
        (Form::Boolean, _) => Kind::Bool,
        (Form::Int | Form::Long, _) => Kind::Int64,
        (Form::Float, _) => Kind::Float32,
        (Form::Double, _) => Kind::Float64,
        (Form::Bytes | Form::Fixed(_), _) => Kind::Binary,
        (Form::Optional { other, .. }, _) => kind(avro, *other),
        (Form::Null | Form::String | Form::Enum(_) | Form::Array(_) | Form::Map(_) | Form::Union(_) | Form::Record(_), _) => {
            Kind::Text
        }
    }
}

/// A value as a cell of a column; the error is the text of one that the column cannot hold.
pub fn cell<'a>(avro: &'a Avro, id: NodeId, value: &Value<'a>, column: Kind) -> Result<Cell<'a>, String> {
    let id = inner(avro, id);
    if *value == Value::Null {
        return Ok(Cell::Null);
    }
    if column == Kind::Text {
        return Ok(Cell::Text(text(avro, id, value)));
    }
    own_cell(avro.node(id).meaning, value)
        .map(|cell| widen(cell, column))
        .filter(|cell| cell.fits(column))
        .ok_or_else(|| text(avro, id, value).into_owned())
}

/// A union of null and another type is that type: reading has taken null out.
fn inner(avro: &Avro, id: NodeId) -> NodeId {
    match &avro.node(id).form {
        Form::Optional { other, .. } => *other,
        _ => id,
    }
}

/// A value as a cell of its own kind; `None` if it is beyond what that holds.
fn own_cell<'a>(meaning: Meaning, value: &Value<'a>) -> Option<Cell<'a>> {
    Some(match (meaning, value) {
        (Meaning::Decimal { scale, .. }, Value::Bytes(bytes)) => Cell::Decimal(decimal(bytes, scale)?),
        (Meaning::ScaledDecimal, Value::Items(items)) => match items[..] {
            [Value::Int(scale), Value::Bytes(bytes)] => Cell::Decimal(scaled(scale, bytes)?),
            _ => return None,
        },
        (Meaning::ZonedTimestamp, Value::Text(text)) => Cell::Timestamp(readable(instant::micros(text)?)?),
        (Meaning::Timestamp { per_second }, Value::Int(at)) => Cell::Timestamp(readable(micros(*at, per_second)?)?),
        (Meaning::Date, Value::Int(day)) => Cell::Date(i32::try_from(*day).ok().filter(|_| DAYS.contains(day))?),
        (_, Value::Bool(value)) => Cell::Bool(*value),
        (_, Value::Int(value)) => Cell::Int(*value),
        (_, Value::Float(value)) => Cell::Float(f64::from(*value)),
        (_, Value::Double(value)) => Cell::Float(*value),
        (_, Value::Bytes(bytes)) => Cell::Binary(bytes),
        _ => return None,
    })
}

/// A bare `NUMERIC`; a scale below zero becomes zeros.
fn scaled(scale: i64, bytes: &[u8]) -> Option<Decimal> {
    match i32::try_from(scale).ok()? {
        scale @ 0.. => decimal(bytes, scale),
        below => {
            let power = 10_i128.checked_pow(below.unsigned_abs())?;
            let unscaled = decimal(bytes, 0)?.unscaled.checked_mul(power)?;
            Some(Decimal { unscaled, scale: 0 })
        }
    }
}

fn micros(at: i64, per_second: i64) -> Option<i64> {
    match per_second {
        ..1_000_000 => at.checked_mul(1_000_000 / per_second),
        _ => Some(at.div_euclid(per_second / 1_000_000)),
    }
}

/// An instant in the years 1 to 9999.
fn readable(at_us: i64) -> Option<i64> {
    DAYS.contains(&at_us.div_euclid(DAY_US)).then_some(at_us)
}

/// A cell for a column whose kind was merged from several.
fn widen(cell: Cell<'_>, column: Kind) -> Cell<'_> {
    match (column, cell) {
        (Kind::Decimal { .. }, Cell::Int(value)) => Cell::Decimal(Decimal {
            unscaled: value.into(),
            scale: 0,
        }),
        (Kind::Timestamp, Cell::Date(day)) => Cell::Timestamp(i64::from(day) * DAY_US),
        (_, cell) => cell,
    }
}

/// A value as text: as the source sent it, or in the usual notation where it sent a number that stands for something else.
pub fn text<'a>(avro: &'a Avro, id: NodeId, value: &Value<'a>) -> Cow<'a, str> {
    let id = inner(avro, id);
    let node = avro.node(id);
    match (node.meaning, value) {
        (Meaning::Decimal { scale, .. }, Value::Bytes(bytes)) => plain(bytes, scale).into(),
        (Meaning::ScaledDecimal, Value::Items(items)) => match items[..] {
            [Value::Int(scale), Value::Bytes(bytes)] => plain(bytes, scale as i32).into(),
            _ => Cow::Borrowed(""),
        },
        (Meaning::Timestamp { per_second }, Value::Int(at)) => match micros(*at, per_second).and_then(readable) {
            Some(us) => Timestamp::from_microsecond(us)
                .map_or_else(|_| at.to_string(), |at| at.to_string())
                .into(),
            None => at.to_string().into(),
        },
        (Meaning::Date, Value::Int(day)) => day_text(*day).unwrap_or_else(|| day.to_string()).into(),
        (Meaning::Time { per_second }, Value::Int(at)) => time_text(*at, per_second).into(),
        (_, Value::Text(text)) => Cow::Borrowed(text),
        (_, Value::Bytes(bytes)) => hex(bytes).into(),
        _ => {
            let mut out = Vec::new();
            json(avro, id, value, &mut out);
            String::from_utf8(out).unwrap_or_default().into()
        }
    }
}

fn day_text(day: i64) -> Option<String> {
    let day = DAYS.contains(&day).then_some(day)?;
    let span = jiff::Span::new().try_days(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(span).ok().map(|date| date.to_string())
}

/// `24:00:00` is one, too.
fn time_text(at: i64, per_second: i64) -> String {
    let (seconds, rest) = (at.div_euclid(per_second), at.rem_euclid(per_second));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if rest != 0 {
        let places = per_second.ilog10() as usize;
        let _ = write!(text, ".{}", format!("{rest:0places$}").trim_end_matches('0'));
    }
    text
}

/// Bytes as Postgres shows them.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Appends a value as JSON. Decimals are texts: a reader's JSON may have no other numbers than floats.
pub fn json<'a>(avro: &'a Avro, id: NodeId, value: &Value<'a>, out: &mut Vec<u8>) {
    let id = inner(avro, id);
    let node = avro.node(id);
    match (&node.form, value) {
        (_, Value::Null) => out.extend_from_slice(b"null"),
        (_, Value::Bool(value)) => append(out, format_args!("{value}")),
        (Form::Int | Form::Long, Value::Int(value)) if node.meaning == Meaning::Plain => {
            append(out, format_args!("{value}"));
        }
        (_, Value::Float(value)) if value.is_finite() => append(out, format_args!("{value:?}")),
        (_, Value::Double(value)) if value.is_finite() => append(out, format_args!("{value:?}")),
        (_, Value::Float(value)) => json_text(&value.to_string(), out),
        (_, Value::Double(value)) => json_text(&value.to_string(), out),
        (Form::Union(variants), Value::Variant(place, value)) => match variants.get(*place) {
            Some(variant) => json(avro, *variant, value, out),
            None => out.extend_from_slice(b"null"),
        },
        (Form::Array(items), Value::Items(values)) => {
            list(b'[', b']', values, out, |value, out| json(avro, *items, value, out));
        }
        (Form::Map(values), Value::Entries(entries)) => list(b'{', b'}', entries, out, |(key, value), out| {
            json_text(key, out);
            out.push(b':');
            json(avro, *values, value, out);
        }),
        (Form::Record(record), Value::Items(values)) if node.meaning == Meaning::Plain => {
            list(b'{', b'}', record.fields.iter().zip(values), out, |(field, value), out| {
                out.extend_from_slice(&field.key);
                json(avro, field.node, value, out);
            });
        }
        _ => json_text(&text(avro, id, value), out),
    }
}

fn list<T>(open: u8, close: u8, items: impl IntoIterator<Item = T>, out: &mut Vec<u8>, mut item: impl FnMut(T, &mut Vec<u8>)) {
    out.push(open);
    for (place, each) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        item(each, out);
    }
    out.push(close);
}

/// Appends what is JSON as it is.
fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Memory takes it.
    let _ = out.write_fmt(text);
}

/// Appends a text as JSON.
pub fn json_text(text: &str, out: &mut Vec<u8>) {
    // Text is always JSON, and memory takes it.
    let _ = serde_json::to_writer(out, text);
}
