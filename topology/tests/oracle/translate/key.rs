//! Keys that may be null where a case has null keys, and texts where it has none.

use topology::dsl::{Rekeyed, Stream, Table};
use topology::{Context, ProcessError, Processor, Record};
use wire::{Topic, Wire};

use crate::value::Maybe;

pub trait Key: Wire + Clone {
    /// The key of a case.
    fn new(key: Option<String>) -> Self;
    fn text(&self) -> Option<String>;
    /// The records that have a key.
    fn narrow(stream: Stream<Self, Maybe>, name: &str) -> Stream<String, Maybe>;
    fn widen(stream: Stream<String, Maybe>, name: &str) -> Stream<Self, Maybe>;
    /// The same of streams with other keys.
    fn narrow_rekeyed(stream: &Rekeyed<Self, Maybe>, name: &str) -> Rekeyed<String, Maybe>;
    fn widen_rekeyed(stream: Rekeyed<String, Maybe>, name: &str) -> Rekeyed<Self, Maybe>;
    fn left_join(stream: &Stream<Self, i64>, table: &Rows, join: impl Join) -> Stream<Self, Maybe>;
    fn left_join_rekeyed(stream: &Rekeyed<Self, i64>, table: &Rows, name: &str, join: impl Join) -> Stream<Self, Maybe>;
}

type Rows = Table<String, i64>;

/// A joiner of values.
pub trait Join: Fn(i64, Option<i64>) -> Maybe + Clone + Send + Sync + 'static {}
impl<F: Fn(i64, Option<i64>) -> Maybe + Clone + Send + Sync + 'static> Join for F {}

impl Key for String {
    fn new(key: Option<String>) -> Self {
        key.expect("the case needs no null keys")
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }

    fn narrow(stream: Stream<Self, Maybe>, _: &str) -> Stream<String, Maybe> {
        stream
    }

    fn widen(stream: Stream<String, Maybe>, _: &str) -> Stream<Self, Maybe> {
        stream
    }

    fn narrow_rekeyed(stream: &Rekeyed<Self, Maybe>, _: &str) -> Rekeyed<String, Maybe> {
        stream.clone()
    }

    fn widen_rekeyed(stream: Rekeyed<String, Maybe>, _: &str) -> Rekeyed<Self, Maybe> {
        stream
    }

    fn left_join(stream: &Stream<Self, i64>, table: &Rows, join: impl Join) -> Stream<Self, Maybe> {
        stream.left_join(table, move |_, left, right| join(*left, right.copied()))
    }

    fn left_join_rekeyed(stream: &Rekeyed<Self, i64>, table: &Rows, name: &str, join: impl Join) -> Stream<Self, Maybe> {
        Self::left_join(&stream.repartition(Topic::named(name)), table, join)
    }
}

impl Key for Option<String> {
    fn new(key: Option<String>) -> Self {
        key
    }

    fn text(&self) -> Option<String> {
        self.clone()
    }

    fn narrow(stream: Stream<Self, Maybe>, name: &str) -> Stream<String, Maybe> {
        stream.process(name, (), || Narrow)
    }

    fn widen(stream: Stream<String, Maybe>, name: &str) -> Stream<Self, Maybe> {
        stream.process(name, (), || Widen)
    }

    fn narrow_rekeyed(stream: &Rekeyed<Self, Maybe>, name: &str) -> Rekeyed<String, Maybe> {
        stream.process(name, (), || Narrow)
    }

    fn widen_rekeyed(stream: Rekeyed<String, Maybe>, name: &str) -> Rekeyed<Self, Maybe> {
        stream.process(name, (), || Widen)
    }

    fn left_join(stream: &Stream<Self, i64>, table: &Rows, join: impl Join) -> Stream<Self, Maybe> {
        stream.left_join_optional(table, move |_, left, right| join(*left, right.copied()))
    }

    fn left_join_rekeyed(stream: &Rekeyed<Self, i64>, table: &Rows, name: &str, join: impl Join) -> Stream<Self, Maybe> {
        stream.left_join_optional(table, name, move |_, left, right| join(*left, right.copied()))
    }
}

/// Records without a key do not come to state. A processor, since it leaves the keys as they are: an operator could not say so.
struct Narrow;

impl Processor for Narrow {
    type KeyIn = Option<String>;
    type In = Maybe;
    type KeyOut = String;
    type Out = Maybe;
    type Stores = ();

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<Option<String>, Maybe>) -> Result<(), ProcessError> {
        if let Some(key) = &record.key {
            cx.out.forward(key.clone(), record.value);
        }
        Ok(())
    }
}

struct Widen;

impl Processor for Widen {
    type KeyIn = String;
    type In = Maybe;
    type KeyOut = Option<String>;
    type Out = Maybe;
    type Stores = ();

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<String, Maybe>) -> Result<(), ProcessError> {
        cx.out.forward(Some(record.key.clone()), record.value);
        Ok(())
    }
}
