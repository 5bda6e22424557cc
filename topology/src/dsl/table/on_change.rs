//! Updates that change nothing end here.

use super::{Materialized, OldValues, RowStore, Table};
use crate::change::Change;
use crate::dsl::Stream;
use crate::record::{Payload, Record};
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue + PartialEq> Table<K, V> {
    /// The same rows, of whose updates those go on that change something. It pays behind a [`Table::map_values`] that leaves out what changes
    /// most, and before a repartition topic, a join or an output.
    ///
    /// Kafka Streams has it for no operator of its DSL (KIP-557 was taken back for all but the reading of a table).
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const CENTS: Topic<String, i64> = Topic::new("cents");
    /// const EUROS: Topic<String, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// b.table(CENTS, "cents").map_values(|_, cents| cents / 100).on_change().to_stream().to_compacted(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// [1_210, 1_250, 1_300].iter().for_each(|cents| driver.send(CENTS, 0, &"tea".to_owned(), Some(cents)));
    /// let euros: Vec<_> = driver.drain(EUROS).into_iter().map(|record| record.value.unwrap()).collect();
    /// assert_eq!(euros, [12, 13]);
    /// ```
    pub fn on_change(&self) -> Self {
        let old = OldValues::of(vec![self.old.clone()]);
        old.want();
        let changes = self.changes.on_changes("on_change", |record, out| {
            if record.value.old != record.value.new {
                out.push(record.clone());
            }
        });
        Self {
            changes,
            rows: self.rows.clone(),
            old,
            all_changes: None,
        }
    }
}

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// As [`Stream::to_table`], for records that often say what is known: one that has the row's value as it is writes nothing, to the store or
    /// its changelog, and nothing behind the table hears of it. The row keeps the event time of the last record that changed it.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const VISITS: Topic<i64, String> = Topic::new("visits");
    /// const CITIES: Topic<i64, String> = Topic::new("cities");
    ///
    /// let b = Builder::new("example");
    /// b.changes(VISITS).to_table_on_change("cities").to_stream().to_compacted(CITIES);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// ["Bonn", "Bonn", "Ulm"].iter().for_each(|city| driver.send(VISITS, 0, &1, Some(&city.to_string())));
    /// assert_eq!(driver.drain(CITIES).len(), 2);
    /// ```
    pub fn to_table_on_change<T: StoreValue + PartialEq>(&self, store: &str) -> Table<K, T>
    where
        V: Payload<T>,
    {
        let rows = RowStore::<K, T>::new(&Materialized::named(store));
        let name = format!("{}.table", rows.name());
        let changes = self.stateful(name, rows.definitions(), move |record, stores, out| {
            let mut store = rows.open(stores);
            let before = store.get(&record.key)?.map(|before| before.value);
            let now = record.value.payload();
            if before.as_ref() == now {
                return Ok(());
            }
            let change = Change::new(now.cloned(), before);
            if let Some(change) = store.put(&record.key, change, record.timestamp_ms)? {
                out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
            }
            Ok(())
        });
        Table::stored(changes, rows, OldValues::known())
    }
}
