//! The engine's side of what a case has in it: values that may be null, and the processor of the Processor API's cases.

use std::ops::ControlFlow;
use std::time::Duration;

use topology::store::{KeyValue, Versioned};
use topology::{Context, Millis, Payload, ProcessError, Processor, Punctuation, PunctuationType, Record, Schedule};
use wire::{Codec, Wire, WireError};

/// A value that may be null: in a topic it is a tombstone then, in an internal one an empty value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maybe(pub Option<i64>);

impl Wire for Maybe {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.0.map_or(Ok(()), |value| value.encode(codec, out))
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        match bytes {
            [] => Ok(Self(None)),
            bytes => Ok(Self(Some(i64::decode(bytes, codec)?))),
        }
    }
}

impl Payload<i64> for Maybe {
    fn payload(&self) -> Option<&i64> {
        self.0.as_ref()
    }
}

/// Sums values by key and forwards each sum; a null value deletes the key. Every so often by the wall clock, all sums are forwarded in
/// the order of their keys. The Java side has the same in `Totals.java`.
pub struct Totals {
    pub every: Duration,
}

impl Totals {
    pub fn store(name: &str) -> KeyValue<String, i64> {
        KeyValue::named(name)
    }
}

impl Processor for Totals {
    type KeyIn = String;
    type In = Maybe;
    type KeyOut = String;
    type Out = Maybe;
    type Stores = KeyValue<String, i64>;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(self.every, PunctuationType::WallClockTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<String, Maybe>) -> Result<(), ProcessError> {
        let sum = match record.value.0 {
            None => None,
            Some(value) => Some(cx.stores.get(&record.key)?.unwrap_or(0).wrapping_add(value)),
        };
        match sum {
            Some(sum) => cx.stores.put(record.key.clone(), sum),
            None => cx.stores.delete(record.key.clone()),
        }
        cx.out.forward(record.key.clone(), Maybe(sum));
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, punctuation: Punctuation) -> Result<(), ProcessError> {
        let Context { stores, out, .. } = cx;
        stores.scan(.., |key, sum| {
            out.forward_record(Record::new(key, Maybe(Some(sum)), punctuation.timestamp_ms));
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// Asks a versioned store what a key had at a time, which comes as the value; the answer has the version's time.
pub struct AsOf;

impl Processor for AsOf {
    type KeyIn = String;
    type In = i64;
    type KeyOut = String;
    type Out = Maybe;
    type Stores = Versioned<String, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<String, i64>) -> Result<(), ProcessError> {
        if let Some(row) = cx.stores.get_as_of(&record.key, Millis(record.value))? {
            let version = Record::new(record.key.clone(), Maybe(Some(row.value)), row.timestamp_ms);
            cx.out.forward_record(version);
        }
        Ok(())
    }
}
