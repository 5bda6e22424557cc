//! Records of a stream, with what a table had of their key, once late changes of the table have had their time.

use std::ops::ControlFlow;
use std::time::Duration;

use clock::Millis;

use super::Stream;
use super::table::{Table, definitions};
use crate::record::Record;
use crate::store::{KeyValue, StoreKey, StoreValue};

/// Records that wait: by event time, key, and a number that tells those of one time and key apart.
type Waiting<K, V> = KeyValue<(i64, K, i64), V>;

impl<K: StoreKey, V: StoreValue> Stream<K, V> {
    /// As [`Stream::join`] with a versioned table; each record waits, in a store of this name, until the stream has come so far beyond it.
    /// So changes of the table that come later than the record, but within that time, count. A record that is itself later is joined at
    /// once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const RATES: Topic<i64, i64> = Topic::new("rates");
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    /// const EUROS: Topic<i64, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// let rates = b.versioned_table(RATES, "rates", Duration::from_secs(3_600));
    /// let sales = b.stream(SALES);
    /// sales.join_with_grace(&rates, Duration::from_secs(1), "waiting-sales", |_, sale, rate| sale * rate).to(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(SALES, 1_000, &1, Some(&10));
    /// driver.send(RATES, 900, &1, Some(&2));
    /// assert!(driver.drain(EUROS).is_empty(), "it waits");
    /// driver.send(SALES, 2_000, &1, Some(&20));
    /// assert_eq!(driver.drain(EUROS)[0].value, Some(20));
    /// ```
    pub fn join_with_grace<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        grace: Duration,
        store: &str,
        join: impl Fn(&K, &V, &T) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        self.joined_with_grace(table, grace, store, move |key, value, row| Some(join(key, value, row?)))
    }

    /// The same, with `None` where the table had no row of the key.
    pub fn left_join_with_grace<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        grace: Duration,
        store: &str,
        join: impl Fn(&K, &V, Option<&T>) -> VO + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        self.joined_with_grace(table, grace, store, move |key, value, row| Some(join(key, value, row)))
    }

    fn joined_with_grace<T: StoreValue, VO: Send + 'static>(
        &self,
        table: &Table<K, T>,
        grace: Duration,
        store: &str,
        join: impl Fn(&K, &V, Option<&T>) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        if table.rows.retention.is_none_or(|retention| retention < grace) {
            self.graph.borrow_mut().problems.push(format!(
                "the join that waits in {store} needs a versioned table that keeps versions for as long, {} ms",
                grace.as_millis()
            ));
        }
        let waiting = Waiting::<K, V>::named(store);
        let look_up = table.rows.look_up.clone();
        let stores = [definitions(waiting), table.rows.stores.clone()].concat();
        // How far the stream has come; after a restart, as far as what waits says.
        let mut stream_ms = None;
        self.stateful(format!("{store}.join"), stores, move |record, stores, out| {
            let buffer = stores.get(waiting);
            if stream_ms.is_none() {
                buffer.scan(.., |(at_ms, ..), _| {
                    stream_ms = Some(Millis(at_ms));
                    ControlFlow::Continue(())
                })?;
            }
            let ready = match stream_ms.is_some_and(|now_ms| now_ms - grace > record.timestamp_ms) {
                true => vec![(record.timestamp_ms, record.key.clone(), record.value.clone())],
                false => {
                    let mut place = 0;
                    let of_the_time = |place| (record.timestamp_ms.0, record.key.clone(), place);
                    buffer.scan(of_the_time(0)..=of_the_time(i64::MAX), |(_, _, last), _| {
                        place = last + 1;
                        ControlFlow::Continue(())
                    })?;
                    buffer.put(of_the_time(place), record.value.clone());
                    stream_ms = stream_ms.max(Some(record.timestamp_ms));
                    Vec::new()
                }
            };
            let until_ms = stream_ms.unwrap_or(Millis::MIN) - grace;
            let mut due = Vec::new();
            buffer.scan(.., |row, value| match Millis(row.0) <= until_ms {
                true => {
                    due.push((row, value));
                    ControlFlow::Continue(())
                }
                false => ControlFlow::Break(()),
            })?;
            due.iter().for_each(|(row, _)| buffer.delete(row.clone()));
            let due = due.into_iter().map(|((at_ms, key, _), value)| (Millis(at_ms), key, value));
            for (at_ms, key, value) in ready.into_iter().chain(due) {
                let row = look_up(stores, &key, Some(at_ms))?;
                if let Some(joined) = join(&key, &value, row.as_ref().map(|row| &row.value)) {
                    out.push(Record::new(key, joined, at_ms));
                }
            }
            Ok(())
        })
    }
}
