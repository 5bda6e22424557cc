//! A table of whose updates the last one of each key goes on, at the commit.

use std::sync::Arc;

use wire::{Codec, Registry};

use super::Table;
use crate::change::Change;
use crate::dsl::Stream;
use crate::error::EngineError;
use crate::graph::Kind;
use crate::node::{CacheNode, Held, Node};
use crate::store::{StoreKey, StoreValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// The same rows, of whose updates at most one of each key and commit goes on: from what the key had at the last commit to what it has
    /// now. A key that came and went in between goes on not at all. The name is the step's; when so many bytes wait, the worker commits.
    ///
    /// It is Kafka Streams' record cache, and pays where many updates of a key come together, and what is behind is dear: a repartition topic,
    /// a join, an output. Look-ups see each row as it is. Tables without it tell each update: a commit that comes as soon as the input runs dry
    /// mostly has few updates of a key, a changelog holds the last one of each in any case, and who counts on each update would miss some.
    ///
    /// An update that cannot be processed behind this fails the commit; the record which it comes from is then found, and goes to the dead
    /// letters.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use wire::Topic;
    ///
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    /// const TOTALS: Topic<i64, i64> = Topic::new("totals");
    ///
    /// let b = Builder::new("example");
    /// let totals = b.stream(SALES).group_by_key().reduce("totals", |sum, sale| sum + sale);
    /// totals.cached("last-totals", 1 << 20).to_stream().to_compacted(TOTALS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=4).for_each(|sale| driver.queue(SALES, sale, &7, Some(&sale)));
    /// driver.settle();
    /// let totals: Vec<_> = driver.drain(TOTALS).into_iter().map(|record| (record.value, record.timestamp_ms.0)).collect();
    /// assert_eq!(totals, [(Some(10), 4)]);
    /// ```
    pub fn cached(&self, name: &str, max_bytes: usize) -> Self {
        // What was there before tells whether there is anything to delete.
        self.old.want();
        Self {
            changes: self.changes.held(name, max_bytes, || Held::Last),
            rows: self.rows.clone(),
            old: self.old.clone(),
            all_changes: None,
        }
    }
}

impl<K: StoreKey, V: StoreValue> Stream<K, Change<V>> {
    /// One update of each key goes on, at the commit.
    pub(super) fn held(&self, name: &str, max_bytes: usize, held: impl Fn() -> Held<V> + Send + Sync + 'static) -> Self {
        let subject = self.repartition_topic::<K, V>(name).value_subject();
        let make = Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            let codec = Codec::register::<V>(registry.clone(), &subject);
            let codec = codec.map_err(|source| EngineError::Schema {
                subject: subject.clone(),
                source,
            })?;
            Ok(Box::new(CacheNode::<K, V>::new(max_bytes, codec, held())))
        });
        let kind = Kind::Processor {
            stores: Vec::new(),
            reads_ahead: false,
        };
        let parent = Some((self.node, self.port));
        let node = self.graph.borrow_mut().add(name.to_owned(), kind, make, 1, parent);
        Self::at(&self.graph, node, 0)
    }
}
