//! Any number of values of each.

use super::Never;
use crate::dsl::Stream;
use crate::record::Record;

impl<K: Clone + Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Makes any number of values of each; of none, the record is dropped.
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
    /// b.stream(NUMBERS).flat_map_values(|key, number| vec![*number; (key % 3) as usize]).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 10), (2, 20), (2, 20), (4, 40)]);
    /// ```
    pub fn flat_map_values<VO: Send + 'static, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(&K, &V) -> I + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        let node = self.operator::<K, VO, Never, _>("flat_map_values", 1, move |record, _, main, _| {
            for value in map(&record.key, &record.value) {
                main.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            }
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }
}
