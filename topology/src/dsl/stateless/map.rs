//! Another record of each.

use super::Never;
use crate::dsl::{Rekeyed, Stream};
use crate::record::Record;

impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Makes another key and value of each. Where the key stays, [`Stream::map_values`] needs no topic behind it.
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
    /// b.stream(NUMBERS).map(|key, number| (number / 10, key + 1)).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 2), (2, 3), (3, 4), (4, 5)]);
    /// ```
    pub fn map<KO: Send + 'static, VO: Send + 'static>(
        &self,
        map: impl Fn(&K, &V) -> (KO, VO) + Clone + Send + Sync + 'static,
    ) -> Rekeyed<KO, VO> {
        let node = self.operator::<KO, VO, Never, _>("map", 1, move |record, _, main, _| {
            let (key, value) = map(&record.key, &record.value);
            main.push(Record::new(key, value, record.timestamp_ms));
            Ok(())
        });
        Rekeyed {
            stream: Stream::at(&self.graph, node, 0),
        }
    }
}
