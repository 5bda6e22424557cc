//! A processor's own store as a table.

use std::sync::Arc;

use clock::Millis;

use super::{OldValues, Rows, Table, definitions};
use crate::change::Change;
use crate::dsl::Stream;
use crate::store::{KeyValue, StoreKey, StoreValue, Timestamped};

impl<K: StoreKey, V: StoreValue> Stream<K, Change<V>> {
    /// The changes that a processor makes to a store of its own, as a table whose rows are in that store: nothing is kept twice, and a store
    /// that is [backed by](KeyValue::backed_by) a public topic stays so.
    ///
    /// The processor forwards a change for each that it makes, with what the store had before as `old`, and changes a key once at most while it
    /// handles a record: what is behind looks up rows as they are after all of it. The rows themselves have no event times; what is made
    /// of one has that of the change that made it.
    ///
    /// Kafka Streams has no word for it: there, `process(..).toTable()` keeps a second store with a changelog of its own.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::store::KeyValue;
    /// use topology::testing::TestDriver;
    /// use topology::{Change, Context, ProcessError, Processor, Record, Topic};
    ///
    /// // What is put on shelves, and how many shelves have some ten, twenty, thirty …
    /// const MOVES: Topic<i64, i64> = Topic::new("moves");
    /// const TENS: Topic<i64, i64> = Topic::new("tens");
    /// const STOCK: KeyValue<i64, i64> = KeyValue::new("stock");
    ///
    /// struct Stock;
    ///
    /// impl Processor for Stock {
    ///     type KeyIn = i64;
    ///     type In = i64;
    ///     type KeyOut = i64;
    ///     type Out = Change<i64>;
    ///     type Stores = KeyValue<i64, i64>;
    ///
    ///     fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
    ///         let before = cx.stores.get(&record.key)?;
    ///         let now = before.unwrap_or(0) + record.value;
    ///         cx.stores.put(record.key, now);
    ///         cx.out.forward(record.key, Change::new(Some(now), before));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let b = Builder::new("example");
    /// let stock = b.stream(MOVES).process("stock", STOCK, || Stock).as_table(STOCK);
    /// stock.group_by(|_, count| (*count / 10, *count), "by-tens").count("by-tens").to_stream().to_compacted(TENS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// [(1, 12), (2, 15), (1, 20)].iter().for_each(|(shelf, count)| driver.send(MOVES, 0, shelf, Some(count)));
    /// let tens = driver.drain(TENS).into_iter().filter(|record| record.key == 1).map(|record| record.value.unwrap());
    /// assert_eq!(tens.collect::<Vec<_>>(), [1, 2, 1]);
    /// ```
    pub fn as_table(&self, store: KeyValue<K, V>) -> Table<K, V> {
        Table {
            changes: self.clone(),
            rows: Rows {
                stores: definitions(store),
                look_up: Arc::new(move |stores, key, _| {
                    let row = stores.get(store).get(key)?;
                    Ok(row.map(|value| Timestamped::new(value, Millis(0))))
                }),
                retention: None,
            },
            // The processor tells what there was in any case.
            old: OldValues::known(),
            all_changes: None,
        }
    }
}
