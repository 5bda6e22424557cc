//! Records of several streams, gathered by key into one row.

use std::sync::Arc;

use super::table::{Materialized, OldValues, RowStore, Table};
use super::{Grouped, Stream};
use crate::change::Change;
use crate::store::{StoreKey, StoreValue};

/// What a row begins with.
type Init<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// Adds a stream's step; told its name, the store, who asks for old values, and what a row begins with.
type AddStep<K, T> = Box<dyn Fn(String, RowStore<K, T>, &Arc<OldValues>, Init<T>) -> Stream<K, Change<T>>>;

/// Grouped streams that make rows together.
pub struct Cogrouped<K, T> {
    steps: Vec<AddStep<K, T>>,
}

impl<K: StoreKey, V: Send + 'static> Grouped<K, V> {
    /// Begins a row of several streams: what `add` makes of this one's records. See [`Cogrouped::aggregate`] for an example.
    pub fn cogroup<T: StoreValue>(&self, add: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static) -> Cogrouped<K, T>
    where
        K: 'static,
        V: 'static,
    {
        Cogrouped { steps: Vec::new() }.cogroup(self, add)
    }
}

impl<K: StoreKey, T: StoreValue> Cogrouped<K, T> {
    /// The same of another stream's records.
    pub fn cogroup<V: Send + 'static>(
        mut self,
        other: &Grouped<K, V>,
        add: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static,
    ) -> Self {
        let grouped = other.clone();
        self.steps.push(Box::new(move |name, rows, old, init| {
            let add = add.clone();
            grouped.folded(name, rows, old, move |key, value, before| {
                add(key, value, before.unwrap_or_else(|| init()))
            })
        }));
        self
    }

    /// The rows, each beginning with what `init` makes, as a table in a store of this name.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const DEPOSITS: Topic<i64, i64> = Topic::new("deposits");
    /// const PAYMENTS: Topic<i64, i64> = Topic::new("payments");
    /// const BALANCES: Topic<i64, i64> = Topic::new("balances");
    ///
    /// let b = Builder::new("example");
    /// let (deposits, payments) = (b.stream(DEPOSITS).group_by_key(), b.stream(PAYMENTS).group_by_key());
    /// deposits
    ///     .cogroup(|_, amount, balance| Some(balance + amount))
    ///     .cogroup(&payments, |_, amount, balance| Some(balance - amount))
    ///     .aggregate("balances", || 0)
    ///     .to_stream()
    ///     .to_compacted(BALANCES);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(DEPOSITS, 0, &1, Some(&50));
    /// driver.send(PAYMENTS, 1, &1, Some(&20));
    /// assert_eq!(driver.drain(BALANCES).pop().unwrap().value, Some(30));
    /// ```
    pub fn aggregate(self, store: impl Into<Materialized>, init: impl Fn() -> T + Send + Sync + 'static) -> Table<K, T> {
        let rows = RowStore::<K, T>::new(&store.into());
        let store = rows.name();
        let (old, init): (_, Init<T>) = (OldValues::known(), Arc::new(init));
        let steps = self.steps.iter().enumerate();
        let all = steps.map(|(place, step)| step(format!("{store}.table{place}"), rows, &old, init.clone()));
        let changes = all.reduce(|all, one| all.merge(&one));
        Table::stored(changes.expect("a row begins with a stream"), rows, old)
    }
}
