//! Keeps some records.

use super::Never;
use crate::dsl::Stream;

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Stream<K, V> {
    /// Keeps the records that `keep` accepts.
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
    /// b.stream(NUMBERS).filter(|_, number| number % 20 == 0).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(2, 20), (4, 40)]);
    /// ```
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Stream<K, V> {
        let node = self.operator::<K, V, Never, _>("filter", 1, move |record, _, main, _| {
            if keep(&record.key, &record.value) {
                main.push(record.clone());
            }
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }

    /// Drops the records that `drop` accepts.
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Stream<K, V> {
        self.filter(move |key, value| !drop(key, value))
    }
}
