//! A case in the neutral form that both sides read: a topology, what it is fed, and what Kafka Streams made of it. README.md has the
//! format.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A key, a value, a timestamp; each may be missing.
pub type Row = (Option<String>, Option<i64>, Option<i64>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What it was generated from, with `focus`.
    pub seed: u64,
    /// The operator that it was generated for.
    pub focus: String,
    /// In an order in which inputs come before who reads them.
    pub nodes: Vec<Node>,
    pub inputs: Vec<Input>,
    /// Why Kafka Streams does not take the topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    #[serde(flatten)]
    pub expected: Found,
}

/// What came of a case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// By topic, in order; what a node peeked at is under `peek:<id>`.
    pub outputs: BTreeMap<String, Vec<Row>>,
    /// By store, in the order of keys.
    pub stores: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// Topic, key, value, timestamp.
    Record(String, Option<String>, Option<i64>, i64),
    /// The wall clock moves on by so many milliseconds.
    Advance([i64; 1]),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub id: String,
    pub op: String,
    #[serde(rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Function>,
    #[serde(rename = "fn", skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// The subtractor.
    #[serde(rename = "sub", skip_serializing_if = "Option::is_none")]
    pub subtract: Option<Function>,
    /// A split's predicates, a cogroup's aggregators.
    #[serde(rename = "fns", skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Which of a split's branches; the one after its predicates is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The store keeps versions, for so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versioned: Option<i64>,
    /// A stream-table join waits so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<i64>,
    /// A punctuator's interval, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<i64>,
}

/// A function of the closed set: its name and its parameters, `["mul_add", 3, 1, 100]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<Value>", try_from = "Vec<Value>")]
pub struct Function {
    pub name: String,
    pub parameters: Vec<i64>,
}

impl Function {
    pub fn new(name: &str, parameters: &[i64]) -> Self {
        Self {
            name: name.to_owned(),
            parameters: parameters.to_vec(),
        }
    }
}

impl From<Function> for Vec<Value> {
    fn from(function: Function) -> Self {
        let name = std::iter::once(Value::from(function.name));
        name.chain(function.parameters.into_iter().map(Value::from)).collect()
    }
}

impl TryFrom<Vec<Value>> for Function {
    type Error = &'static str;

    fn try_from(values: Vec<Value>) -> Result<Self, Self::Error> {
        let (name, parameters) = values.split_first().ok_or("a function without a name")?;
        Ok(Self {
            name: name.as_str().ok_or("a function's name is a text")?.to_owned(),
            parameters: parameters.iter().filter_map(Value::as_i64).collect(),
        })
    }
}

/// Every operator of the format.
pub const OPERATORS: [&str; 40] = [
    "stream",
    "filter",
    "filter_not",
    "map",
    "flat_map",
    "map_values",
    "flat_map_values",
    "select_key",
    "peek",
    "for_each",
    "merge",
    "split",
    "branch",
    "repartition",
    "process",
    "to",
    "to_by",
    "table",
    "to_table",
    "to_stream",
    "table_filter",
    "table_filter_not",
    "table_map_values",
    "group_by_key",
    "group_by",
    "count",
    "reduce",
    "aggregate",
    "cogroup",
    "table_group_by",
    "table_count",
    "table_reduce",
    "table_aggregate",
    "join",
    "left_join",
    "table_join",
    "table_left_join",
    "table_outer_join",
    "fk_join",
    "fk_left_join",
];

/// What a case may need beside its operators.
pub mod feature {
    /// Records whose key is null.
    pub const NULL_KEY: &str = "null key";
    /// A left join of a stream that may have null keys.
    pub const NULL_KEY_LEFT: &str = "left join of a null key";
    /// A table from a topic or a stream whose store keeps versions.
    pub const VERSIONED: &str = "versioned table";
    /// What another operator makes, in a store that keeps versions.
    pub const VERSIONED_RESULT: &str = "versioned result";
    /// A stream-table join that waits for late rows.
    pub const GRACE: &str = "join with grace";
    /// A table's filter, map or join whose result has a store.
    pub const MATERIALIZED: &str = "materialized table operator";
    /// These operators directly on a stream that was given other keys.
    pub const REKEYED: &str = "split, process or to_by of other keys";
    /// A null from a function on rows, which deletes the row: a reducer, a joiner of tables.
    pub const NULL_RESULT: &str = "null from a reducer or a joiner of tables";

    pub const ALL: [&str; 8] = [
        NULL_KEY,
        NULL_KEY_LEFT,
        VERSIONED,
        VERSIONED_RESULT,
        GRACE,
        MATERIALIZED,
        REKEYED,
        NULL_RESULT,
    ];
}

const KEY_CHANGING: [&str; 3] = ["select_key", "map", "flat_map"];
const STATELESS: [&str; 9] = [
    "filter",
    "filter_not",
    "map_values",
    "flat_map_values",
    "peek",
    "for_each",
    "merge",
    "split",
    "process",
];
const OPTIONAL_STORE: [&str; 8] = [
    "table_filter",
    "table_filter_not",
    "table_map_values",
    "table_join",
    "table_left_join",
    "table_outer_join",
    "fk_join",
    "fk_left_join",
];

impl Case {
    /// The operators and features without which it cannot run.
    pub fn needs(&self) -> BTreeSet<&str> {
        let mut needs: BTreeSet<&str> = self.nodes.iter().map(|node| node.op.as_str()).collect();
        let mut rekeyed = BTreeSet::new();
        for node in &self.nodes {
            let op = node.op.as_str();
            let is_rekeyed = node.inputs.iter().any(|input| rekeyed.contains(input));
            let stays = is_rekeyed && (STATELESS.contains(&op) || op == "branch");
            if KEY_CHANGING.contains(&op) || stays {
                rekeyed.insert(&node.id);
            }
            let has_null = node.key.as_ref().is_some_and(|key| key.name == "fk_mod") && !op.starts_with("fk_");
            let mut functions = [&node.function, &node.subtract].into_iter().flatten();
            let of_rows = ["reduce", "table_reduce"].contains(&op)
                || (["table_", "fk_"].iter().any(|prefix| op.starts_with(prefix)) && op.ends_with("join"));
            let makes_null = functions.any(|function| ["pair_null", "chain_null"].contains(&&*function.name));
            let is_table = ["table", "to_table"].contains(&op);
            let features = [
                (of_rows && makes_null, feature::NULL_RESULT),
                (is_rekeyed && ["split", "process", "to_by"].contains(&op), feature::REKEYED),
                (has_null, feature::NULL_KEY),
                (node.versioned.is_some() && is_table, feature::VERSIONED),
                (node.versioned.is_some() && !is_table, feature::VERSIONED_RESULT),
                (node.grace.is_some(), feature::GRACE),
                (node.store.is_some() && OPTIONAL_STORE.contains(&op), feature::MATERIALIZED),
            ];
            needs.extend(features.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name));
        }
        if self.inputs.iter().any(|input| matches!(input, Input::Record(_, None, ..))) {
            needs.insert(feature::NULL_KEY);
        }
        if needs.contains(feature::NULL_KEY) && needs.contains("left_join") {
            needs.insert(feature::NULL_KEY_LEFT);
        }
        needs
    }
}
