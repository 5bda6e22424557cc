//! Where the engine's result is another one than Kafka Streams', and how to say it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::case::{Case, Found, Input, Node, Row};
use crate::differences::DIFFERENCES;
use crate::run::{Way, run};
use crate::translate::Plant;

/// Where a case differs first.
#[derive(Debug)]
pub struct Difference {
    /// The operator in front of it.
    pub operator: String,
    /// All there is to say of it.
    pub text: String,
}

/// What comes of comparing a case.
#[derive(Debug)]
pub enum Verdict {
    Same,
    /// It differs only where that is on purpose.
    OnPurpose,
    Different(Difference),
}

/// Runs a case and compares it.
pub fn judge(case: &Case, plant: Option<Plant>) -> Verdict {
    let of = |operator: &str, said: String| {
        Verdict::Different(Difference {
            operator: operator.to_owned(),
            text: format!("{}{said}\n", heading(case)),
        })
    };
    if let Some(reason) = &case.refused {
        return of("topology", format!("Kafka Streams refuses the topology: {reason}"));
    }
    let found = match run(case, plant) {
        Ok(found) => found,
        Err(reason) => return of("topology", reason),
    };
    let places = places(case, &found);
    let is_deliberate = |id: &str| DIFFERENCES.iter().any(|known| (known.nodes)(case).contains(id));
    match places.iter().find(|place| !is_deliberate(&place.node.id)) {
        Some(place) => of(&place.node.op, place.said.clone()),
        None if places.is_empty() => Verdict::Same,
        None => Verdict::OnPurpose,
    }
}

/// A topic or a store that differs.
struct Place<'a> {
    /// Whose result it is.
    node: &'a Node,
    said: String,
}

/// What came of many cases.
#[derive(Debug, Default)]
pub struct Judged {
    /// In the order of the cases.
    pub different: Vec<Difference>,
    pub on_purpose: usize,
}

/// Judges cases on all processors.
pub fn judge_all(cases: &[&Case], plant: Option<Plant>) -> Judged {
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(at) else { break };
                    let verdict = judge(case, plant);
                    verdicts.lock().push((at, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner();
    verdicts.sort_by_key(|(at, _)| *at);
    let mut judged = Judged::default();
    for (_, verdict) in verdicts {
        match verdict {
            Verdict::Same => {}
            Verdict::OnPurpose => judged.on_purpose += 1,
            Verdict::Different(difference) => judged.different.push(difference),
        }
    }
    judged
}

/// How many cases differ behind which operator, with the shortest case of each.
pub fn summary(differences: &[Difference]) -> String {
    let mut by_operator: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for difference in differences {
        by_operator.entry(&difference.operator).or_default().push(&difference.text);
    }
    let mut said = String::new();
    for (operator, texts) in by_operator {
        let shortest = texts
            .iter()
            .min_by_key(|text| text.lines().count())
            .copied()
            .unwrap_or_default();
        let _ = writeln!(
            said,
            "{} cases differ first at {operator}, the shortest of them:\n{shortest}",
            texts.len()
        );
    }
    said
}

/// Where a result differs, and how.
fn places<'a>(case: &'a Case, found: &Found) -> Vec<Place<'a>> {
    let expected = &case.expected;
    let topics: BTreeSet<&String> = expected.outputs.keys().chain(found.outputs.keys()).collect();
    let outputs = topics.into_iter().filter_map(|topic| {
        let rows = |of: &Found| {
            let mut rows = of.outputs.get(topic).cloned().unwrap_or_default();
            if Way::of(case) == Way::Partitions {
                rows.sort_by(|one, other| one.0.cmp(&other.0));
            }
            rows
        };
        let said = rows_differ(&rows(expected), &rows(found))?;
        let node = behind(case, topic).unwrap_or_else(|| panic!("nobody writes to {topic}"));
        let said = format!("output {topic}, written by {} ({}): {said}", node.id, node.op);
        Some(Place { node, said })
    });
    let stores = case.nodes.iter().filter_map(|node| {
        let store = node.store.as_ref()?;
        let rows = |of: &Found| of.stores.get(store).cloned().unwrap_or_default();
        let said = rows_differ(&rows(expected), &rows(found))?;
        let said = format!("store {store} of {} ({}): {said}", node.id, node.op);
        Some(Place { node, said })
    });
    outputs.chain(stores).collect()
}

/// The operator whose results are in the topic: the one in front of the sink, or a table's in front of `to_stream`.
fn behind<'a>(case: &'a Case, topic: &str) -> Option<&'a Node> {
    let node = |id: &str| case.nodes.iter().find(|node| node.id == id);
    if let Some(id) = topic.strip_prefix("peek:") {
        return node(id);
    }
    let is_prefix = |node: &&Node| node.op == "to_by" && node.topic.as_ref().is_some_and(|prefix| topic.starts_with(prefix));
    let is_sink = |node: &&Node| node.op == "to" && node.topic.as_deref() == Some(topic);
    let mut found = case.nodes.iter().find(|node| is_sink(node) || is_prefix(node))?;
    while ["to", "to_by", "to_stream", "branch"].contains(&found.op.as_str()) {
        found = node(found.inputs.first()?)?;
    }
    Some(found)
}

fn rows_differ(expected: &[Row], found: &[Row]) -> Option<String> {
    let at = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))?;
    let mut said = format!("row {at} differs\n      Kafka Streams                         this engine\n");
    let from = at.saturating_sub(3);
    for at in from..(at + 4).min(expected.len().max(found.len())) {
        let (one, other) = (expected.get(at), found.get(at));
        let mark = if one == other { ' ' } else { '*' };
        let _ = writeln!(said, "  {mark} {at:>2}  {:<36}  {}", show(one), show(other));
    }
    Some(said)
}

fn show(row: Option<&Row>) -> String {
    let Some((key, value, at_ms)) = row else {
        return "nothing".to_owned();
    };
    let value = value.map_or("null".to_owned(), |value| value.to_string());
    let at = at_ms.map(|at| format!(" at {at}")).unwrap_or_default();
    format!("{} = {value}{at}", key.as_deref().unwrap_or("null"))
}

/// Which case it is, how to run it again, and what is in it.
pub fn heading(case: &Case) -> String {
    let Case { seed, focus, .. } = case;
    let way = Way::of(case);
    let mut said = format!("case {focus} {seed}, {way:?} (tools/oracle.sh seed {seed} {focus})\n");
    for node in &case.nodes {
        let text = serde_json::to_string(node).unwrap_or_default();
        let _ = writeln!(said, "    {text}");
    }
    for input in &case.inputs {
        let text = match input {
            Input::Record(topic, key, value, at) => format!("{topic} ← {}", show(Some(&(key.clone(), *value, Some(*at))))),
            Input::Advance([by]) => format!("the wall clock moves on by {by} ms"),
        };
        let _ = writeln!(said, "    {text}");
    }
    said
}
