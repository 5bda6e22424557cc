//! A table joined with another one by a key that its rows name.
//!
//! ```text
//!  rows ──► subscribe ──► <name>-subscription topic ──► the foreign key's task: keeps who has it,
//!    ▲                                                   answers them now, and whenever its row changes
//!    └── join with the row as it is now ◄── <name>-response topic ◄──┘
//! ```
//!
//! An answer says which value of the row it is for. One that is for an earlier value is dropped: a later one is on its way. So each
//! value has an answer, also one that joins with nothing as the value before it did: the answer that ended an earlier result may be one
//! of those that are dropped. (Kafka Streams leaves it out, and such a result then stays.)

use std::sync::Arc;

use wire::{Codec, Registry};

use super::foreign_key::{Fingerprint, Instruction, Response, Subscription, fingerprint};
use super::{Materialized, RowStore, Rows, Table, definitions, later_ms};
use crate::change::Change;
use crate::dsl::{Rekeyed, Stream};
use crate::error::{EngineError, ProcessError};
use crate::record::Record;
use crate::store::{KeyValue, StoreKey, StoreValue, Timestamped};

/// A row's foreign key, if it has one, and what the other table is to do with it.
#[derive(Debug, Clone)]
struct Ask<KO> {
    key: Option<KO>,
    value: Fingerprint,
    instruction: Instruction,
}

/// Who has a foreign key, and since which event time.
type Subscriptions<KO, K> = KeyValue<(KO, K), Timestamped<Subscription<K>>>;

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Joins each row with the other table's row that it names by `foreign_key`; rows that name none, or one that is not there, are not in
    /// the result. Keeps the result in a store of this name, which the internal topics and the store of subscriptions begin with, too.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// // An account's customer, a customer's name, and the name of the customer of each account.
    /// const ACCOUNTS: Topic<i64, i64> = Topic::new("accounts");
    /// const CUSTOMERS: Topic<i64, String> = Topic::new("customers");
    /// const OWNERS: Topic<i64, String> = Topic::new("owners");
    ///
    /// let b = Builder::new("example");
    /// let (accounts, customers) = (b.table(ACCOUNTS, "accounts"), b.table(CUSTOMERS, "customers"));
    /// accounts
    ///     .fk_join(&customers, |_, customer| Some(*customer), |_, name| name.clone(), "owners")
    ///     .to_stream()
    ///     .to_compacted(OWNERS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(ACCOUNTS, 0, &17, Some(&1));
    /// driver.send(CUSTOMERS, 1, &1, Some(&"Ada".to_owned()));
    /// driver.send(CUSTOMERS, 2, &1, Some(&"Ada L.".to_owned()));
    /// let owners: Vec<_> = driver.drain(OWNERS).into_iter().map(|r| (r.key, r.value.unwrap())).collect();
    /// assert_eq!(owners, [(17, "Ada".to_owned()), (17, "Ada L.".to_owned())]);
    /// ```
    pub fn fk_join<KO: StoreKey, W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<KO, W>,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        join: impl Fn(&V, &W) -> VO + Clone + Send + Sync + 'static,
        name: impl Into<Materialized>,
    ) -> Table<K, VO> {
        self.fk_filter_join(other, foreign_key, move |row, foreign| Some(join(row, foreign)), name)
    }

    /// The same, where all rows are in the result: those that name none, or one that is not there, with `None`.
    pub fn fk_left_join<KO: StoreKey, W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<KO, W>,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        join: impl Fn(&V, Option<&W>) -> VO + Clone + Send + Sync + 'static,
        name: impl Into<Materialized>,
    ) -> Table<K, VO> {
        self.fk_filter_left_join(other, foreign_key, move |row, foreign| Some(join(row, foreign)), name)
    }

    /// As [`Table::fk_join`]; rows of which `join` makes `None` are not in the result.
    pub fn fk_filter_join<KO: StoreKey, W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<KO, W>,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        join: impl Fn(&V, &W) -> Option<VO> + Clone + Send + Sync + 'static,
        name: impl Into<Materialized>,
    ) -> Table<K, VO> {
        let joined = move |row: Option<&V>, foreign: Option<&W>| join(row?, foreign?);
        self.fk_joined(other, foreign_key, inner, joined, &name.into())
    }

    /// As [`Table::fk_left_join`]; rows of which `join` makes `None` are not in the result.
    pub fn fk_filter_left_join<KO: StoreKey, W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<KO, W>,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        join: impl Fn(&V, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
        name: impl Into<Materialized>,
    ) -> Table<K, VO> {
        let joined = move |row: Option<&V>, foreign: Option<&W>| join(row?, foreign);
        self.fk_joined(other, foreign_key, left, joined, &name.into())
    }

    fn fk_joined<KO: StoreKey, W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<KO, W>,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        asks: Asks<KO>,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
        result: &Materialized,
    ) -> Table<K, VO> {
        let name = result.name();
        let subject = self
            .changes
            .repartition_topic::<K, V>(&format!("{name}-value"))
            .value_subject();
        let asked = self.subscribe(foreign_key, asks, &subject);
        // A row that names no key has its answer at once.
        let unasked = asked.flat_map_values(|_, ask| match ask.key {
            Some(_) => None,
            None => Some(Response {
                value: ask.value,
                foreign: None,
                is_probably_known: ask.instruction == Instruction::AnswerIfThere,
            }),
        });
        let subscriptions = asked.flat_map(|row, ask| {
            let subscription = |key| {
                let (row, value, instruction) = (row.clone(), ask.value, ask.instruction);
                (key, Subscription { row, value, instruction })
            };
            ask.key.clone().map(subscription)
        });
        let topic = asked.repartition_topic(&format!("{name}-subscription"));
        let responses = answer(&subscriptions.repartition(topic), other, name);
        let topic = asked.repartition_topic(&format!("{name}-response"));
        let responses = Rekeyed { stream: responses }.repartition(topic);
        self.joined_with(&responses.merge(&unasked), &subject, join, result)
    }

    /// What becomes of each row's foreign key.
    fn subscribe<KO: StoreKey>(
        &self,
        foreign_key: impl Fn(&K, &V) -> Option<KO> + Clone + Send + Sync + 'static,
        asks: Asks<KO>,
        subject: &str,
    ) -> Stream<K, Ask<KO>> {
        self.old.want();
        let name = self.changes.name_after("subscribe");
        let subject = subject.to_owned();
        self.changes.stateful_with(name, Vec::new(), move |registry| {
            let mut fingerprints = Fingerprints::of::<V>(registry, &subject)?;
            let foreign_key = foreign_key.clone();
            Ok(
                move |record: &Record<K, Change<V>>, _: &mut crate::store::TaskStores<'_>, out: &mut Vec<_>| {
                    let change = &record.value;
                    if !change.is_latest {
                        return Ok(());
                    }
                    let key = |value: &Option<V>| value.as_ref().map(|value| foreign_key(&record.key, value));
                    let value = match &change.new {
                        Some(new) => Some(fingerprints.take(new)?),
                        None => None,
                    };
                    for (key, instruction) in asks(key(&change.old), key(&change.new)).into_iter().flatten() {
                        let ask = Ask { key, value, instruction };
                        out.push(Record::new(record.key.clone(), ask, record.timestamp_ms));
                    }
                    Ok(())
                },
            )
        })
    }

    /// Joins answers with the rows that asked, as they are now, and keeps what comes of it.
    fn joined_with<W: StoreValue, VO: StoreValue>(
        &self,
        responses: &Stream<K, Response<W>>,
        subject: &str,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
        result: &Materialized,
    ) -> Table<K, VO> {
        let look_up = self.rows.look_up.clone();
        let subject = subject.to_owned();
        let name = responses.name_after("fk_join");
        let results = RowStore::<K, VO>::new(result);
        let stores = [self.rows.stores.clone(), results.definitions()].concat();
        let joined = responses.stateful_with(name, stores, move |registry| {
            let mut fingerprints = Fingerprints::of::<V>(registry, &subject)?;
            let (look_up, join) = (look_up.clone(), join.clone());
            Ok(
                move |record: &Record<K, Response<W>>, stores: &mut crate::store::TaskStores<'_>, out: &mut Vec<_>| {
                    let (key, response) = (&record.key, &record.value);
                    let row = look_up(stores, key, None)?.map(|row| row.value);
                    let now = match &row {
                        Some(row) => Some(fingerprints.take(row)?),
                        None => None,
                    };
                    if now != response.value || (response.is_probably_known && results.open(stores).get(key)?.is_none()) {
                        return Ok(());
                    }
                    let joined = join(row.as_ref(), response.foreign.as_ref());
                    out.push(Record::new(key.clone(), joined, record.timestamp_ms));
                    Ok(())
                },
            )
        });
        joined.to_table(result.clone())
    }
}

/// Takes values' fingerprints.
struct Fingerprints {
    codec: Codec,
    bytes: Vec<u8>,
}

impl Fingerprints {
    fn of<V: StoreValue>(registry: &Arc<dyn Registry>, subject: &str) -> Result<Self, EngineError> {
        let codec = Codec::register::<V>(registry.clone(), subject);
        let codec = codec.map_err(|source| EngineError::Schema {
            subject: subject.to_owned(),
            source,
        })?;
        Ok(Self {
            codec,
            bytes: Vec::new(),
        })
    }

    fn take<V: StoreValue>(&mut self, value: &V) -> Result<u128, ProcessError> {
        self.bytes.clear();
        value.encode(&self.codec, &mut self.bytes)?;
        Ok(fingerprint(&self.bytes))
    }
}

/// At the foreign key's task: keeps who has it, and answers.
fn answer<KO: StoreKey, K: StoreKey, W: StoreValue>(
    subscriptions: &Stream<KO, Subscription<K>>,
    other: &Table<KO, W>,
    name: &str,
) -> Stream<K, Response<W>> {
    let kept = Subscriptions::<KO, K>::named(&format!("{name}-subscriptions"));
    let stores = [definitions(kept), other.rows.stores.clone()].concat();
    let rows: Rows<KO, W> = other.rows.clone();
    let at_once = subscriptions.stateful(
        subscriptions.name_after("subscriptions"),
        stores,
        move |record, stores, out| {
            let subscription = &record.value;
            let key = (record.key.clone(), subscription.row.clone());
            let found = (rows.look_up)(stores, &record.key, None)?;
            let kept = stores.get(kept);
            match subscription.instruction {
                Instruction::DeleteAndAnswer | Instruction::Delete => kept.delete(key),
                _ => kept.put(key, Timestamped::new(subscription.clone(), record.timestamp_ms)),
            }
            if subscription.instruction != Instruction::Delete {
                let at_ms = later_ms(found.as_ref(), record.timestamp_ms);
                let ends = subscription.instruction == Instruction::DeleteAndAnswer;
                let response = Response {
                    value: subscription.value,
                    is_probably_known: found.is_none() && subscription.instruction == Instruction::AnswerIfThere,
                    foreign: found.map(|row| row.value).filter(|_| !ends),
                };
                out.push(Record::new(subscription.row.clone(), response, at_ms));
            }
            Ok(())
        },
    );
    let name = other.changes.name_after("subscribers");
    let later = other.changes.stateful(name, definitions(kept), move |record, stores, out| {
        if !record.value.is_latest {
            return Ok(());
        }
        stores.get(kept).scan_prefix(&record.key, |(_, row), subscription| {
            let response = Response {
                value: subscription.value.value,
                foreign: record.value.new.clone(),
                is_probably_known: false,
            };
            out.push(Record::new(row, response, record.timestamp_ms));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(())
    });
    at_once.merge(&later)
}

/// What is asked of the foreign keys that a row had and has: each `None` where there is no row, and within that where the row names none.
type Asks<KO> = fn(Option<Option<KO>>, Option<Option<KO>>) -> [Option<(Option<KO>, Instruction)>; 2];

fn inner<KO: PartialEq>(old: Option<Option<KO>>, new: Option<Option<KO>>) -> [Option<(Option<KO>, Instruction)>; 2] {
    let is_row = old.is_some() || new.is_some();
    match (old.flatten(), new.flatten()) {
        (Some(old), None) => [Some((Some(old), Instruction::DeleteAndAnswer)), None],
        // What did not join under the same key, or not at all, has no result to delete.
        (Some(old), Some(new)) if old == new => [None, Some((Some(new), Instruction::AnswerIfThere))],
        (None, Some(new)) => [None, Some((Some(new), Instruction::AnswerIfThere))],
        (Some(old), Some(new)) => [Some((Some(old), Instruction::Delete)), Some((Some(new), Instruction::Answer))],
        (None, None) => [None, is_row.then_some((None, Instruction::AnswerIfThere))],
    }
}

fn left<KO: PartialEq>(old: Option<Option<KO>>, new: Option<Option<KO>>) -> [Option<(Option<KO>, Instruction)>; 2] {
    if old.is_none() && new.is_none() {
        return [None, None];
    }
    let (old, new) = (old.flatten(), new.flatten());
    let ended = old.filter(|old| new.as_ref() != Some(old));
    [
        ended.map(|old| (Some(old), Instruction::Delete)),
        Some((new, Instruction::Answer)),
    ]
}
