//! A table's changes as a stream.

use super::Table;
use crate::dsl::Stream;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// What each key has from now on: `None` where it is deleted. See [`Table::filter`] for an example.
    pub fn to_stream(&self) -> Stream<K, Option<V>> {
        self.changes.on_changes("to_stream", |record, out| {
            out.push(Record::new(record.key.clone(), record.value.new.clone(), record.timestamp_ms));
        })
    }
}
