//! What the dashboards and rules ask of Prometheus, and whether a running program can answer it.
//!
//! For use from any integration test: `#[path = "support/dashboards.rs"] mod dashboards;`

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One query, with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The file, and the panel, alert or record.
    pub place: String,
    /// PromQL, with Grafana's variables replaced.
    pub expr: String,
}

/// The folder `monitoring/`.
pub fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .join("monitoring")
}

/// Every query of every dashboard: the `expr` of each panel, and the queries of the variables.
pub fn dashboard_queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for path in files(&monitoring().join("grafana/dashboards"), "json") {
        let name = file_name(&path);
        let dashboard: Value = serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        collect(&dashboard, &name, &mut queries);
        for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
            let definition = variable["definition"].as_str().unwrap_or_default();
            if let Some(inner) = definition
                .strip_prefix("label_values(")
                .and_then(|text| text.split(',').next())
            {
                queries.push(Query {
                    place: format!("{name}: variable {}", variable["name"]),
                    expr: inner.to_owned(),
                });
            }
        }
    }
    assert!(!queries.is_empty(), "no dashboard has a query");
    queries
}

fn collect(value: &Value, place: &str, queries: &mut Vec<Query>) {
    match value {
        Value::Object(object) => {
            let title = object.get("title").and_then(Value::as_str);
            let place = title.map_or_else(|| place.to_owned(), |title| format!("{place}: {title}"));
            if let Some(expr) = object.get("expr").and_then(Value::as_str) {
                queries.push(Query {
                    place: place.clone(),
                    expr: without_variables(expr),
                });
            }
            object.values().for_each(|inner| collect(inner, &place, queries));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, place, queries)),
        _ => {}
    }
}

/// Grafana's variables as it would fill them for "all instances" and a five-second scrape interval.
fn without_variables(expr: &str) -> String {
    expr.replace("$__rate_interval", "1m").replace("$instance", ".*")
}

/// Every expression of the recording rules and alerts, read from their YAML.
pub fn rule_queries() -> Vec<Query> {
    let queries = rules().into_iter().map(|(name, rule)| {
        let text = |key: &str| rule.get(key).and_then(|value| value.clone().into_string().ok());
        let title = text("alert").or_else(|| text("record")).expect("a name");
        Query {
            place: format!("{name}: {title}"),
            expr: text("expr").expect("an expression"),
        }
    });
    queries.collect()
}

/// What each alert says, by its name.
pub fn alert_descriptions() -> Vec<(String, String)> {
    let alerts = rules().into_iter().filter_map(|(_, rule)| {
        let name = rule.get("alert")?.clone().into_string().expect("a name");
        let annotations = rule["annotations"].clone().into_table().expect("annotations");
        let description = annotations["description"].clone().into_string().expect("a text");
        Some((name, description))
    });
    alerts.collect()
}

/// Every rule, with its file's name.
fn rules() -> Vec<(String, config::Map<String, config::Value>)> {
    use config::{File, FileFormat, Source};
    let mut all = Vec::new();
    for path in files(&monitoring().join("prometheus/rules"), "yml") {
        let name = file_name(&path);
        let read = File::from_str(&read(&path), FileFormat::Yaml)
            .collect()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for group in read["groups"].clone().into_array().expect("groups") {
            let rules = group.into_table().expect("a group")["rules"]
                .clone()
                .into_array()
                .expect("rules");
            let rules = rules.into_iter().map(|rule| rule.into_table().expect("a rule"));
            all.extend(rules.map(|rule| (name.clone(), rule)));
        }
    }
    assert!(!all.is_empty(), "there are no rules");
    all
}

/// The names that recording rules make: a query may use them as if the program served them.
pub fn recorded_names() -> BTreeSet<String> {
    let named = |query: Query| query.place.rsplit(": ").next().map(str::to_owned);
    rule_queries()
        .into_iter()
        .filter_map(named)
        .filter(|name| name.contains(':'))
        .collect()
}

/// The metrics that a PromQL expression reads.
pub fn metrics_of(expr: &str) -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    let mut rest = expr;
    while let Some(c) = rest.chars().next() {
        if let Some(close) = closing(c) {
            rest = after(rest, close);
        } else if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            rest = tail.trim_start();
            if takes_labels(word) {
                // `by (le)`: what follows in parentheses are labels.
                rest = if rest.starts_with('(') { after(rest, ')') } else { rest };
            } else if !rest.starts_with('(') && !is_keyword(word) && !is_aggregation(rest) {
                metrics.insert(word.to_owned());
            }
        } else if c.is_ascii_digit() {
            // A number or a duration such as 15m: no name begins within it.
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .unwrap_or(rest.len());
            rest = &rest[end..];
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    metrics
}

fn closing(open: char) -> Option<char> {
    match open {
        '{' => Some('}'),
        '[' => Some(']'),
        '"' => Some('"'),
        '\'' => Some('\''),
        _ => None,
    }
}

/// What follows the closing character; braces within a string within the labels do not count.
fn after(text: &str, close: char) -> &str {
    let mut quoted = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && close != '"' {
            quoted = !quoted;
        } else if c == close && !quoted {
            return &text[at + c.len_utf8()..];
        }
    }
    ""
}

fn takes_labels(word: &str) -> bool {
    matches!(word, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right")
}

/// Whether what follows a word makes it an aggregation: `sum by (le) (…)`.
fn is_aggregation(rest: &str) -> bool {
    let next = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    matches!(next, "by" | "without")
}

fn is_keyword(word: &str) -> bool {
    takes_labels(word) || matches!(word, "and" | "or" | "unless" | "offset" | "bool" | "inf" | "nan")
}

/// The names of the samples in the text that `/metrics` serves (a histogram's `_bucket`, `_sum` and `_count` among them).
pub fn served(metrics_text: &str) -> BTreeSet<String> {
    let samples = metrics_text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// The queries that read a metric which is not in the text that `/metrics` served: none of them would show anything.
pub fn unanswered(queries: &[Query], metrics_text: &str) -> Vec<String> {
    let known: BTreeSet<String> = served(metrics_text).into_iter().chain(recorded_names()).collect();
    let lacking = |query: &Query| {
        let absent: Vec<String> = metrics_of(&query.expr)
            .into_iter()
            .filter(|metric| !known.contains(metric))
            .collect();
        (!absent.is_empty()).then(|| format!("{} reads {}", query.place, absent.join(", ")))
    };
    queries.iter().filter_map(lacking).collect()
}

/// Whether a query is of the watch over the source, which a bank that is whole in one process has not.
pub fn is_of_the_source(query: &Query) -> bool {
    let prefixes = ["riverbank_source_", "riverbank_connector_", "riverbank_slot_"];
    metrics_of(&query.expr)
        .iter()
        .any(|metric| prefixes.iter().any(|prefix| metric.starts_with(prefix)))
}

/// Files of this kind in a folder, in the order of their names.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
