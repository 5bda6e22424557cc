//! A table whose rows are kept in a store of their own.

use super::{OldValues, Table, definitions, put};
use crate::change::Change;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue, TimestampedKeyValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Keeps the rows in a store of this name, which queries can ask, and which need not be computed again.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::store::TimestampedKeyValue;
    /// use topology::testing::TestDriver;
    /// use wire::Topic;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    ///
    /// let b = Builder::new("example");
    /// b.table(PRICES, "prices").filter(|_, price| *price > 100).materialized("dear");
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(PRICES, 7, &"tea".to_owned(), Some(&120));
    /// let rows = driver.view(TimestampedKeyValue::<String, i64>::new("dear"));
    /// assert_eq!((rows[0].1.value, rows[0].1.timestamp_ms), (120, 7));
    /// ```
    pub fn materialized(&self, store: &str) -> Self {
        let rows = TimestampedKeyValue::<K, V>::named(store);
        let old = OldValues::known();
        let (wanted, is_filter) = (old.clone(), self.all_changes.is_some());
        let changes = self.all_changes.as_ref().unwrap_or(&self.changes).stateful(
            format!("{store}.table"),
            definitions(rows),
            move |record, stores, out| {
                let store = stores.get(rows);
                let before = match is_filter || wanted.is_wanted() {
                    true => store.get(&record.key)?.map(|before| before.value),
                    false => None,
                };
                let new = record.value.new.clone();
                if before.is_none() && new.is_none() && is_filter {
                    return Ok(());
                }
                put(store, &record.key, new.as_ref(), record.timestamp_ms);
                let change = Change::new(new, before.filter(|_| wanted.is_wanted()));
                out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
                Ok(())
            },
        );
        Self::stored(changes, rows, old)
    }
}
