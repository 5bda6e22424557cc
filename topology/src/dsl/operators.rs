//! The operators that keep no state.

use std::fmt::Display;

use super::{Rekeyed, Stream};
use crate::error::ProcessError;
use crate::record::{Record, RecordMetadata};

/// The error side of an operator that has none.
type Never = std::convert::Infallible;

impl<K: Clone + Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Keeps the records that `keep` accepts.
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Stream<K, V>
    where
        V: Clone,
    {
        let node = self.operator::<K, V, Never, _>("filter", 1, move |record, _, main, _| {
            if keep(&record.key, &record.value) {
                main.push(record.clone());
            }
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }

    /// Makes another value of each.
    pub fn map_values<VO: Send + 'static>(&self, map: impl Fn(&K, &V) -> VO + Clone + Send + Sync + 'static) -> Stream<K, VO> {
        self.filter_map_values("map_values", move |key, value| Some(map(key, value)))
    }

    /// Makes another value of some, and drops the others.
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

    fn filter_map_values<VO: Send + 'static>(
        &self,
        operator: &str,
        map: impl Fn(&K, &V) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Stream<K, VO> {
        let node = self.operator::<K, VO, Never, _>(operator, 1, move |record, _, main, _| {
            if let Some(value) = map(&record.key, &record.value) {
                main.push(Record::new(record.key.clone(), value, record.timestamp_ms));
            }
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }

    /// Makes another value of each, or an error: two streams. `map` also sees where the record came from.
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

    /// Looks at each record on its way.
    pub fn peek(&self, look: impl Fn(&Record<K, V>) + Clone + Send + Sync + 'static) -> Stream<K, V>
    where
        V: Clone,
    {
        let node = self.operator::<K, V, Never, _>("peek", 1, move |record, _, main, _| {
            look(record);
            main.push(record.clone());
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }

    /// Both streams as one. Records of one key keep their order only within each.
    pub fn merge(&self, other: &Stream<K, V>) -> Stream<K, V>
    where
        V: Clone,
    {
        let node = self.operator::<K, V, Never, _>("merge", 1, |record, _, main, _| {
            main.push(record.clone());
            Ok(())
        });
        self.graph.borrow_mut().nodes[other.node].children[other.port].push(node);
        Stream::at(&self.graph, node, 0)
    }

    /// Gives each record another key. The result must go through a topic before it can meet state.
    pub fn rekey<KO: Send + 'static>(&self, key: impl Fn(&K, &V) -> KO + Clone + Send + Sync + 'static) -> Rekeyed<KO, V>
    where
        V: Clone,
    {
        let node = self.operator::<KO, V, Never, _>("rekey", 1, move |record, _, main, _| {
            main.push(Record::new(
                key(&record.key, &record.value),
                record.value.clone(),
                record.timestamp_ms,
            ));
            Ok(())
        });
        Rekeyed {
            stream: Stream::at(&self.graph, node, 0),
        }
    }

    /// Makes any number of records of each, with keys and values of another kind.
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
