//! Records. A struct that has the schema's fields in the schema's order is written straight through.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct, SerializeStructVariant};

use super::blocks::Entries;
use super::fit::Shape;
use super::scalar;
use super::{Encoder, State};
use crate::avro::error::{Error, Result};
use crate::avro::plan::{Field, Node, Record};

/// Named values: of a record, or of a map.
pub(crate) struct Fields<'s, 'a>(Target<'s, 'a>);

enum Target<'s, 'a> {
    Record(Ordered<'s, 'a>),
    Map(Entries<'s, 'a>),
}

/// A record's fields.
struct Ordered<'s, 'a> {
    state: &'s mut State<'a>,
    record: &'a Record,
    /// Fields before this one are written, in their order.
    next: usize,
    /// What came out of order.
    strays: Option<Box<Strays>>,
    /// A map's key, whose value comes next.
    key: Option<String>,
}

struct Strays {
    /// Where in the buffer they begin.
    start: usize,
    /// Field, and where its bytes lie after the start.
    spans: Vec<(usize, std::ops::Range<usize>)>,
}

impl<'s, 'a> Fields<'s, 'a> {
    #[inline(always)]
    pub(super) fn new(encoder: Encoder<'s, 'a>, shape: Shape<'_>) -> Result<Self> {
        match encoder.node {
            Node::Record(record) => Ok(Self(Target::Record(Ordered {
                state: encoder.state,
                record,
                next: 0,
                strays: None,
                key: None,
            }))),
            Node::Map(values) => Ok(Self(Target::Map(Entries::new(encoder.state, *values)))),
            _ => Err(encoder.refused(shape)),
        }
    }

    #[inline(always)]
    fn end(self) -> Result<()> {
        match self.0 {
            Target::Record(ordered) => ordered.end(),
            Target::Map(entries) => {
                entries.end();
                Ok(())
            }
        }
    }
}

impl Ordered<'_, '_> {
    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        match self.record.fields.get(self.next) {
            Some(field) if self.strays.is_none() && field.is(key) => {
                self.next += 1;
                self.write(field, value)
            }
            _ => self.stray(key, value),
        }
    }

    #[inline(always)]
    fn write<T: Serialize + ?Sized>(&mut self, field: &Field, value: &T) -> Result<()> {
        let written = value.serialize(self.state.at(field.node));
        written.map_err(|error| error.within(&field.name))
    }

    #[inline(never)]
    fn stray<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        let index = self.record.index_of(key);
        let index = index.ok_or_else(|| Error::new(format!("{} has no field {key}", self.record.name)))?;
        let start = self.state.out.len();
        let strays = self.strays.get_or_insert_with(|| {
            Box::new(Strays {
                start,
                spans: Vec::new(),
            })
        });
        let from = start - strays.start;
        if index < self.next || strays.spans.iter().any(|(field, _)| *field == index) {
            return Err(Error::new(format!("field {key} comes twice")));
        }
        self.write(&self.record.fields[index], value)?;
        if let Some(strays) = &mut self.strays {
            strays.spans.push((index, from..self.state.out.len() - strays.start));
        }
        Ok(())
    }

    #[inline(always)]
    fn end(self) -> Result<()> {
        match self.strays.is_none() && self.next == self.record.fields.len() {
            true => Ok(()),
            false => self.complete(),
        }
    }

    /// Puts what came out of order in its place, and defaults where nothing came.
    fn complete(self) -> Result<()> {
        let (late, spans) = match self.strays {
            Some(strays) => (self.state.out.split_off(strays.start), strays.spans),
            None => (Vec::new(), Vec::new()),
        };
        for (index, field) in self.record.fields.iter().enumerate().skip(self.next) {
            let span = spans.iter().find(|(field, _)| *field == index);
            let bytes = match (span, &field.default) {
                (Some((_, span)), _) => &late[span.clone()],
                (None, Some(default)) => default,
                (None, None) => return Err(Error::new(format!("field {} is missing", field.name))),
            };
            self.state.out.extend_from_slice(bytes);
        }
        Ok(())
    }
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        match &mut self.0 {
            Target::Record(ordered) => ordered.field(key, value),
            Target::Map(entries) => {
                entries.key(key)?;
                entries.value(value)
            }
        }
    }

    #[inline(always)]
    fn end(self) -> Result<()> {
        Fields::end(self)
    }
}

impl SerializeStructVariant for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        SerializeStruct::serialize_field(self, key, value)
    }

    fn end(self) -> Result<()> {
        Fields::end(self)
    }
}

impl SerializeMap for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        match &mut self.0 {
            Target::Record(ordered) => {
                ordered.key = Some(scalar::text(key)?);
                Ok(())
            }
            Target::Map(entries) => entries.key(key),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        match &mut self.0 {
            Target::Record(ordered) => match ordered.key.take() {
                Some(key) => ordered.stray(&key, value),
                None => Err(Error::new("a value without a key")),
            },
            Target::Map(entries) => entries.value(value),
        }
    }

    fn end(self) -> Result<()> {
        Fields::end(self)
    }
}
