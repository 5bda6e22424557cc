//! What each operator is in the engine's DSL.

use std::time::Duration;

use topology::store::Store;
use wire::Topic;

use super::key::Key;
use super::{Made, Plant, Translation, function, key, row, rows, store, stored, topic, topics, versions, wrong_input};
use crate::case::Node;
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
                let split = self.stream(node, 0)?.split();
                let named = node.functions.iter().cloned().enumerate();
                let mut branches: Vec<_> = named
                    .map(|(at, takes)| split.branch(&at.to_string(), move |_, value| takes.accepts(value.0)))
                    .collect();
                branches.push(split.rest("rest"));
                Made::Branches(branches)
            }
            "branch" => match self.input(node, 0)? {
                Made::Branches(branches) => Made::Stream(branches[node.index.unwrap_or_default()].clone()),
                _ => return Err(wrong_input(node)),
            },
            "repartition" => Made::Stream(self.through_a_topic(node, 0)?),
            "process" => {
                let every = Duration::from_millis(node.every.unwrap_or_default().unsigned_abs());
                let stream = K::narrow(self.stream(node, 0)?, &format!("{}-keyed", node.id));
                let totals = stream.process(node.id.as_str(), Totals::store(store(node)?), move || Totals { every });
                Made::Processed(K::widen(totals, &format!("{}-widened", node.id)))
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
                self.stream(node, 0)?.to_by(&named, choose);
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
            "to_table" => {
                let stream = self.keyed(node, 0)?;
                Made::Table(match versions(node) {
                    Some(versions) => stream.to_versioned_table(versions.name(), retention(node)),
                    None => stream.to_table(store(node)?),
                })
            }
            "group_by_key" => Made::ToGroup(Box::new(node.clone())),
            "group_by" => {
                let key = key(node)?;
                let grouped = move |value: &Maybe| value.0.and_then(|value| Some((key.key(Some(value))?, value)));
                let stream = self.rekeyed(node, 0)?.flat_map(move |_, value| grouped(value));
                Made::Grouped(stream.group_by_key(&node.id))
            }
            "count" => Made::Table(self.grouped(node)?.count(store(node)?)),
            "reduce" => {
                let fold = function(node)?;
                Made::Table(
                    self.grouped(node)?
                        .reduce(store(node)?, move |all, value| row(fold.fold(*all, *value))),
                )
            }
            "aggregate" => {
                let (fold, init) = (function(node)?, self.initial(node));
                Made::Table(self.grouped(node)?.aggregate(
                    store(node)?,
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
                Made::Table(all.aggregate(store(node)?, move || init))
            }
            "table" => Made::Table(match versions(node) {
                Some(versions) => self.builder.versioned_table(topic(node), versions.name(), retention(node)),
                None => self.builder.table(topic(node), store(node)?),
            }),
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
                match map.name.as_str() {
                    "null_if" => stored(table.filter_map_values(move |_, value| map.map(Some(*value))), node),
                    _ => stored(table.map_values(move |_, value| row(map.map(Some(*value)))), node),
                }
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
            "table_count" => Made::Table(self.grouped_table(node)?.count(store(node)?)),
            "table_reduce" => {
                let (fold, subtract) = (function(node)?, self.subtractor(node)?);
                Made::Table(self.grouped_table(node)?.reduce(
                    store(node)?,
                    move |all, value| row(fold.fold(*all, *value)),
                    move |all, value| row(subtract(*all, *value)),
                ))
            }
            "table_aggregate" => {
                let (fold, subtract, init) = (function(node)?, self.subtractor(node)?, self.initial(node));
                Made::Table(self.grouped_table(node)?.aggregate(
                    store(node)?,
                    move || init,
                    move |_, value, all| fold.fold(all, *value),
                    move |_, value, all| subtract(all, *value),
                ))
            }
            "join" => {
                let join = function(node)?;
                let joined = rows(&self.keyed(node, 0)?).join(self.table(node, 1)?, move |_, left, right| {
                    Maybe(join.join(Some(*left), Some(*right)))
                });
                self.widened(joined, node)
            }
            "left_join" => {
                let join = function(node)?;
                let (left, right) = (rows(&self.keyed(node, 0)?), self.table(node, 1)?);
                let joined = match self.plant {
                    Some(Plant::LeftJoinDropsUnmatched) => {
                        left.join(right, move |_, left, right| Maybe(join.join(Some(*left), Some(*right))))
                    }
                    _ => left.left_join(right, move |_, left, right| Maybe(join.join(Some(*left), right.copied()))),
                };
                self.widened(joined, node)
            }
            "table_join" => {
                let join = function(node)?;
                let joined = self.table(node, 0)?.join(self.table(node, 1)?, move |left, right| {
                    row(join.join(Some(*left), Some(*right)))
                });
                stored(joined, node)
            }
            "table_left_join" => {
                let join = function(node)?;
                let joined = self.table(node, 0)?.left_join(self.table(node, 1)?, move |left, right| {
                    row(join.join(Some(*left), right.copied()))
                });
                stored(joined, node)
            }
            "table_outer_join" if self.plant == Some(Plant::OuterJoinOfTheLeft) => {
                let join = function(node)?;
                let joined = move |left: &i64, right: Option<&i64>| row(join.join(Some(*left), right.copied()));
                stored(self.table(node, 0)?.left_join(self.table(node, 1)?, joined), node)
            }
            "table_outer_join" => {
                let join = function(node)?;
                let joined = self.table(node, 0)?.outer_join(self.table(node, 1)?, move |left, right| {
                    row(join.join(left.copied(), right.copied()))
                });
                stored(joined, node)
            }
            "fk_left_join" if self.plant == Some(Plant::ForeignKeyJoinDropsUnmatched) => self.fk_join(node)?,
            "fk_join" => self.fk_join(node)?,
            "fk_left_join" => {
                let (key, join) = (key(node)?, function(node)?);
                let key = move |_: &String, value: &i64| key.key(Some(*value));
                let joined = move |left: &i64, right: Option<&i64>| row(join.join(Some(*left), right.copied()));
                let (left, right) = (self.table(node, 0)?, self.table(node, 1)?);
                Made::Table(left.fk_left_join(right, key, joined, joined_store(node)))
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

    fn fk_join(&self, node: &Node) -> Result<Made<K>, String> {
        let (key, join) = (key(node)?, function(node)?);
        let key = move |_: &String, value: &i64| key.key(Some(*value));
        let joined = move |left: &i64, right: &i64| row(join.join(Some(*left), Some(*right)));
        let (left, right) = (self.table(node, 0)?, self.table(node, 1)?);
        Ok(Made::Table(left.fk_join(right, key, joined, joined_store(node))))
    }
}

/// A foreign-key join always keeps its result.
fn joined_store(node: &Node) -> &str {
    node.store.as_deref().unwrap_or(&node.id)
}

fn retention(node: &Node) -> Duration {
    Duration::from_millis(node.versioned.unwrap_or_default().unsigned_abs())
}
