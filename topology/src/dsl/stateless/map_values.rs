//! Other values.

use super::Never;
use crate::dsl::Stream;
use crate::record::Record;

impl<K: Clone + Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Makes another value of each.
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
    /// b.stream(NUMBERS).map_values(|_, number| number + 1).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 11), (2, 21), (3, 31), (4, 41)]);
    /// ```
    pub fn map_values<VO: Send + 'static>(&self, map: impl Fn(&K, &V) -> VO + Clone + Send + Sync + 'static) -> Stream<K, VO> {
        let node = self.operator::<K, VO, Never, _>("map_values", 1, move |record, _, main, _| {
            let value = map(&record.key, &record.value);
            main.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }
}
