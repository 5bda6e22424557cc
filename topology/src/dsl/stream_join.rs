//! Records of a stream, with what a table has of their key.

use wire::Wire;

use super::table::Table;
use super::{Rekeyed, Stream};
use crate::record::{Payload, Record};
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// Joins each record with the table's row of its key, as it is when the record comes; with a versioned table
    /// ([`Builder::versioned_table`](super::Builder::versioned_table)), as it was at the record's event time. Drops those whose key has none.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
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

/// Streams whose records may have no key.
impl<K: StoreKey, V: Send + 'static> Stream<Option<K>, V> {
    /// As [`Stream::left_join`]; a record without a key is joined with `None`.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const RATES: Topic<i64, i64> = Topic::new("rates");
    /// const SALES: Topic<Option<i64>, i64> = Topic::new("sales");
    /// const EUROS: Topic<Option<i64>, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// let rates = b.table(RATES, "rates");
    /// b.stream(SALES).left_join_optional(&rates, |_, sale, rate| sale * rate.unwrap_or(&1)).to(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(RATES, 0, &1, Some(&2));
    /// driver.send(SALES, 1, &Some(1), Some(&10));
    /// driver.send(SALES, 2, &None, Some(&10));
    /// let mut euros: Vec<_> = driver.drain(EUROS).into_iter().map(|record| record.value).collect();
    /// euros.sort();
    /// assert_eq!(euros, [Some(10), Some(20)]);
    /// ```
    pub fn left_join_optional<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        join: impl Fn(Option<&K>, &V, Option<&T>) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<Option<K>, VO> {
        let look_up = table.rows.look_up.clone();
        let name = self.name_after("join");
        self.stateful(name, table.rows.stores.clone(), move |record, stores, out| {
            let key = record.key.as_ref();
            let row = match key {
                Some(key) => look_up(stores, key, Some(record.timestamp_ms))?,
                None => None,
            };
            let value = join(key, &record.value, row.as_ref().map(|row| &row.value));
            out.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            Ok(())
        })
    }
}

impl<K: StoreKey, V: Wire + Payload<V>> Rekeyed<Option<K>, V> {
    /// As [`Stream::left_join_optional`], once the records have come to the partitions of their keys through the topic
    /// `<application>-<name>-repartition`.
    pub fn left_join_optional<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        name: &str,
        join: impl Fn(Option<&K>, &V, Option<&T>) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<Option<K>, VO> {
        let topic = self.stream.repartition_topic(name);
        self.repartition(topic).left_join_optional(table, join)
    }
}
