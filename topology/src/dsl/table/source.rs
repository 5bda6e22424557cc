//! Where tables begin.

use std::sync::Arc;

use wire::Topic;

use super::{Materialized, OldValues, RowStore, Rows, Table};
use crate::change::Change;
use crate::dsl::{Builder, Stream};
use crate::record::{Payload, Record};
use crate::store::{StoreKey, StoreValue, Timestamped};

impl Builder {
    /// A compacted topic as a table: each record is the newest value of its key, and a tombstone deletes it.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::Topic;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const DEAR: Topic<String, i64> = Topic::new("dear");
    ///
    /// let b = Builder::new("example");
    /// b.table(PRICES, "prices").filter(|_, price| *price > 100).to_stream().to_compacted(DEAR);
    /// b.build().unwrap();
    /// ```
    pub fn table<K: StoreKey, V: StoreValue>(&self, topic: Topic<K, V>, store: impl Into<Materialized>) -> Table<K, V> {
        self.changes(topic).to_table(store)
    }
}

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// The newest value of each key as a table, in a store of this name. A record of a stream of `Option`s that is `None` deletes its key.
    pub fn to_table<T: StoreValue>(&self, store: impl Into<Materialized>) -> Table<K, T>
    where
        V: Payload<T>,
    {
        let rows = RowStore::<K, T>::new(&store.into());
        let old = OldValues::known();
        let wanted = old.clone();
        let changes = self.stateful(
            format!("{}.table", rows.name()),
            rows.definitions(),
            move |record, stores, out| {
                let mut store = rows.open(stores);
                // What nobody asks for is not looked up.
                let old = match wanted.is_wanted() {
                    true => store.get(&record.key)?.map(|before| before.value),
                    false => None,
                };
                let change = Change::new(record.value.payload().cloned(), old);
                if let Some(change) = store.put(&record.key, change, record.timestamp_ms)? {
                    out.push(Record::new(record.key.clone(), change, record.timestamp_ms));
                }
                Ok(())
            },
        );
        Table::stored(changes, rows, old)
    }
}

/// Rows that are computed from those of a table.
pub(super) fn computed<K: 'static, V: 'static, VO>(
    rows: &Rows<K, V>,
    compute: impl Fn(&K, V) -> Option<VO> + Send + Sync + 'static,
) -> Rows<K, VO> {
    let look_up = rows.look_up.clone();
    Rows {
        stores: rows.stores.clone(),
        look_up: Arc::new(move |stores, key, at_ms| {
            let found = look_up(stores, key, at_ms)?;
            Ok(found.and_then(|row| Some(Timestamped::new(compute(key, row.value)?, row.timestamp_ms))))
        }),
        retention: None,
    }
}
