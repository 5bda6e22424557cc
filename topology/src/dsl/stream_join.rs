//! Records of a stream, with what a table has of their key.

use super::Stream;
use super::table::Table;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// Joins each record with the table's row of its key, as it is when the record comes; with a versioned table
    /// ([`Builder::versioned_table`](super::Builder::versioned_table)), as it was at the record's event time. Drops those whose key has none.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use wire::Topic;
    ///
    /// const RATES: Topic<String, i64> = Topic::new("rates");
    /// const SALES: Topic<String, i64> = Topic::new("sales");
    /// const EUROS: Topic<String, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// let rates = b.table(RATES, "rates");
    /// b.stream(SALES).join(&rates, |_, sale, rate| sale * rate).to(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(SALES, 0, &"USD".to_owned(), Some(&10));
    /// driver.send(RATES, 1, &"USD".to_owned(), Some(&2));
    /// driver.send(SALES, 2, &"USD".to_owned(), Some(&10));
    /// let euros: Vec<_> = driver.drain(EUROS).into_iter().map(|record| record.value).collect();
    /// assert_eq!(euros, [Some(20)]);
    /// ```
    pub fn join<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        join: impl Fn(&K, &V, &T) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        self.join_table(table, move |key, value, row| Some(join(key, value, row?)))
    }

    /// The same, with `None` where the table has no row of the key.
    pub fn left_join<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        join: impl Fn(&K, &V, Option<&T>) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        self.join_table(table, move |key, value, row| Some(join(key, value, row)))
    }

    fn join_table<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        join: impl Fn(&K, &V, Option<&T>) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        let look_up = table.rows.look_up.clone();
        let name = self.name_after("join");
        self.stateful(name, table.rows.stores.clone(), move |record, stores, out| {
            let row = look_up(stores, &record.key, Some(record.timestamp_ms))?;
            if let Some(value) = join(&record.key, &record.value, row.as_ref().map(|row| &row.value)) {
                out.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            }
            Ok(())
        })
    }
}
