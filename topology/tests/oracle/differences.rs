//! What is another way here than in Kafka Streams, on purpose.

use std::collections::BTreeSet;

use crate::case::{Case, Input, Node, feature};

/// A difference that is none to report.
pub struct Difference {
    pub name: &'static str,
    /// Why it is better this way.
    pub reason: &'static str,
    /// The nodes of a case whose results it can change; only at these does it excuse anything.
    pub nodes: fn(&Case) -> BTreeSet<&str>,
}

/// All of them.
pub const DIFFERENCES: [Difference; 7] = [
    Difference {
        name: "the first aggregate of a key has nothing before it",
        reason: "Kafka Streams tells the operators behind an aggregate that a key had the initial value before its first record: a row \
                 that never was is subtracted from a group, and its count, sum or aggregate is wrong from then on",
        nodes: |case| behind_old_values(case, asks, |_, node| ["count", "aggregate", "cogroup"].contains(&&*node.op)),
    },
    Difference {
        name: "a stored join says what its store had before",
        reason: "Where both sides of a join change with one record, each side's change is joined with the other's new row, and the \
                 second one says again that there was nothing, or another row, before: Kafka Streams passes that on, and a group \
                 behind it counts the row twice. Where the join keeps versions and its sides do not, a late row is joined but is none \
                 of the newest, so no group has it: Kafka Streams takes it out of the group with the next change all the same. A join \
                 with a store of its own knows better",
        nodes: |case| {
            behind_old_values(case, asks, |case, node| {
                let is_late = node.versioned.is_some() && !has_versions(case, &node.inputs);
                node.store.is_some() && is_table_join(node) && (meets_itself(case, node) || is_late)
            })
        },
    },
    Difference {
        name: "a foreign-key join always keeps its result",
        reason: "Where it is not asked to, Kafka Streams does not know what the result was before, and a filter behind it deletes rows \
                 that never were there",
        nodes: |case| behind_old_values(case, asks, |_, node| node.op.starts_with("fk_") && node.store.is_none()),
    },
    Difference {
        name: "a filter of a versioned table deletes only what was there",
        reason: "Kafka Streams does not look at what the table had before, and deletes each row that does not pass",
        nodes: |case| behind_old_values(case, is_table_filter, |_, node| node.versioned.is_some()),
    },
    Difference {
        name: "a row that names no foreign key is joined at once",
        reason: "Kafka Streams sends it through two internal topics for nothing. Until it comes back, the table may have changed: a value \
                 of a moment is not joined, or what the table meets behind its own left join is a state that never was",
        nodes: |case| {
            let meets = |node: &Node| meets_itself(case, node) && node.inputs.iter().any(|input| has_left_join(case, input));
            let changes_twice = |node: &Node| node.op == "fk_left_join" && comes_in_several(case, &node.inputs[0]);
            behind(case, |node| meets(node) || changes_twice(node))
        },
    },
    Difference {
        name: "a row that is deleted at its own time stays deleted",
        reason: "A late record of an aggregate that keeps versions has the time of the newest row. Where it makes nothing, that row is \
                 deleted at its own time, as one of a topic may be: Kafka Streams' versioned store then forgets that there was one, and the next late record is \
                 taken for the newest",
        nodes: |case| {
            let makes_null = |node: &Node| {
                let mut all = node.functions.iter().chain(&node.function).chain(&node.subtract);
                all.any(|function| function.name.ends_with("_null"))
            };
            let deletes = deletes_at_once(case);
            behind(case, |node| node.versioned.is_some() && (deletes || makes_null(node)))
        },
    },
    Difference {
        name: "a repartition passes records without a key on",
        reason: "Kafka Streams drops them there, unless a left join reads what comes of it: then it passes them on to all. Whoever does not \
                 want them can filter",
        nodes: |case| {
            let has_nulls = case.needs().contains(feature::NULL_KEY);
            behind(case, |node| has_nulls && node.op == "repartition")
        },
    },
];

/// The nodes of this kind, and all that come from them.
fn behind(case: &Case, is_of_kind: impl Fn(&Node) -> bool) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for node in &case.nodes {
        if is_of_kind(node) || node.inputs.iter().any(|input| found.contains(input.as_str())) {
            found.insert(node.id.as_str());
        }
    }
    found
}

/// Whether an input record deletes what another made at the same time.
fn deletes_at_once(case: &Case) -> bool {
    let mut made = BTreeSet::new();
    case.inputs.iter().any(|input| match input {
        Input::Record(topic, key, value, at_ms) => !made.insert((topic, key, at_ms)) && value.is_none(),
        Input::Advance(_) => false,
    })
}

/// Whether one input record can be several changes here.
fn comes_in_several(case: &Case, id: &str) -> bool {
    let before = before(case, id);
    let makes_several = |node: &&Node| {
        ["flat_map", "flat_map_values", "table_group_by"].contains(&&*node.op)
            || node.op.starts_with("fk_")
            || meets_itself(case, node)
    };
    case.nodes
        .iter()
        .filter(makes_several)
        .any(|node| before.contains(node.id.as_str()))
}

fn has_left_join(case: &Case, id: &str) -> bool {
    let before = before(case, id);
    case.nodes
        .iter()
        .any(|node| node.op == "fk_left_join" && before.contains(node.id.as_str()))
}

/// The nodes of a kind that read tables of another kind, directly or through others that pass changes on, and all behind them.
fn behind_old_values(case: &Case, asks: impl Fn(&Node) -> bool, is_told: impl Fn(&Case, &Node) -> bool) -> BTreeSet<&str> {
    let mut tables = BTreeSet::new();
    for node in &case.nodes {
        let is_mapped = node.op == "table_map_values" && tables.contains(node.inputs[0].as_str());
        if is_mapped || is_told(case, node) {
            tables.insert(node.id.as_str());
        }
    }
    behind(case, |node| {
        asks(node) && node.inputs.iter().any(|input| tables.contains(input.as_str()))
    })
}

fn is_table_filter(node: &Node) -> bool {
    ["table_filter", "table_filter_not"].contains(&&*node.op)
}

/// Whether an operator asks for the rows as they were before.
fn asks(node: &Node) -> bool {
    is_table_filter(node) || node.op == "table_group_by" || is_table_join(node)
}

fn is_table_join(node: &Node) -> bool {
    node.op.starts_with("fk_") || (node.op.starts_with("table_") && node.op.ends_with("_join"))
}

/// Whether all these tables keep versions.
fn has_versions(case: &Case, ids: &[String]) -> bool {
    let mut of_ids = case.nodes.iter().filter(|node| ids.contains(&node.id));
    of_ids.all(|node| node.versioned.is_some())
}

/// Whether two inputs come from one node.
fn meets_itself(case: &Case, node: &Node) -> bool {
    match &node.inputs[..] {
        [one, other] => !before(case, one).is_disjoint(&before(case, other)),
        _ => false,
    }
}

/// A node and all those that it comes from.
fn before<'a>(case: &'a Case, id: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([id]);
    for node in case.nodes.iter().rev() {
        if found.contains(node.id.as_str()) {
            found.extend(node.inputs.iter().map(String::as_str));
        }
    }
    found
}
