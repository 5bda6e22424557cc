//! Questions to the state: answered from what is committed, with the position that the answer reflects.

mod scan;

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Lease;
use clock::Millis;
pub use scan::{Begins, Listed, Scan};

use crate::error::StoreError;
pub use crate::runtime::{Instance, Token};
use crate::runtime::{Plan, Position, Served, Shared};
use crate::store::{KeyValue, StoreKey, StoreValue, View};

/// An answer, and what it reflects.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// The source positions and times that it reflects.
    pub position: Position,
}

/// Why a question was not answered here.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Another instance has the key: ask there.
    #[error("the key's partition is served at {}", .0.address)]
    Elsewhere(Instance),
    /// Nobody is known to serve the partition: it is moving or being restored. Ask again soon.
    #[error("partition {partition} of {store} is being restored")]
    NotReady {
        /// Which store.
        store: &'static str,
        /// Which partition.
        partition: u32,
    },
    /// The topology has no such store.
    #[error("there is no store {0}")]
    NoSuchStore(&'static str),
    /// Nobody waits for the answer any longer.
    #[error("nobody waits for the answer")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the partitions of this instance know, and who may know more.
#[derive(Debug, Clone)]
pub struct Scattered<T> {
    /// What was found here.
    pub value: T,
    /// The instances that serve partitions that are not here, each with those.
    pub others: Vec<(Instance, Vec<u32>)>,
    /// Partitions that nobody is known to serve at this moment.
    pub missing: Vec<u32>,
}

impl<T> Scattered<T> {
    fn with<U>(self, value: U) -> Scattered<U> {
        Scattered {
            value,
            others: self.others,
            missing: self.missing,
        }
    }
}

/// How an instance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// All of its tasks run, and nothing holds it up.
    pub ready: bool,
    /// All of its tasks run: it answers from what is committed, whatever else holds it up (a full disk, a registry that is away, a
    /// broker that is away for less than the group's session: after that, tasks are nobody's).
    pub answers: bool,
    /// What holds it up.
    pub reasons: Vec<String>,
}

/// Where an input stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Records that wait.
    pub records: i64,
    /// Event time of the oldest record that waits here.
    pub oldest_waiting_ms: Option<Millis>,
}

/// Asks the stores of an engine. Cheap to clone; callable from any thread.
#[derive(Clone)]
pub struct Queries {
    shared: Arc<Shared>,
    /// As of the start.
    plan: Arc<Plan>,
    address: Arc<str>,
}

impl Queries {
    pub(crate) fn new(shared: Arc<Shared>, parts: &crate::runtime::Parts, address: &str) -> Self {
        Self {
            shared,
            plan: parts.plan.clone(),
            address: address.into(),
        }
    }

    /// The partition of a key, as Kafka's default partitioner has it.
    ///
    /// # Errors
    ///
    /// There is no such store, or the key has no encoding; [`QueryError::NotReady`] while no topic matches the pattern of its source.
    pub fn partition_of<K: StoreKey, V>(&self, store: KeyValue<K, V>, key: &K) -> Result<u32, QueryError> {
        self.partition_by(store.name(), key)
    }

    fn partition_by(&self, store: &'static str, key: &impl StoreKey) -> Result<u32, QueryError> {
        let count = self.partitions(store)?;
        if count == 0 {
            // None of the topics that it is made from is there yet.
            return Err(QueryError::NotReady { store, partition: 0 });
        }
        let mut bytes = Vec::with_capacity(16);
        key.encode(&wire::Codec::plain(), &mut bytes)
            .map_err(|source| StoreError::Wire { store, source })?;
        Ok(broker::partition_for_key(&bytes, count))
    }

    /// The value of a key of a store that is partitioned by its key.
    ///
    /// # Errors
    ///
    /// [`QueryError::Elsewhere`] where another instance has the key, [`QueryError::NotReady`] while nobody has it.
    pub fn get<K: StoreKey, V: StoreValue>(&self, store: KeyValue<K, V>, key: &K) -> Result<Answer<Option<V>>, QueryError> {
        self.read(store, key, |view| view.get(key))
    }

    /// What is found in the partition of a record's key, which need not be the store's: a processor may keep many entries of a record's
    /// key under keys that go on, such as `(account, number)`. However many look-ups it takes, all are of the same commit; the next one
    /// waits meanwhile, so they should be few.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use topology::store::KeyValue;
    /// # use topology::{Queries, QueryError};
    /// const ENTRIES: KeyValue<(i64, i64), String> = KeyValue::new("entries");
    ///
    /// fn entries(queries: &Queries, account: i64) -> Result<Vec<String>, QueryError> {
    ///     let found = queries.read(ENTRIES, &account, |view| {
    ///         let mut found = Vec::new();
    ///         view.scan((account, 0)..=(account, i64::MAX), |_, entry| {
    ///             found.push(entry);
    ///             ControlFlow::Continue(())
    ///         })?;
    ///         Ok(found)
    ///     })?;
    ///     Ok(found.value)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Queries::get`], and those of the look-ups.
    pub fn read<K: StoreKey, V: StoreValue, T>(
        &self,
        store: KeyValue<K, V>,
        by: &impl StoreKey,
        read: impl FnOnce(&View<K, V>) -> Result<T, StoreError>,
    ) -> Result<Answer<T>, QueryError> {
        let partition = self.partition_by(store.name(), by)?;
        let Some(served) = self.served(store.name(), partition) else {
            return Err(self.elsewhere(store.name(), partition));
        };
        let (view, position) = open(&served);
        // The gate: no commit changes the stores between the value and its position.
        let position = position.read();
        let value = read(view)?;
        Ok(Answer {
            value,
            position: position.clone(),
        })
    }

    /// Whether this instance gets on.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = self.shared.troubles();
        let held_up = reasons.len();
        let groups = self.shared.groups.lock();
        let restoring: Vec<String> = groups
            .iter()
            .filter(|(_, owned)| !owned.runs)
            .map(|(group, _)| group.to_string())
            .collect();
        if !restoring.is_empty() {
            reasons.push(format!("task groups {} are being restored", restoring.join(", ")));
        }
        let unsure: Vec<Arc<Lease>> = self
            .shared
            .served
            .read()
            .values()
            .map(|served| served.lease.clone())
            .collect();
        if let Some(lease) = unsure.iter().find(|lease| !lease.holds()) {
            let why = lease.trouble().map(|why| format!(": {why}")).unwrap_or_default();
            reasons.push(format!("the group has not confirmed this instance's membership in time{why}"));
        }
        if groups.is_empty() && self.shared.others.read().is_empty() {
            reasons.push("no tasks are assigned yet".to_owned());
        }
        Readiness {
            ready: reasons.is_empty(),
            // Without a task, and held up, it has most likely lost them; the others may have, too.
            answers: reasons.len() == held_up && (held_up == 0 || !groups.is_empty()),
            reasons,
        }
    }

    /// Where this instance's inputs stand.
    pub fn lag(&self) -> Vec<InputLag> {
        let inputs = self.shared.inputs.lock();
        let mut all: Vec<InputLag> = inputs
            .iter()
            .map(|(input, status)| InputLag {
                topic: input.topic.to_string(),
                partition: input.partition,
                records: status.end - status.position,
                oldest_waiting_ms: status.oldest_waiting_ms,
            })
            .collect();
        all.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        all
    }

    /// The task groups that are served here.
    pub fn groups(&self) -> Vec<u32> {
        self.shared.running_groups()
    }

    /// How many task groups there are in all instances, those included that have no task.
    pub fn groups_total(&self) -> u32 {
        self.shared.plans.newest(&self.plan).groups
    }

    /// What the other instances present to this one: whoever does is one of them.
    pub fn token(&self) -> &Token {
        &self.shared.token
    }

    /// How many partitions a store has; none, while no topic is there that it is made from.
    fn partitions(&self, store: &'static str) -> Result<u32, QueryError> {
        let plan = self.shared.plans.newest(&self.plan);
        plan.stores.get(store).copied().ok_or(QueryError::NoSuchStore(store))
    }

    /// A partition that is this instance's for certain. One that slept, or cannot reach the broker, may have lost it to another that
    /// has gone on since; whoever asks there must not be shown what was.
    fn served(&self, store: &'static str, partition: u32) -> Option<Served> {
        let served = self.shared.served.read();
        served.get(&(store, partition)).filter(|served| served.lease.holds()).cloned()
    }

    fn elsewhere(&self, store: &'static str, partition: u32) -> QueryError {
        match self.shared.owners.read().get(&partition) {
            Some(owner) if *owner.address != *self.address => QueryError::Elsewhere(owner.clone()),
            _ => QueryError::NotReady { store, partition },
        }
    }

    /// The partitions of a store that are here, and who has the rest; all of them, or those that are named.
    fn locate(&self, store: &'static str, partitions: Option<&[u32]>) -> Result<Scattered<Vec<Served>>, QueryError> {
        let count = self.partitions(store)?;
        let mut here = Vec::new();
        let mut others: BTreeMap<Instance, Vec<u32>> = BTreeMap::new();
        let mut missing = Vec::new();
        let asked = partitions.map_or_else(|| (0..count).collect(), <[u32]>::to_vec);
        for partition in asked {
            match self.served(store, partition) {
                Some(served) => here.push(served),
                None => match self.elsewhere(store, partition) {
                    QueryError::Elsewhere(owner) => others.entry(owner).or_default().push(partition),
                    _ => missing.push(partition),
                },
            }
        }
        Ok(Scattered {
            value: here,
            others: others.into_iter().collect(),
            missing,
        })
    }
}

fn open<K: StoreKey, V: StoreValue>(served: &Served) -> (&View<K, V>, &parking_lot::RwLock<Position>) {
    // The graph refuses two stores of one name with different types, and a `KeyValue` is the name with its types.
    (
        served.view.downcast_ref().expect("a store has the types of its definition"),
        &served.position,
    )
}
