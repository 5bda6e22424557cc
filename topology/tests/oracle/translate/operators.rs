//! What each operator is in the engine's DSL.

use std::time::Duration;

use super::{Made, Plant, Translation, function, key, new_key, row, rows, store, stored, topic, wrong_input};
use crate::case::Node;
use crate::value::{Maybe, Totals};

impl Translation<'_> {
    pub(super) fn node(&self, node: &Node) -> Result<Made, String> {
        Ok(match node.op.as_str() {
            "stream" => Made::Stream(self.builder.changes(topic(node)).map_values(|_, value| Maybe(*value))),
            "filter" => {
                let (keep, inverted) = (function(node)?, self.plant == Some(Plant::FilterInverted));
                Made::Stream(
                    self.stream(node, 0)?
                        .filter(move |_, value| keep.accepts(value.0) != inverted),
                )
            }
            "filter_not" => {
                let drop = function(node)?;
                Made::Stream(self.stream(node, 0)?.filter_not(move |_, value| drop.accepts(value.0)))
            }
            "map" => {
                let (key, map) = (key(node)?, function(node)?);
                Made::Rekeyed(
                    self.stream(node, 0)?
                        .map(move |_, value| (new_key(&key, value.0), Maybe(map.map(value.0)))),
                )
            }
            "flat_map" => {
                let (key, map) = (key(node)?, function(node)?);
                Made::Rekeyed(self.stream(node, 0)?.flat_map(move |_, value| {
                    let each = |value| (new_key(&key, Some(value)), Maybe(Some(value)));
                    map.flat_map(value.0).into_iter().map(each).collect::<Vec<_>>()
                }))
            }
            "map_values" => {
                let map = function(node)?;
                Made::Stream(self.stream(node, 0)?.map_values(move |_, value| Maybe(map.map(value.0))))
            }
            "flat_map_values" => {
                let map = function(node)?;
                let each = move |value: &Maybe| map.flat_map(value.0).into_iter().map(|value| Maybe(Some(value)));
                Made::Stream(
                    self.stream(node, 0)?
                        .flat_map_values(move |_, value| each(value).collect::<Vec<_>>()),
                )
            }
            "select_key" => {
                let key = key(node)?;
                Made::Rekeyed(self.stream(node, 0)?.select_key(move |_, value| new_key(&key, value.0)))
            }
            "peek" => Made::Stream(self.stream(node, 0)?.peek(self.look(node))),
            "for_each" => {
                self.stream(node, 0)?.for_each(self.look(node));
                Made::Nothing
            }
            "merge" if self.plant == Some(Plant::MergeOfOneSide) => Made::Stream(self.stream(node, 0)?),
            "merge" => Made::Stream(self.stream(node, 0)?.merge(&self.stream(node, 1)?)),
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
                let every = Duration::from_millis(node.every.unwrap_or_default() as u64);
                let totals = move || Totals { every };
                Made::Processed(
                    self.stream(node, 0)?
                        .process(node.id.as_str(), Totals::store(store(node)?), totals),
                )
            }
            "to" => {
                match self.input(node, 0)? {
                    Made::Rekeyed(stream) => stream.to::<i64>(topic(node)),
                    _ => self.stream(node, 0)?.to::<i64>(topic(node)),
                }
                Made::Nothing
            }
            "to_table" => Made::Table(self.keyed(node, 0)?.to_table(store(node)?)),
            "group_by_key" => Made::Grouped(rows(&self.keyed(node, 0)?).group_by_key()),
            "group_by" => {
                let key = key(node)?;
                let name = node.id.as_str();
                Made::Grouped(rows(&self.before_a_topic(node, 0)?).group_by(move |_, value| new_key(&key, Some(*value)), name))
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
            "table" => Made::Table(self.builder.table(topic(node), store(node)?)),
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
                stored(
                    self.table(node, 0)?.map_values(move |_, value| row(map.map(Some(*value)))),
                    node,
                )
            }
            "to_stream" => Made::Stream(self.table(node, 0)?.to_stream().map_values(|_, value| Maybe(*value))),
            "table_group_by" => {
                let key = key(node)?;
                let group = move |_: &String, value: &i64| (new_key(&key, Some(*value)), *value);
                Made::GroupedTable(self.table(node, 0)?.group_by(group, &node.id))
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
                Made::Stream(joined)
            }
            "left_join" => {
                let join = function(node)?;
                let (left, right) = (rows(&self.keyed(node, 0)?), self.table(node, 1)?);
                Made::Stream(match self.plant {
                    Some(Plant::LeftJoinDropsUnmatched) => {
                        left.join(right, move |_, left, right| Maybe(join.join(Some(*left), Some(*right))))
                    }
                    _ => left.left_join(right, move |_, left, right| Maybe(join.join(Some(*left), right.copied()))),
                })
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

    fn fk_join(&self, node: &Node) -> Result<Made, String> {
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
