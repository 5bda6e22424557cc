//! Other keys.

use super::Never;
use crate::dsl::{Rekeyed, Stream};
use crate::record::Record;

impl<K: Send + 'static, V: Clone + Send + 'static> Stream<K, V> {
    /// Gives each record another key. The result must go through a topic before it can meet state.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
    /// const RESULT: Topic<i64, i64> = Topic::new("result");
    ///
    /// let b = Builder::new("example");
    /// b.stream(NUMBERS).select_key(|_, number| number / 20).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(0, 10), (1, 20), (1, 30), (2, 40)]);
    /// ```
    pub fn select_key<KO: Send + 'static>(&self, key: impl Fn(&K, &V) -> KO + Clone + Send + Sync + 'static) -> Rekeyed<KO, V> {
        let node = self.operator::<KO, V, Never, _>("select_key", 1, move |record, _, main, _| {
            let key = key(&record.key, &record.value);
            main.push(Record::new(key, record.value.clone(), record.timestamp_ms));
            Ok(())
        });
        Rekeyed {
            stream: Stream::at(&self.graph, node, 0),
        }
    }
}
