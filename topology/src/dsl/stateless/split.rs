//! A stream in branches.

use std::cell::RefCell;
use std::sync::Arc;

use super::Never;
use crate::dsl::Stream;

/// Whether a branch takes a record.
type Takes<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// A stream that is being split. Each record goes to the first branch that takes it.
pub struct Split<K, V> {
    stream: Stream<K, V>,
    before: RefCell<Vec<Takes<K, V>>>,
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Stream<K, V> {
    /// Splits the stream: each record goes to the first branch that takes it, or to the [rest](Split::rest).
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
    /// let split = b.stream(NUMBERS).split();
    /// let even = split.branch("even", |key, _| key % 2 == 0);
    /// let three = split.branch("three", |key, _| *key == 3 || *key == 4);
    /// let rest = split.rest("rest");
    /// even.map_values(|_, n| n + 1).merge(&three.map_values(|_, n| n + 2)).merge(&rest).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, 10), (2, 21), (3, 32), (4, 41)]);
    /// ```
    pub fn split(&self) -> Split<K, V> {
        Split {
            stream: self.clone(),
            before: RefCell::default(),
        }
    }
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Split<K, V> {
    /// The records that `takes` accepts, of those that no branch before has taken.
    pub fn branch(&self, name: &str, takes: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Stream<K, V> {
        let takes: Takes<K, V> = Arc::new(takes);
        let own = takes.clone();
        let branch = self.those(name, move |key, value| own(key, value));
        self.before.borrow_mut().push(takes);
        branch
    }

    /// The records that no branch has taken.
    pub fn rest(self, name: &str) -> Stream<K, V> {
        self.those(name, |_, _| true)
    }

    fn those(&self, name: &str, takes: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Stream<K, V> {
        let before = self.before.borrow().clone();
        let name = format!("branch.{name}");
        let node = self.stream.operator::<K, V, Never, _>(&name, 1, move |record, _, main, _| {
            let (key, value) = (&record.key, &record.value);
            if takes(key, value) && !before.iter().any(|takes| takes(key, value)) {
                main.push(record.clone());
            }
            Ok(())
        });
        Stream::at(&self.stream.graph, node, 0)
    }
}
