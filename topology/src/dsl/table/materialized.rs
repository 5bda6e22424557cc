//! A table whose rows are kept in a store of their own.

use super::{Materialized, OldValues, RowStore, Table};
use crate::change::Change;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Keeps the rows in a store of this name, which queries can ask, and which need not be computed again.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::store::TimestampedKeyValue;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    ///
    /// let b = Builder::new("example");
    /// b.table(PRICES, "prices").filter(|_, price| *price > 100).materialized("dear");
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(PRICES, 7, &"tea".to_owned(), Some(&120));
    /// let rows = driver.view(TimestampedKeyValue::<String, i64>::new("dear"));
    /// assert_eq!((rows[0].1.value, rows[0].1.timestamp_ms.0), (120, 7));
    /// ```
    pub fn materialized(&self, store: impl Into<Materialized>) -> Self {
        let rows = RowStore::<K, V>::new(&store.into());
        let old = OldValues::known();
        let (wanted, is_filter) = (old.clone(), self.all_changes.is_some());
        let changes = self.all_changes.as_ref().unwrap_or(&self.changes).stateful(
            format!("{}.table", rows.name()),
            rows.definitions(),
            move |record, stores, out| {
                let mut store = rows.open(stores);
                let before = match is_filter || wanted.is_wanted() {
                    true => store.get(&record.key)?.map(|before| before.value),
                    false => None,
                };
                let new = record.value.new.clone();
                if before.is_none() && new.is_none() && is_filter {
                    return Ok(());
                }
                let change = Change::new(new, before.filter(|_| wanted.is_wanted()));
                if let Some(change) = store.put(&record.key, change, record.timestamp_ms)? {
                    out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
                }
                Ok(())
            },
        );
        Self::stored(changes, rows, old)
    }
}
