//! Other values, where that may fail.

use std::fmt::Display;

use super::Never;
use crate::dsl::Stream;
use crate::error::ProcessError;
use crate::record::{Record, RecordMetadata};

impl<K: Clone + Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Makes another value of each, or an error: two streams. `map` also sees where the record came from.
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
    /// let (even, odd) = b.stream(NUMBERS).try_map_values(|key, n, _| if key % 2 == 0 { Ok(*n) } else { Err(-n) });
    /// even.merge(&odd).to(RESULT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|number| driver.send(NUMBERS, number, &number, Some(&(number * 10))));
    /// let mut result: Vec<_> = driver.drain(RESULT).into_iter().map(|record| (record.key, record.value.unwrap())).collect();
    /// result.sort();
    /// assert_eq!(result, [(1, -10), (2, 20), (3, -30), (4, 40)]);
    /// ```
    pub fn try_map_values<VO: Send + 'static, E: Send + 'static>(
        &self,
        map: impl Fn(&K, &V, &RecordMetadata) -> Result<VO, E> + Clone + Send + Sync + 'static,
    ) -> (Stream<K, VO>, Stream<K, E>) {
        let node = self.operator::<K, VO, E, _>("try_map_values", 2, move |record, at, main, side| {
            match map(&record.key, &record.value, at) {
                Ok(value) => main.push(Record::new(record.key.clone(), value, record.timestamp_ms)),
                Err(error) => side.push(Record::new(record.key.clone(), error, record.timestamp_ms)),
            }
            Ok(())
        });
        (Stream::at(&self.graph, node, 0), Stream::at(&self.graph, node, 1))
    }

    /// Makes another value of each; an error sends the record to the dead-letter topic.
    pub fn map_values_or_dead_letter<VO: Send + 'static, E: Display>(
        &self,
        map: impl Fn(&K, &V) -> Result<VO, E> + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        let node = self.operator::<K, VO, Never, _>("map_values_or_dead_letter", 1, move |record, _, main, _| {
            let value = map(&record.key, &record.value).map_err(|e| ProcessError::Record(e.to_string()))?;
            main.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }
}
