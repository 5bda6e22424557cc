//! The recorded cases: `cases/<operator>.jsonl`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::case::{Case, OPERATORS, feature};
use crate::generate;
use crate::jvm;
use crate::translate::NOT_YET;

/// How many recorded cases an operator or feature is in, at least.
pub const CASES_MIN: usize = 200;

/// Cases of these are recorded without any others but sources and sinks, so that they are there for an engine that has no more.
const SIMPLE: [&str; 19] = [
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
    "table",
    "to_stream",
    "to_table",
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/cases"))
}

fn file_name(focus: &str) -> String {
    format!("{}.jsonl", focus.replace([' ', ','], "_").replace("__", "_"))
}

/// Everything that cases are generated for.
pub fn focuses() -> impl Iterator<Item = &'static str> {
    OPERATORS.into_iter().chain(feature::ALL)
}

pub fn read() -> Vec<Case> {
    let mut all = Vec::new();
    for focus in focuses() {
        if let Ok(text) = std::fs::read_to_string(folder().join(file_name(focus))) {
            all.extend(jvm::parse(&text));
        }
    }
    all
}

/// How many cases each operator and feature is in.
pub fn counts<'a>(cases: impl IntoIterator<Item = &'a Case>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for case in cases {
        case.needs()
            .into_iter()
            .for_each(|need| *counts.entry(need).or_default() += 1);
    }
    counts
}

/// Generates cases until each operator and feature is in enough of them, has them answered, and writes them.
pub fn record() {
    let mut cases: Vec<Case> = Vec::new();
    for focus in focuses() {
        let is_listed = |name: &str| NOT_YET.contains(&name);
        let is_simple = SIMPLE.contains(&focus);
        // What the engine does not have yet is left out of the others' cases, or they would be compared later as well.
        let allowed = |name: &str| {
            let is_versioned = focus == feature::GRACE && name == feature::VERSIONED;
            name == focus || is_versioned || if is_simple { SIMPLE.contains(&name) } else { !is_listed(name) }
        };
        let countable = cases
            .iter()
            .filter(|case| is_listed(focus) || !case.needs().into_iter().any(is_listed));
        let mut missing = CASES_MIN.saturating_sub(counts(countable).get(focus).copied().unwrap_or_default());
        for seed in 0.. {
            if missing == 0 {
                break;
            }
            let case = generate::case(seed, focus, &allowed);
            if case.needs().contains(focus) {
                cases.push(case);
                missing -= 1;
            }
        }
    }
    let answered = jvm::answer(&cases);
    std::fs::create_dir_all(folder()).expect("the folder can be made");
    for focus in focuses() {
        let lines: Vec<String> = answered.iter().filter(|case| case.focus == focus).map(jvm::line).collect();
        let path = folder().join(file_name(focus));
        if lines.is_empty() {
            let _ = std::fs::remove_file(path);
        } else {
            std::fs::write(path, lines.concat()).expect("the cases can be written");
        }
    }
}
