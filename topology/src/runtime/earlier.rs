//! Whether stores can go on from what an earlier version of the topology has left in the log.

use std::time::Duration;

use broker::{Broker, TopicPartition};

use crate::error::EngineError;
use crate::graph::Topology;
use crate::store::{Backing, changelog_name, times_of};

/// What may be there from before.
pub(super) struct Earlier<'a> {
    pub topology: &'a Topology,
    pub broker: &'a dyn Broker,
    pub timeout: Duration,
}

impl Earlier<'_> {
    /// A store that had a changelog and has none now loses what it has; and if it had that changelog again later, it would have again what is in
    /// there since long ago. So somebody must have said that it may go. The same holds for the times of rows that expire no more.
    pub fn refuse_left_changelogs(&self) -> Result<(), EngineError> {
        let (stores, application) = (&self.topology.stores, self.topology.application());
        let without = stores.iter().filter(|store| store.backing == Backing::Nowhere);
        let without = without.map(|store| {
            let what = format!("store {} has no changelog any more, so what it has is lost", store.name);
            (store.subjects(application), what)
        });
        let is_other = |name: &str| stores.iter().any(|store| store.name == name);
        let stays = stores
            .iter()
            .filter(|store| !store.expires && !is_other(&times_of(store.name)));
        let stays = stays.map(|store| {
            let what = format!("the rows of store {} expire no more", store.name);
            (changelog_name(application, &times_of(store.name)), what)
        });
        let left: Vec<(String, String)> = without.chain(stays).collect();
        let names: Vec<&str> = left.iter().map(|(topic, _)| topic.as_str()).collect();
        let counts = self.broker.partition_counts(&names, self.timeout)?;
        match left.iter().zip(counts).find(|(_, count)| count.is_some()) {
            Some(((topic, what), _)) => Err(EngineError::Topology(format!(
                "{what}; delete topic {topic} where that is meant"
            ))),
            None => Ok(()),
        }
    }

    /// Rows that were there before they were to expire have no times, and never would.
    pub fn refuse_rows_without_times(&self) -> Result<(), EngineError> {
        let application = self.topology.application();
        for store in self.topology.stores.iter().filter(|store| store.expires) {
            let (rows, times) = (
                store.subjects(application),
                changelog_name(application, &times_of(store.name)),
            );
            let counts = self.broker.partition_counts(&[&rows, &times], self.timeout)?;
            let &[Some(partitions), None] = counts.as_slice() else {
                continue;
            };
            let mut reader = self.broker.reader(application)?;
            for partition in 0..partitions {
                let (_, end) = reader.bounds(&TopicPartition::new(rows.as_str(), partition), self.timeout)?;
                if end > 0 {
                    return Err(EngineError::Topology(format!(
                        "store {} has rows from before they were to expire, and those never would: give it another name, or delete topic {rows} \
                         and the state",
                        store.name
                    )));
                }
            }
        }
        Ok(())
    }
}
