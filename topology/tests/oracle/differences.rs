//! What is another way here than in Kafka Streams, on purpose.

use std::collections::BTreeSet;

use crate::case::{Case, Node};

/// A difference that is none to report.
pub struct Difference {
    pub name: &'static str,
    /// Why it is better this way.
    pub reason: &'static str,
    /// The nodes of a case whose results it can change; only at these does it excuse anything.
    pub nodes: fn(&Case) -> BTreeSet<&str>,
}

/// All of them.
pub const DIFFERENCES: [Difference; 2] = [
    Difference {
        name: "the first aggregate of a key has nothing before it",
        reason: "Kafka Streams tells the operators behind an aggregate that a key had the initial value before its first record: a row \
                 that never was is subtracted from a group, and its count, sum or aggregate is wrong from then on",
        nodes: |case| behind_old_values(case, |_, node| ["count", "aggregate", "cogroup"].contains(&&*node.op)),
    },
    Difference {
        name: "a stored join says what its store had before",
        reason: "Where both sides of a join change with one record, each side's change is joined with the other's new row, and the \
                 second one says again that there was nothing, or another row, before: Kafka Streams passes that on, and a group \
                 behind it counts the row twice. A join with a store of its own knows better",
        nodes: |case| behind_old_values(case, |case, node| node.store.is_some() && joins_with_itself(case, node)),
    },
];

/// The nodes that read the old values of tables of this kind, directly or not.
fn behind_old_values(case: &Case, is_of_kind: impl Fn(&Case, &Node) -> bool) -> BTreeSet<&str> {
    let (mut tables, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for node in &case.nodes {
        let reads = |ids: &BTreeSet<&str>| node.inputs.iter().any(|input| ids.contains(input.as_str()));
        let asks = ["table_filter", "table_filter_not", "table_group_by"].contains(&&*node.op) || is_table_join(node);
        if reads(&changed) || (asks && reads(&tables)) {
            changed.insert(node.id.as_str());
        } else if is_of_kind(case, node) || (node.op == "table_map_values" && reads(&tables)) {
            tables.insert(node.id.as_str());
        }
    }
    changed
}

fn is_table_join(node: &Node) -> bool {
    node.op.starts_with("fk_") || (node.op.starts_with("table_") && node.op.ends_with("_join"))
}

/// Whether both sides of a join of tables come from one table.
fn joins_with_itself(case: &Case, node: &Node) -> bool {
    match &node.inputs[..] {
        [left, right] if is_table_join(node) => !before(case, left).is_disjoint(&before(case, right)),
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
