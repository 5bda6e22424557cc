//! A table with other values.

use super::source::computed;
use super::{OldValues, Table};
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Makes another value of each.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const CENTS: Topic<String, i64> = Topic::new("cents");
    /// const EUROS: Topic<String, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// b.table(CENTS, "cents").map_values(|_, cents| cents / 100).to_stream().to_compacted(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(CENTS, 0, &"tea".to_owned(), Some(&1_200));
    /// assert_eq!(driver.drain(EUROS)[0].value, Some(12));
    /// ```
    pub fn map_values<VO: StoreValue>(&self, map: impl Fn(&K, &V) -> VO + Clone + Send + Sync + 'static) -> Table<K, VO> {
        self.mapped("map_values", move |key, value| Some(map(key, value)))
    }

    /// Makes another value of some; rows of which it makes `None` are not in the table.
    pub fn filter_map_values<VO: StoreValue>(
        &self,
        map: impl Fn(&K, &V) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.mapped("filter_map_values", map)
    }

    fn mapped<VO: StoreValue>(
        &self,
        operator: &str,
        map: impl Fn(&K, &V) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        let compute = map.clone();
        let changes = self.changes.on_changes(operator, move |record, out| {
            let change = record.value.map(|value| map(&record.key, value));
            out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
        });
        Table {
            changes,
            rows: computed(&self.rows, move |key, value| compute(key, &value)),
            old: OldValues::of(vec![self.old.clone()]),
            all_changes: None,
        }
    }
}
