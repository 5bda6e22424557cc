//! What each operator is in the engine's DSL.

use std::time::Duration;

use topology::dsl::Materialized;
use wire::Topic;

use super::key::Key;
use super::{Made, Plant, Translation, function, key, materialized, rows, store, stored, topic, topics, wrong_input};
use crate::case::{Function, Node};
use crate::value::{Maybe, Totals};

/// An operator that streams have, whether their keys are those of their topic or not.
macro_rules! stateless {
    ($self:ident, $node:ident, $method:ident $(, $argument:expr)?) => {
        match $self.input($node, 0)? {
            Made::Stream(stream) => Made::Stream(stream.$method($($argument)?)),
            Made::Processed(stream) => Made::Processed(stream.$method($($argument)?)),
            Made::Rekeyed(stream) => Made::Rekeyed(stream.$method($($argument)?)),
            _ => return Err(wrong_input($node)),
        }
    };
}

/// The same of operators that change keys.
macro_rules! rekeying {
    ($self:ident, $node:ident, $method:ident, $argument:expr) => {
        Made::Rekeyed(match $self.input($node, 0)? {
            Made::Stream(stream) | Made::Processed(stream) => stream.$method($argument),
            Made::Rekeyed(stream) => stream.$method($argument),
            _ => return Err(wrong_input($node)),
        })
    };
}

impl<K: Key> Translation<'_, K> {
    pub(super) fn node(&self, node: &Node) -> Result<Made<K>, String> {
        match node.op.as_str() {
            "stream" | "filter" | "filter_not" | "map" | "flat_map" | "map_values" | "flat_map_values" | "select_key"
            | "peek" | "for_each" | "merge" | "split" | "branch" | "repartition" | "process" | "to" | "to_by" => {
                self.of_stream(node)
            }
            _ => self.of_table(node),
        }
    }

    fn of_stream(&self, node: &Node) -> Result<Made<K>, String> {
        Ok(match node.op.as_str() {
            "stream" => Made::Stream(self.builder.changes(topic(node)).map_values(|_, value| Maybe(*value))),
            "filter" => {
                let (keep, inverted) = (function(node)?, self.plant == Some(Plant::FilterInverted));
                stateless!(self, node, filter, move |_, value| keep.accepts(value.0) != inverted)
            }
            "filter_not" => {
                let drop = function(node)?;
                stateless!(self, node, filter_not, move |_, value| drop.accepts(value.0))
            }
            "map" => {
                let (key, map) = (key(node)?, function(node)?);
                rekeying!(self, node, map, move |_, value| (
                    K::new(key.key(value.0)),
                    Maybe(map.map(value.0))
                ))
            }
            "flat_map" => {
                let (key, map) = (key(node)?, function(node)?);
                rekeying!(self, node, flat_map, move |_, value| {
                    let each = |value| (K::new(key.key(Some(value))), Maybe(Some(value)));
                    map.flat_map(value.0).into_iter().map(each).collect::<Vec<_>>()
                })
            }
            "map_values" => {
                let map = function(node)?;
                stateless!(self, node, map_values, move |_, value| Maybe(map.map(value.0)))
            }
            "flat_map_values" => {
                let map = function(node)?;
                let each = move |value: &Maybe| map.flat_map(value.0).into_iter().map(|value| Maybe(Some(value)));
                stateless!(self, node, flat_map_values, move |_, value| each(value).collect::<Vec<_>>())
            }
            "select_key" => {
                let key = key(node)?;
                rekeying!(self, node, select_key, move |_, value| K::new(key.key(value.0)))
            }
            "peek" => stateless!(self, node, peek, self.look(node)),
            "for_each" => {
                self.rekeyed(node, 0)?.for_each(self.look(node));
                Made::Nothing
            }
            "merge" => self.merge(node)?,
            "split" => {
                let named = node.functions.iter().cloned().enumerate();
                let takes = |takes: Function| move |_: &K, value: &Maybe| takes.accepts(value.0);
                Made::Branches(match self.input(node, 0)? {
                    Made::Rekeyed(stream) => {
                        let split = stream.split();
                        let branches = named.map(|(at, function)| split.branch(&at.to_string(), takes(function)));
                        let branches: Vec<_> = branches.collect();
                        branches.into_iter().chain([split.rest("rest")]).map(Made::Rekeyed).collect()
                    }
                    of => {
                        let split = self.stream(node, 0)?.split();
                        let branches = named.map(|(at, function)| split.branch(&at.to_string(), takes(function)));
                        let branches: Vec<_> = branches.collect();
                        let branches = branches.into_iter().chain([split.rest("rest")]);
                        match of {
                            Made::Processed(_) => branches.map(Made::Processed).collect(),
                            _ => branches.map(Made::Stream).collect(),
                        }
                    }
                })
            }
            "branch" => match self.input(node, 0)? {
                Made::Branches(branches) => match &branches[node.index.unwrap_or_default()] {
                    Made::Rekeyed(stream) => Made::Rekeyed(stream.clone()),
                    Made::Processed(stream) => Made::Processed(stream.clone()),
                    Made::Stream(stream) => Made::Stream(stream.clone()),
                    _ => return Err(wrong_input(node)),
                },
                _ => return Err(wrong_input(node)),
            },
            "repartition" => Made::Stream(self.through_a_topic(node, 0)?),
            "process" => {
                let every = Duration::from_millis(node.every.unwrap_or_default().unsigned_abs());
                let (keyed, widened) = (format!("{}-keyed", node.id), format!("{}-widened", node.id));
                let (name, store, totals) = (node.id.as_str(), Totals::store(store(node)?), move || Totals { every });
                match self.input(node, 0)? {
                    Made::Rekeyed(stream) => {
                        let sums = K::narrow_rekeyed(stream, &keyed).process(name, store, totals);
                        Made::Rekeyed(K::widen_rekeyed(sums, &widened))
                    }
                    _ => {
                        let sums = K::narrow(self.stream(node, 0)?, &keyed).process(name, store, totals);
                        Made::Processed(K::widen(sums, &widened))
                    }
                }
            }
            "to_by" => {
                let key = key(node)?;
                let named: Vec<Topic<K, i64>> = topics(node).iter().map(|topic| Topic::named(topic.name())).collect();
                let keys: Vec<Option<String>> = (0..key.parameters[0])
                    .map(Some)
                    .chain([None])
                    .map(|rest| key.key(rest))
                    .collect();
                let choose = move |_: &K, value: &Maybe| keys.iter().position(|other| *other == key.key(value.0));
                self.rekeyed(node, 0)?.to_by(&named, choose);
                Made::Nothing
            }
            "to" => {
                match self.input(node, 0)? {
                    Made::Rekeyed(stream) => stream.to::<i64>(topic(node)),
                    _ => self.stream(node, 0)?.to::<i64>(topic(node)),
                }
                Made::Nothing
            }
            _ => return Err(format!("{}: the engine has no {}", node.id, node.op)),
        })
    }

    fn of_table(&self, node: &Node) -> Result<Made<K>, String> {
        Ok(match node.op.as_str() {
            "to_table" => Made::Table(self.keyed(node, 0)?.to_table(materialized(node)?)),
            "group_by_key" => Made::ToGroup(Box::new(node.clone())),
            "group_by" => {
                let key = key(node)?;
                let grouped = move |value: &Maybe| value.0.and_then(|value| Some((key.key(Some(value))?, value)));
                let stream = self.rekeyed(node, 0)?.flat_map(move |_, value| grouped(value));
                Made::Grouped(stream.group_by_key(&node.id))
            }
            "count" => Made::Table(self.grouped(node)?.count(materialized(node)?)),
            "reduce" => {
                let fold = function(node)?;
                Made::Table(
                    self.grouped(node)?
                        .reduce(materialized(node)?, move |all, value| fold.fold(*all, *value)),
                )
            }
            "aggregate" => {
                let (fold, init) = (function(node)?, self.initial(node));
                Made::Table(self.grouped(node)?.aggregate(
                    materialized(node)?,
                    move || init,
                    move |_, value, all| fold.fold(all, *value),
                ))
            }
            "cogroup" => {
                let mut inputs = (0..node.inputs.len()).zip(node.functions.iter().cloned());
                let (_, first) = inputs.next().ok_or_else(|| wrong_input(node))?;
                let mut all = self
                    .grouped_at(node, 0)?
                    .cogroup(move |_, value, all| first.fold(all, *value));
                for (at, fold) in inputs {
                    all = all.cogroup(&self.grouped_at(node, at)?, move |_, value, all| fold.fold(all, *value));
                }
                let init = self.initial(node);
                Made::Table(all.aggregate(materialized(node)?, move || init))
            }
            "table" => Made::Table(self.builder.table(topic(node), materialized(node)?)),
            "table_filter" => {
                let keep = function(node)?;
                stored(self.table(node, 0)?.filter(move |_, value| keep.accepts(Some(*value))), node)
            }
            "table_filter_not" => {
                let drop = function(node)?;
                stored(
                    self.table(node, 0)?.filter_not(move |_, value| drop.accepts(Some(*value))),
                    node,
                )
            }
            "table_map_values" => {
                let map = function(node)?;
                let table = self.table(node, 0)?;
                stored(table.filter_map_values(move |_, value| map.map(Some(*value))), node)
            }
            "to_stream" => self.widened(self.table(node, 0)?.to_stream().map_values(|_, value| Maybe(*value)), node),
            "table_group_by" => {
                let key = key(node)?;
                let (named, group) = (key.clone(), move |_: &String, value: &i64| {
                    (key.key(Some(*value)).unwrap_or_default(), *value)
                });
                let table = self.table(node, 0)?;
                Made::GroupedTable(match named.name.as_str() {
                    "fk_mod" => table
                        .filter(move |_, value| named.key(Some(*value)).is_some())
                        .group_by(group, &node.id),
                    _ => table.group_by(group, &node.id),
                })
            }
            "table_count" => Made::Table(self.grouped_table(node)?.count(materialized(node)?)),
            "table_reduce" => {
                let (fold, subtract) = (function(node)?, self.subtractor(node)?);
                Made::Table(self.grouped_table(node)?.reduce(
                    materialized(node)?,
                    move |all, value| fold.fold(*all, *value),
                    move |all, value| subtract(*all, *value),
                ))
            }
            "table_aggregate" => {
                let (fold, subtract, init) = (function(node)?, self.subtractor(node)?, self.initial(node));
                Made::Table(self.grouped_table(node)?.aggregate(
                    materialized(node)?,
                    move || init,
                    move |_, value, all| fold.fold(all, *value),
                    move |_, value, all| subtract(all, *value),
                ))
            }
            "join" => {
                let join = function(node)?;
                let join = move |_: &String, left: &i64, right: &i64| Maybe(join.join(Some(*left), Some(*right)));
                let (left, right) = (rows(&self.keyed(node, 0)?), self.table(node, 1)?);
                let joined = match grace(node) {
                    Some((grace, store)) => left.join_with_grace(right, grace, &store, join),
                    None => left.join(right, join),
                };
                self.widened(joined, node)
            }
            "left_join" => self.left_join(node)?,
            "table_join" => {
                let join = function(node)?;
                let joined = self
                    .table(node, 0)?
                    .filter_join(self.table(node, 1)?, move |left, right| join.join(Some(*left), Some(*right)));
                stored(joined, node)
            }
            "table_left_join" => {
                let join = function(node)?;
                let joined = self
                    .table(node, 0)?
                    .filter_left_join(self.table(node, 1)?, move |left, right| {
                        join.join(Some(*left), right.copied())
                    });
                stored(joined, node)
            }
            "table_outer_join" if self.plant == Some(Plant::OuterJoinOfTheLeft) => {
                let join = function(node)?;
                let joined = move |left: &i64, right: Option<&i64>| join.join(Some(*left), right.copied());
                stored(self.table(node, 0)?.filter_left_join(self.table(node, 1)?, joined), node)
            }
            "table_outer_join" => {
                let join = function(node)?;
                let joined = self
                    .table(node, 0)?
                    .filter_outer_join(self.table(node, 1)?, move |left, right| {
                        join.join(left.copied(), right.copied())
                    });
                stored(joined, node)
            }
            "fk_left_join" if self.plant == Some(Plant::ForeignKeyJoinDropsUnmatched) => self.fk_join(node)?,
            "fk_join" => self.fk_join(node)?,
            "fk_left_join" => {
                let (key, join) = (key(node)?, function(node)?);
                let key = move |_: &String, value: &i64| key.key(Some(*value));
                let joined = move |left: &i64, right: Option<&i64>| join.join(Some(*left), right.copied());
                let (left, right) = (self.table(node, 0)?, self.table(node, 1)?);
                Made::Table(left.fk_filter_left_join(right, key, joined, joined_store(node)))
            }
            other => return Err(format!("{}: the engine has no {other}", node.id)),
        })
    }

    fn merge(&self, node: &Node) -> Result<Made<K>, String> {
        if self.plant == Some(Plant::MergeOfOneSide) {
            return Ok(Made::Rekeyed(self.rekeyed(node, 0)?));
        }
        Ok(match (self.input(node, 0)?, self.input(node, 1)?) {
            (Made::Stream(one), Made::Stream(other)) => Made::Stream(one.merge(other)),
            (Made::Stream(_) | Made::Processed(_), Made::Stream(_) | Made::Processed(_)) => {
                Made::Processed(self.stream(node, 0)?.merge(&self.stream(node, 1)?))
            }
            _ => Made::Rekeyed(self.rekeyed(node, 0)?.merge(&self.rekeyed(node, 1)?)),
        })
    }

    fn left_join(&self, node: &Node) -> Result<Made<K>, String> {
        let (join, right) = (function(node)?, self.table(node, 1)?);
        if self.plant == Some(Plant::LeftJoinDropsUnmatched) {
            let joined =
                rows(&self.keyed(node, 0)?).join(right, move |_, left, right| Maybe(join.join(Some(*left), Some(*right))));
            return Ok(self.widened(joined, node));
        }
        let joiner = move |left: i64, right: Option<i64>| Maybe(join.join(Some(left), right));
        if let Some((grace, store)) = grace(node) {
            let left = rows(&self.keyed(node, 0)?);
            let joined = left.left_join_with_grace(right, grace, &store, move |_, left, right| joiner(*left, right.copied()));
            return Ok(self.widened(joined, node));
        }
        Ok(Made::Stream(match self.input(node, 0)? {
            Made::Rekeyed(_) | Made::Processed(_) => {
                let left = self.rekeyed(node, 0)?.flat_map_values(|_, value| value.0);
                K::left_join_rekeyed(&left, right, &format!("{}-left", node.id), joiner)
            }
            _ => K::left_join(&self.stream(node, 0)?.flat_map_values(|_, value| value.0), right, joiner),
        }))
    }

    fn fk_join(&self, node: &Node) -> Result<Made<K>, String> {
        let (key, join) = (key(node)?, function(node)?);
        let key = move |_: &String, value: &i64| key.key(Some(*value));
        let joined = move |left: &i64, right: &i64| join.join(Some(*left), Some(*right));
        let (left, right) = (self.table(node, 0)?, self.table(node, 1)?);
        Ok(Made::Table(left.fk_filter_join(right, key, joined, joined_store(node))))
    }
}

/// A foreign-key join always keeps its result.
fn joined_store(node: &Node) -> Materialized {
    materialized(node).unwrap_or_else(|_| node.id.as_str().into())
}

/// How long a join waits, and in which store.
fn grace(node: &Node) -> Option<(Duration, String)> {
    let grace = Duration::from_millis(node.grace?.unsigned_abs());
    Some((grace, format!("{}-waiting", node.id)))
}
