//! Two streams as one.

use super::Never;
use crate::dsl::Stream;

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Stream<K, V> {
    /// Both streams as one. Records of one key keep their order only within each.
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
    /// let numbers = b.stream(NUMBERS);
    /// let few = numbers.filter(|key, _| *key == 2);
    /// numbers.merge(&few).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 10), (2, 20), (2, 20), (3, 30), (4, 40)]);
    /// ```
    pub fn merge(&self, other: &Stream<K, V>) -> Stream<K, V> {
        let node = self.operator::<K, V, Never, _>("merge", 1, |record, _, main, _| {
            main.push(record.clone());
            Ok(())
        });
        self.graph.borrow_mut().nodes[other.node].children[other.port].push(node);
        Stream::at(&self.graph, node, 0)
    }
}
