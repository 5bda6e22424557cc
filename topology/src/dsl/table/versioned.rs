//! Tables that know what a key had at an earlier time.

use std::time::Duration;

use wire::Topic;

use super::{Materialized, Table};
use crate::dsl::{Builder, Stream};
use crate::record::Payload;
use crate::store::{StoreKey, StoreValue};

impl Builder {
    /// As [`Builder::table`], with what each key had within `retention`: a stream that is joined with it sees the row of the record's own
    /// event time, however late either of them comes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const RATES: Topic<i64, i64> = Topic::new("rates");
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    /// const EUROS: Topic<i64, i64> = Topic::new("euros");
    ///
    /// let b = Builder::new("example");
    /// let rates = b.versioned_table(RATES, "rates", Duration::from_secs(3_600));
    /// b.stream(SALES).join(&rates, |_, sale, rate| sale * rate).to(EUROS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(RATES, 1_000, &1, Some(&2));
    /// driver.send(RATES, 2_000, &1, Some(&3));
    /// // Late, and still at the rate of its time.
    /// driver.send(SALES, 1_500, &1, Some(&10));
    /// assert_eq!(driver.drain(EUROS)[0].value, Some(20));
    /// ```
    pub fn versioned_table<K: StoreKey, V: StoreValue>(
        &self,
        topic: Topic<K, V>,
        store: &str,
        retention: Duration,
    ) -> Table<K, V> {
        self.changes(topic).to_versioned_table(store, retention)
    }
}

impl<K: StoreKey, V: Send + 'static> Stream<K, V> {
    /// As [`Stream::to_table`], with what each key had within `retention`.
    pub fn to_versioned_table<T: StoreValue>(&self, store: &str, retention: Duration) -> Table<K, T>
    where
        V: Payload<T>,
    {
        self.to_table(Materialized::versioned(store, retention))
    }
}
