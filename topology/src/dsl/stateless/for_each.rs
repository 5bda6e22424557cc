//! The end of a stream that goes nowhere.

use super::Never;
use crate::dsl::Stream;
use crate::record::Record;

impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Looks at each record, and ends there. A record whose transaction is repeated is looked at again: what must happen once belongs into a
    /// topic.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
    ///
    /// let sum = Arc::new(AtomicI64::new(0));
    /// let seen = sum.clone();
    /// let b = Builder::new("example");
    /// b.stream(NUMBERS).for_each(move |record| drop(seen.fetch_add(record.value, SeqCst)));
    /// TestDriver::new(b.build().unwrap()).unwrap().send(NUMBERS, 0, &1, Some(&7));
    /// assert_eq!(sum.load(SeqCst), 7);
    /// ```
    pub fn for_each(&self, look: impl Fn(&Record<K, V>) + Clone + Send + Sync + 'static) {
        self.operator::<K, Never, Never, _>("for_each", 1, move |record, _, _, _| {
            look(record);
            Ok(())
        });
    }
}
