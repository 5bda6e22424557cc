//! Records.

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::state::{Decoder, State};
use crate::avro::error::{Error, Result};
use crate::avro::found::{View, Wanted};
use crate::avro::plan::{Field, Record};

impl<'a, 'de> Decoder<'_, 'a, 'de> {
    /// A record, as a struct with these names of its fields.
    #[inline(always)]
    pub(super) fn fields<V: Visitor<'de>>(
        self,
        record: &'a Record,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let view = record.view(self.state.plan, names);
        self.state.enter()?;
        let value = match view.in_order {
            true => Positional::visit(self.state, view, visitor)?,
            false => Keyed::visit(self.state, view, visitor)?,
        };
        self.state.leave();
        Ok(value)
    }
}

/// The wanted fields one after the other.
struct Wants<'s, 'a, 'de> {
    state: &'s mut State<'a, 'de>,
    wanted: std::slice::Iter<'a, Wanted>,
}

impl<'s, 'a, 'de> Wants<'s, 'a, 'de> {
    #[inline(always)]
    fn new(state: &'s mut State<'a, 'de>, view: &'a View) -> Self {
        Self {
            state,
            wanted: view.wanted.iter(),
        }
    }

    #[inline(always)]
    fn read<S: DeserializeSeed<'de>>(&mut self, wanted: &Wanted, seed: S) -> Result<S::Value> {
        self.state.skip(&wanted.before)?;
        let value = seed.deserialize(self.state.at(wanted.node));
        value.map_err(|error| error.within(wanted.name))
    }

    /// Steps over the rest.
    #[inline(always)]
    fn end(self, view: &View) -> Result<()> {
        match self.wanted.as_slice().first() {
            None => self.state.skip(&view.tail),
            Some(wanted) => Err(left(wanted.name)),
        }
    }
}

#[cold]
fn left(name: &str) -> Error {
    Error::new(format!("the type did not take field {name}"))
}

/// A struct all of whose names the record has, in their order, is read as a sequence: no key is looked at.
///
/// Names of fields and aliases are one list. A struct with an alias takes fewer values than it has names, so one is left in the
/// end, and it is refused; as is right, because its record has the same field by two names.
pub(super) struct Positional<'s, 'a, 'de>(Wants<'s, 'a, 'de>);

impl<'s, 'a, 'de> Positional<'s, 'a, 'de> {
    #[inline(always)]
    pub fn visit<V: Visitor<'de>>(state: &'s mut State<'a, 'de>, view: &'a View, visitor: V) -> Result<V::Value> {
        let mut access = Self(Wants::new(state, view));
        let value = visitor.visit_seq(&mut access)?;
        access.0.end(view)?;
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for &mut Positional<'_, '_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.0.wanted.next() {
            Some(wanted) => self.0.read(wanted, seed).map(Some),
            None => Ok(None),
        }
    }
}

/// Any other struct.
pub(super) struct Keyed<'s, 'a, 'de> {
    wants: Wants<'s, 'a, 'de>,
    current: Option<&'a Wanted>,
}

impl<'s, 'a, 'de> Keyed<'s, 'a, 'de> {
    #[inline(always)]
    pub fn visit<V: Visitor<'de>>(state: &'s mut State<'a, 'de>, view: &'a View, visitor: V) -> Result<V::Value> {
        let mut access = Self {
            wants: Wants::new(state, view),
            current: None,
        };
        let value = visitor.visit_map(&mut access)?;
        access.wants.end(view)?;
        Ok(value)
    }
}

impl<'de> MapAccess<'de> for &mut Keyed<'_, '_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.current = self.wants.wanted.next();
        let key = self.current.map(|wanted| BorrowedStrDeserializer::<Error>::new(wanted.name));
        key.map(|key| seed.deserialize(key)).transpose()
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let wanted = self.current.take().ok_or_else(without_key)?;
        self.wants.read(wanted, seed)
    }
}

#[cold]
fn without_key() -> Error {
    Error::new("a value was asked for before its key")
}

/// What asks for any map gets all fields.
pub(super) struct All<'s, 'a, 'de> {
    state: &'s mut State<'a, 'de>,
    fields: std::slice::Iter<'a, Field>,
    current: Option<&'a Field>,
}

impl<'s, 'a, 'de> All<'s, 'a, 'de> {
    pub fn visit<V: Visitor<'de>>(decoder: Decoder<'s, 'a, 'de>, record: &'a Record, visitor: V) -> Result<V::Value> {
        decoder.state.enter()?;
        let mut access = Self {
            state: decoder.state,
            fields: record.fields.iter(),
            current: None,
        };
        let value = visitor.visit_map(&mut access)?;
        access.state.leave();
        match access.fields.as_slice().first() {
            None => Ok(value),
            Some(field) => Err(left(&field.name)),
        }
    }
}

impl<'de> MapAccess<'de> for &mut All<'_, '_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.current = self.fields.next();
        let key = self.current.map(|field| StrDeserializer::<Error>::new(&field.name));
        key.map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let field = self.current.take().ok_or_else(without_key)?;
        let value = seed.deserialize(self.state.at(field.node));
        value.map_err(|error| error.within(&field.name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}
