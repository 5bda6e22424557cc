//! Records of a key, gathered: [`Grouped::count`], [`Grouped::reduce`], [`Grouped::aggregate`].

use std::sync::Arc;

use wire::Wire;

use super::table::{Materialized, OldValues, RowStore, Table, from_first, from_init, later_ms};
use super::{Rekeyed, Stream};
use crate::change::Change;
use crate::record::{Payload, Record};
use crate::store::{StoreKey, StoreValue};

/// A stream whose records are gathered by key.
pub struct Grouped<K, V> {
    pub(super) stream: Stream<K, V>,
}

impl<K, V> Clone for Grouped<K, V> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
        }
    }
}

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// Gathers the records by the key that they have.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const SALES: Topic<String, i64> = Topic::new("sales");
    /// const TOTALS: Topic<String, i64> = Topic::new("totals");
    ///
    /// let b = Builder::new("example");
    /// let sales = b.stream(SALES).group_by_key();
    /// sales.reduce("totals", |sum, sale| sum + sale).to_stream().to_compacted(TOTALS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(SALES, 0, &"tea".to_owned(), Some(&3));
    /// driver.send(SALES, 1, &"tea".to_owned(), Some(&4));
    /// let totals: Vec<_> = driver.drain(TOTALS).into_iter().map(|record| record.value).collect();
    /// assert_eq!(totals, [Some(3), Some(7)]);
    /// ```
    pub fn group_by_key(&self) -> Grouped<K, V> {
        Grouped { stream: self.clone() }
    }
}

impl<K: Clone + Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Gathers the records by another key: they go through the topic `<application>-<name>-repartition`.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const LINES: Topic<i64, String> = Topic::new("lines");
    /// const COUNTS: Topic<String, i64> = Topic::new("counts");
    ///
    /// let b = Builder::new("word-count");
    /// b.stream(LINES)
    ///     .flat_map_values(|_, line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
    ///     .group_by(|_, word| word.clone(), "words")
    ///     .count("counts")
    ///     .to_stream()
    ///     .to_compacted(COUNTS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(LINES, 0, &1, Some(&"to be or not to be".to_owned()));
    /// let counts = driver.drain(COUNTS);
    /// let of_be: Vec<_> = counts.into_iter().filter(|record| record.key == "be").map(|record| record.value).collect();
    /// assert_eq!(of_be, [Some(1), Some(2)]);
    /// ```
    pub fn group_by<KO: StoreKey>(&self, key: impl Fn(&K, &V) -> KO + Clone + Send + Sync + 'static, name: &str) -> Grouped<KO, V>
    where
        V: Wire + Clone + Payload<V>,
    {
        self.select_key(key).group_by_key(name)
    }
}

impl<K: StoreKey, V: Wire + Payload<V>> Rekeyed<K, V> {
    /// Gathers the records by the key that they were given: they go through the topic `<application>-<name>-repartition`.
    pub fn group_by_key(&self, name: &str) -> Grouped<K, V> {
        Grouped {
            stream: self.repartition(self.stream.repartition_topic(name)),
        }
    }
}

impl<K: StoreKey, V: Send + 'static> Grouped<K, V> {
    /// How many records each key has had, as a table in a store of this name. See [`Stream::group_by`] for an example.
    pub fn count(&self, store: impl Into<Materialized>) -> Table<K, i64> {
        self.aggregate(store, || 0, |_, _, count| Some(count + 1))
    }

    /// What `add` makes of all records of a key, one after the other, beginning with what `init` makes; `None` deletes the row, and the next
    /// record begins anew. A row has the highest event time of its records.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const WORDS: Topic<String, String> = Topic::new("words");
    /// const LENGTHS: Topic<String, i64> = Topic::new("lengths");
    ///
    /// let b = Builder::new("example");
    /// let lengths = b.stream(WORDS).group_by_key().aggregate("lengths", || 0, |_, word, sum| Some(sum + word.len() as i64));
    /// lengths.to_stream().to_compacted(LENGTHS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(WORDS, 0, &"a".to_owned(), Some(&"apple".to_owned()));
    /// driver.send(WORDS, 1, &"a".to_owned(), Some(&"ant".to_owned()));
    /// assert_eq!(driver.drain(LENGTHS).pop().unwrap().value, Some(8));
    /// ```
    pub fn aggregate<T: StoreValue>(
        &self,
        store: impl Into<Materialized>,
        init: impl Fn() -> T + Clone + Send + Sync + 'static,
        add: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static,
    ) -> Table<K, T> {
        self.fold(store.into(), from_init(init, add))
    }

    /// The same, where the first record is what it begins with: `add` gets what there is, and the next record. It may make an `Option`,
    /// whose `None` deletes the row.
    pub fn reduce<R: Into<Option<V>>>(
        &self,
        store: impl Into<Materialized>,
        add: impl Fn(&V, &V) -> R + Clone + Send + Sync + 'static,
    ) -> Table<K, V>
    where
        V: StoreValue,
    {
        self.fold(store.into(), from_first(add))
    }

    fn fold<T: StoreValue>(
        &self,
        store: Materialized,
        add: impl Fn(&K, &V, Option<T>) -> Option<T> + Clone + Send + Sync + 'static,
    ) -> Table<K, T> {
        let rows = RowStore::<K, T>::new(&store);
        let old = OldValues::known();
        let changes = self.folded(format!("{}.table", rows.name()), rows, &old, add);
        Table::stored(changes, rows, old)
    }

    /// What comes of each record, in a store that others may write to as well.
    pub(super) fn folded<T: StoreValue>(
        &self,
        name: String,
        rows: RowStore<K, T>,
        old: &Arc<OldValues>,
        add: impl Fn(&K, &V, Option<T>) -> Option<T> + Clone + Send + Sync + 'static,
    ) -> Stream<K, Change<T>> {
        let wanted = old.clone();
        self.stream.stateful(name, rows.definitions(), move |record, stores, out| {
            let mut store = rows.open(stores);
            let before = store.get(&record.key)?;
            let old = before.as_ref().filter(|_| wanted.is_wanted()).map(|row| row.value.clone());
            let at_ms = later_ms(before.as_ref(), record.timestamp_ms);
            let new = add(&record.key, &record.value, before.map(|row| row.value));
            if let Some(change) = store.put(&record.key, Change::new(new, old), at_ms)? {
                out.push(Record::new(record.key.clone(), change, at_ms));
            }
            Ok(())
        })
    }
}
