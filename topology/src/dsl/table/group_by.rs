//! The rows of a table, gathered by another key: what a row adds is taken back when it changes.

use std::fmt::Display;
use std::sync::Arc;

use wire::Wire;

use super::{Materialized, OldValues, RowStore, Table, from_first, from_init, later_ms};
use crate::change::Change;
use crate::dsl::{Rekeyed, Stream};
use crate::error::ProcessError;
use crate::node::{Held, Sum};
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

/// A table whose rows are gathered by a key of theirs.
pub struct GroupedTable<K, V> {
    changes: Stream<K, Change<V>>,
    /// What a record takes back may be what it adds itself.
    is_summed: bool,
}

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Gathers the rows by the key that `group` gives them, with a value: they go through the topic `<application>-<name>-repartition`.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// // A customer's city, and how many live in each.
    /// const CITIES: Topic<i64, String> = Topic::new("cities");
    /// const INHABITANTS: Topic<String, i64> = Topic::new("inhabitants");
    ///
    /// let b = Builder::new("example");
    /// b.table(CITIES, "cities")
    ///     .group_by(|customer, city| (city.clone(), *customer), "by-city")
    ///     .count("inhabitants")
    ///     .to_stream()
    ///     .to_compacted(INHABITANTS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(CITIES, 0, &1, Some(&"Bonn".to_owned()));
    /// driver.send(CITIES, 1, &1, Some(&"Ulm".to_owned()));
    /// let mut changes: Vec<_> = driver.drain(INHABITANTS).into_iter().map(|r| (r.key, r.value.unwrap())).collect();
    /// changes.sort_by_key(|(city, _)| city.clone());
    /// assert_eq!(changes, [("Bonn".to_owned(), 1), ("Bonn".to_owned(), 0), ("Ulm".to_owned(), 1)]);
    /// ```
    pub fn group_by<KO: StoreKey, VO: Wire + Clone>(
        &self,
        group: impl Fn(&K, &V) -> (KO, VO) + Clone + Send + Sync + 'static,
        name: &str,
    ) -> GroupedTable<KO, VO> {
        self.regrouped(group).repartitioned(name, false)
    }

    /// The same, where what the rows add to a group between two commits is added up before it goes on, and what adds up to no change does not go
    /// on at all: of each task and group one record a commit instead of one for each row. It pays where groups are few and rows many.
    ///
    /// `sum` makes one value of two of a group, so that to add it, or take it back, is the same as both one after the other; `None`: there is no such
    /// value, and both go on by themselves. So it is for a [`GroupedTable::reduce`] of sums and counts ([`GroupedTable::count`] would count one
    /// row), and there what was is taken back **after** what is now was added: it may be in it. So there must be room for both, and what is refused
    /// ([`GroupedTable::try_reduce`]) is all that a record has. When so many bytes wait, the worker commits. SQL
    /// engines call it local and global aggregation, or mini-batches; Kafka Streams does not have it.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// // What each shop has sold, by city.
    /// const SHOPS: Topic<i64, (String, i64)> = Topic::new("shops");
    /// const CITIES: Topic<String, i64> = Topic::new("cities");
    ///
    /// let b = Builder::new("example");
    /// let shops = b.table(SHOPS, "shops");
    /// let by_city = shops.group_by_summed(|_, (city, sold)| (city.clone(), *sold), |one, other| one.checked_add(*other), "by-city", 1 << 20);
    /// by_city.reduce("cities", |all, sold| all + sold, |all, sold| all - sold).to_stream().to_compacted(CITIES);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// for (shop, city, sold) in [(1, "Bonn", 10), (2, "Bonn", 5), (3, "Ulm", 7), (2, "Ulm", 6)] {
    ///     driver.queue(SHOPS, 0, &shop, Some(&(city.to_owned(), sold)));
    /// }
    /// driver.settle();
    /// // The second shop moved before Bonn heard of it.
    /// let mut told: Vec<_> = driver.drain(CITIES).into_iter().map(|city| (city.key, city.value.unwrap())).collect();
    /// told.retain(|(city, _)| city == "Bonn");
    /// assert_eq!(told, [("Bonn".to_owned(), 10)]);
    /// ```
    pub fn group_by_summed<KO: StoreKey, VO: StoreValue + PartialEq>(
        &self,
        group: impl Fn(&K, &V) -> (KO, VO) + Clone + Send + Sync + 'static,
        sum: impl Fn(&VO, &VO) -> Option<VO> + Send + Sync + 'static,
        name: &str,
        max_bytes: usize,
    ) -> GroupedTable<KO, VO> {
        let sum: Sum<VO> = Arc::new(sum);
        let changed = |changes: &Stream<KO, Change<VO>>| {
            changes.on_changes("changed", |record, out| {
                if record.value.old != record.value.new {
                    out.push(record.clone());
                }
            })
        };
        let rows = changed(&self.regrouped(group).stream);
        let summed = changed(&rows.held(&format!("{name}-summed"), max_bytes, move || Held::Sum(sum.clone())));
        Rekeyed { stream: summed }.repartitioned(name, true)
    }

    /// What each change of a row adds to a group, and takes back.
    fn regrouped<KO: StoreKey, VO: Wire + Clone>(
        &self,
        group: impl Fn(&K, &V) -> (KO, VO) + Clone + Send + Sync + 'static,
    ) -> Rekeyed<KO, Change<VO>> {
        self.old.want();
        let stream = self.changes.on_changes("group_by", move |record, out| {
            if !record.value.is_latest {
                return;
            }
            let grouped = |value: &Option<V>| value.as_ref().map(|value| group(&record.key, value));
            let (new, old) = (grouped(&record.value.new), grouped(&record.value.old));
            let mut add = |key, change| out.push(Record::new(key, change, record.timestamp_ms));
            match (old, new) {
                (Some((before, old)), Some((key, new))) if before == key => add(key, Change::new(Some(new), Some(old))),
                (old, new) => {
                    if let Some((key, old)) = old {
                        add(key, Change::new(None, Some(old)));
                    }
                    if let Some((key, new)) = new {
                        add(key, Change::new(Some(new), None));
                    }
                }
            }
        });
        Rekeyed { stream }
    }
}

impl<K: StoreKey, V: Wire + Clone> Rekeyed<K, Change<V>> {
    fn repartitioned(self, name: &str, is_summed: bool) -> GroupedTable<K, V> {
        GroupedTable {
            changes: self.repartition(self.stream.repartition_topic(name)),
            is_summed,
        }
    }
}

impl<K: StoreKey, V: Wire + Clone> GroupedTable<K, V> {
    /// How many rows each key has.
    pub fn count(&self, store: impl Into<Materialized>) -> Table<K, i64> {
        self.aggregate(store, || 0, |_, _, count| Some(count + 1), |_, _, count| Some(count - 1))
    }

    /// What `add` makes of the rows of a key, beginning with what `init` makes; `subtract` takes back what a row was, before what it is
    /// now is added. `None` deletes the row.
    pub fn aggregate<T: StoreValue>(
        &self,
        store: impl Into<Materialized>,
        init: impl Fn() -> T + Clone + Send + Sync + 'static,
        add: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static,
        subtract: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static,
    ) -> Table<K, T> {
        let add = from_init(init, add);
        self.fold(
            store.into(),
            move |key, value, before| Ok(add(key, value, before)),
            move |key, value, before| Ok(subtract(key, value, before)),
        )
    }

    /// The same, where the first row is what it begins with: `add` and `subtract` get what there is, and the row. They may make an
    /// `Option`, whose `None` deletes the row.
    pub fn reduce<R: Into<Option<V>>, S: Into<Option<V>>>(
        &self,
        store: impl Into<Materialized>,
        add: impl Fn(&V, &V) -> R + Clone + Send + Sync + 'static,
        subtract: impl Fn(&V, &V) -> S + Clone + Send + Sync + 'static,
    ) -> Table<K, V> {
        let add = from_first(add);
        self.fold(
            store.into(),
            move |key, value, before| Ok(add(key, value, before)),
            move |_, value, before| Ok(subtract(&before, value).into()),
        )
    }

    /// The same, where that may fail, as a sum that has no room for more: the record of the change goes to the dead letters, and the group
    /// stays as it was.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// // The parcels of each van.
    /// const PARCELS: Topic<i64, i64> = Topic::new("parcels");
    /// const LOADS: Topic<i64, i64> = Topic::new("loads");
    ///
    /// let b = Builder::new("example");
    /// let by_van = b.table(PARCELS, "parcels").group_by(|parcel, weight| (parcel % 10, *weight), "by-van");
    /// let loads = by_van.try_reduce(
    ///     "loads",
    ///     |load, weight| Some(load + weight).filter(|load| *load <= 100).map(Some).ok_or("too heavy"),
    ///     |load, weight| Ok(Some(load - weight).filter(|load| *load > 0)),
    /// );
    /// loads.to_stream().to_compacted(LOADS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// [(17, 60), (27, 60), (37, 30)].iter().for_each(|(parcel, weight)| driver.send(PARCELS, 0, parcel, Some(weight)));
    /// driver.send(PARCELS, 1, &17, None);
    /// driver.send(PARCELS, 2, &37, None);
    /// let loads: Vec<_> = driver.drain(LOADS).into_iter().map(|record| record.value).collect();
    /// assert_eq!(loads, [Some(60), Some(90), Some(30), None]);
    /// ```
    pub fn try_reduce<E: Display>(
        &self,
        store: impl Into<Materialized>,
        add: impl Fn(&V, &V) -> Result<Option<V>, E> + Clone + Send + Sync + 'static,
        subtract: impl Fn(&V, &V) -> Result<Option<V>, E> + Clone + Send + Sync + 'static,
    ) -> Table<K, V> {
        let refused = |error: E| ProcessError::Record(error.to_string());
        self.fold(
            store.into(),
            move |_, value, before| match before {
                Some(before) => add(&before, value).map_err(refused),
                None => Ok(Some(value.clone())),
            },
            move |_, value, before| subtract(&before, value).map_err(refused),
        )
    }

    /// The rows of both in the same groups: what follows adds up the rows of several tables, or those of one by several keys of theirs, into
    /// one table. Since each row is taken back as it was added, the order in which they come makes no difference to sums and counts.
    ///
    /// It is to tables what [`cogroup`](crate::dsl::Grouped::cogroup) is to streams; Kafka Streams does not have it.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// // Flights from one city to another, and how many begin or end in each.
    /// const FLIGHTS: Topic<i64, String> = Topic::new("flights");
    /// const TRAFFIC: Topic<String, i64> = Topic::new("traffic");
    ///
    /// let b = Builder::new("example");
    /// let flights = b.table(FLIGHTS, "flights");
    /// let end = |flight: &String, end: usize| flight.split('-').nth(end).unwrap_or_default().to_owned();
    /// let departures = flights.group_by(move |_, flight| (end(flight, 0), 1_i64), "departures");
    /// let arrivals = flights.group_by(move |_, flight| (end(flight, 1), 1_i64), "arrivals");
    /// departures.merge(&arrivals).count("traffic").to_stream().to_compacted(TRAFFIC);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(FLIGHTS, 0, &1, Some(&"Rome-Oslo".to_owned()));
    /// driver.send(FLIGHTS, 1, &2, Some(&"Oslo-Bern".to_owned()));
    /// driver.send(FLIGHTS, 2, &1, None);
    /// let of_oslo = driver.drain(TRAFFIC).into_iter().filter(|record| record.key == "Oslo").map(|record| record.value.unwrap());
    /// assert_eq!(of_oslo.collect::<Vec<_>>(), [1, 2, 1]);
    /// ```
    pub fn merge(&self, other: &Self) -> Self {
        Self {
            changes: self.changes.merge(&other.changes),
            is_summed: self.is_summed || other.is_summed,
        }
    }

    fn fold<T: StoreValue>(
        &self,
        store: Materialized,
        add: impl Fn(&K, &V, Option<T>) -> Result<Option<T>, ProcessError> + Clone + Send + Sync + 'static,
        subtract: impl Fn(&K, &V, T) -> Result<Option<T>, ProcessError> + Clone + Send + Sync + 'static,
    ) -> Table<K, T> {
        let rows = RowStore::<K, T>::new(&store);
        let old = OldValues::known();
        let wanted = old.clone();
        let adds_first = self.is_summed;
        let changes = self.changes.stateful(
            format!("{}.table", rows.name()),
            rows.definitions(),
            move |record, stores, out| {
                let (key, change) = (&record.key, &record.value);
                let mut store = rows.open(stores);
                let before = store.get(key)?;
                let later_ms = later_ms(before.as_ref(), record.timestamp_ms);
                let before = before.map(|row| row.value);
                let old = before.clone().filter(|_| wanted.is_wanted());
                let (mut now, mut at_ms) = (before, record.timestamp_ms);
                for adds in [adds_first, !adds_first] {
                    match (adds, &change.new, &change.old, &now) {
                        (true, Some(value), ..) => now = add(key, value, now)?,
                        (false, _, Some(value), Some(_)) => now = now.map_or(Ok(None), |row| subtract(key, value, row))?,
                        _ => continue,
                    }
                    at_ms = later_ms;
                }
                if let Some(change) = store.put(key, Change::new(now, old), at_ms)? {
                    out.push(Record::new(key.clone(), change, at_ms));
                }
                Ok(())
            },
        );
        Table::stored(changes, rows, old)
    }
}
