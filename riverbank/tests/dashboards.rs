//! Dashboard, rules and their documentation speak of the same metrics. Whether the running program serves them, the
//! demo's test sees.

#[path = "support/dashboards.rs"]
mod dashboards;

use std::collections::BTreeSet;

use dashboards::{
    alert_descriptions, dashboard_queries, metrics_of, monitoring, recorded_names, rule_queries, served, unanswered,
};

/// That an expression reads these metrics, and nothing else.
fn check(expr: &str, metrics: &[&str]) {
    let expected: BTreeSet<String> = metrics.iter().map(|&metric| metric.to_owned()).collect();
    assert_eq!(metrics_of(expr), expected, "{expr}");
}

#[test]
fn metrics_are_told_from_functions_labels_and_durations() {
    check("up", &["up"]);
    check(
        r#"sum by (topic, le) (rate(a_total{job="x", route!~"}b(c"}[5m] offset 15m)) > 1e3"#,
        &["a_total"],
    );
    check(
        "a:b:rate1m / on (job) group_left (c) d_e or vector(0)",
        &["a:b:rate1m", "d_e"],
    );
    check(
        r#"label_replace(x, "dst", "$1", "src", "(.*)") unless y > bool 0.5"#,
        &["x", "y"],
    );
    check(
        "histogram_quantile(0.99, sum without(instance) (rate(h_bucket[1m])))",
        &["h_bucket"],
    );
}

#[test]
fn a_query_for_a_metric_that_is_not_served_is_found() {
    let text = "# HELP up_total x\nup_total{a=\"b\"} 1\nbare 2.5\nh_bucket{le=\"+Inf\"} 3\n";
    assert_eq!(served(text), ["up_total", "bare", "h_bucket"].map(str::to_owned).into());
    let query = |expr: &str| dashboards::Query {
        place: "here".into(),
        expr: expr.into(),
    };
    let queries = [query("bare + up_total"), query("rate(gone_total[1m])")];
    assert_eq!(unanswered(&queries, text), ["here reads gone_total"]);
}

#[test]
fn every_query_reads_documented_metrics_only() {
    let page = std::fs::read_to_string(monitoring().join("../docs/metrics.md")).expect("docs/metrics.md");
    let documented: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let recorded = recorded_names();
    for query in dashboard_queries().into_iter().chain(rule_queries()) {
        let metrics = metrics_of(&query.expr);
        assert!(!metrics.is_empty(), "{} reads nothing: {}", query.place, query.expr);
        for metric in metrics {
            let plain = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix))
                .unwrap_or(&metric);
            let known = metric == "up" || recorded.contains(&metric) || documented.contains(plain);
            assert!(known, "{} reads {metric}, which docs/metrics.md does not have", query.place);
        }
    }
}

#[test]
fn every_alert_has_a_test_that_rings_it() {
    let tests = std::fs::read_to_string(monitoring().join("prometheus/tests/alerts.yml")).expect("the tests");
    for query in rule_queries()
        .into_iter()
        .filter(|query| query.place.starts_with("alerts.yml"))
    {
        let alert = query.place.rsplit(": ").next().expect("a name");
        assert!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "{alert} is never rung"
        );
    }
}

#[test]
fn every_alert_names_a_runbook_and_every_runbook_is_listed() {
    let runbooks = monitoring().join("../docs/runbooks");
    let list = std::fs::read_to_string(runbooks.join("README.md")).expect("the list");
    let alerts = alert_descriptions();
    assert!(alerts.len() > 20, "{alerts:?}");
    for (alert, description) in alerts {
        let named: Vec<&str> = description.split("docs/runbooks/").skip(1).collect();
        assert!(!named.is_empty(), "{alert} names no runbook: {description}");
        for rest in named {
            let page = rest.split_inclusive(".md").next().expect("a page");
            assert!(runbooks.join(page).is_file(), "{alert} names {page}");
        }
    }
    for page in std::fs::read_dir(&runbooks).expect("the runbooks") {
        let page = page.expect("a page").file_name().into_string().expect("a name");
        assert!(
            page == "README.md" || list.contains(&format!("({page})")),
            "{page} is not listed"
        );
    }
}
