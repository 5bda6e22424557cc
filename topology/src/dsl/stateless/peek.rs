//! A look at each record.

use super::Never;
use crate::dsl::Stream;
use crate::record::Record;

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Stream<K, V> {
    /// Looks at each record on its way. A record whose transaction is repeated is looked at again.
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
    /// b.stream(NUMBERS).peek(|record| assert!(record.value > 0)).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 10), (2, 20), (3, 30), (4, 40)]);
    /// ```
    pub fn peek(&self, look: impl Fn(&Record<K, V>) + Clone + Send + Sync + 'static) -> Stream<K, V> {
        let node = self.operator::<K, V, Never, _>("peek", 1, move |record, _, main, _| {
            look(record);
            main.push(record.clone());
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }
}
