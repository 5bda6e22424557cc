//! Any number of records of each.

use super::Never;
use crate::dsl::{Rekeyed, Stream};
use crate::record::Record;

impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Makes any number of records of each, with keys and values of another kind.
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
    /// b.stream(NUMBERS).flat_map(|key, number| (0..key % 3).map(|i| (i, *number)).collect::<Vec<_>>()).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(0, 10), (0, 20), (0, 40), (1, 20)]);
    /// ```
    pub fn flat_map<KO: Send + 'static, VO: Send + 'static, I: IntoIterator<Item = (KO, VO)>>(
        &self,
        map: impl Fn(&K, &V) -> I + Clone + Send + Sync + 'static,
    ) -> Rekeyed<KO, VO> {
        let node = self.operator::<KO, VO, Never, _>("flat_map", 1, move |record, _, main, _| {
            for (key, value) in map(&record.key, &record.value) {
                main.push(Record::new(key, value, record.timestamp_ms));
            }
            Ok(())
        });
        Rekeyed {
            stream: Stream::at(&self.graph, node, 0),
        }
    }
}
