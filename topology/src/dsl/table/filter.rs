//! The rows of a table that a condition accepts.

use super::source::computed;
use super::{OldValues, Table};
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// The rows that `keep` accepts. One that it does not accept any more is deleted.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const DEAR: Topic<String, i64> = Topic::new("dear");
    ///
    /// let b = Builder::new("example");
    /// b.table(PRICES, "prices").filter(|_, price| *price > 100).to_stream().to_compacted(DEAR);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(PRICES, 0, &"tea".to_owned(), Some(&120));
    /// driver.send(PRICES, 1, &"tea".to_owned(), Some(&90));
    /// let dear: Vec<_> = driver.drain(DEAR).into_iter().map(|record| record.value).collect();
    /// assert_eq!(dear, [Some(120), None]);
    /// ```
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Self {
        let old = OldValues::of(vec![self.old.clone()]);
        // All tables are computed from stored ones, so old values are known, and rows that never were there are not deleted.
        old.want();
        let accepts = keep.clone();
        let all_changes = self.changes.on_changes("filter", move |record, out| {
            let change = record
                .value
                .map(|value| Some(value.clone()).filter(|value| accepts(&record.key, value)));
            out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
        });
        let changes = all_changes.on_changes("changed", |record, out| {
            if !record.value.is_empty() {
                out.push(record.clone());
            }
        });
        Self {
            changes,
            rows: computed(&self.rows, move |key, value| Some(value).filter(|value| keep(key, value))),
            old,
            all_changes: Some(all_changes),
        }
    }

    /// The rows that `drop` does not accept.
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !drop(key, value))
    }
}
