//! A running bank, scraped by a real Prometheus with the real rules: every query of the dashboard and of the rules finds
//! what it asks for.

#[path = "support/dashboards.rs"]
mod dashboards;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Outgoing;
use dashboards::{dashboard_queries, is_of_the_source, monitoring, recorded_names, rule_queries, unanswered};
use riverbank::config::{Purpose, Settings, Sources};
use riverbank::open::log::Log;
use riverbank::open::records;
use riverbank::process::process_metrics;
use riverbank::running::Running;
use schemas::bronze::{AccountRow, CdcKey, Envelope, Op, Source};
use schemas::topics::CDC_ACCOUNTS;
use serde_json::Value;
use simulator::{Pace, Profile, RecordTarget, SimulatedBank, drive};
use testbed::Testbed;
use tokio_util::sync::CancellationToken;
use wire::{Codec, Wire};

/// How long the figures may take to reach Prometheus.
const PATIENCE: Duration = Duration::from_secs(180);

fn settings(folder: &Path) -> Settings {
    let path = |name: &str| folder.join(name).display().to_string();
    let flags = [
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("state.dir", path("state")),
        ("sink.url", path("lake")),
        ("sink.age_max", "1s".to_owned()),
        ("iceberg.catalog", "sqlite".to_owned()),
        ("iceberg.file", path("iceberg.db")),
        ("engine.flush_interval", "200ms".to_owned()),
        ("engine.partitions", "2".to_owned()),
        ("engine.threads", "2".to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Settings::load(
        &Sources {
            flags,
            ..Sources::default()
        },
        Purpose::Run,
    )
    .expect("the settings are right")
}

/// One record that is not Avro, and one that breaks a data rule.
fn send_bad_records(log: &Log) {
    let account = AccountRow {
        id: 900_000,
        currency: Some("???".into()),
        ..AccountRow::default()
    };
    let envelope = Envelope {
        before: None,
        after: Some(account),
        source: Source {
            table: "accounts".into(),
            lsn: Some(1),
            ..Source::default()
        },
        transaction: None,
        op: Op::Create,
        ts_ms: None,
        ts_us: None,
        ts_ns: None,
    };
    let mut key = Vec::new();
    let subject = CDC_ACCOUNTS.key_subject();
    let codec = Codec::register::<CdcKey>(log.registry.clone(), &subject).expect("the key's schema");
    CdcKey { id: 900_000 }.encode(&codec, &mut key).expect("a key");
    let mut value = Vec::new();
    let subject = CDC_ACCOUNTS.value_subject();
    let codec = Codec::register::<Envelope<AccountRow>>(log.registry.clone(), &subject).expect("the value's schema");
    envelope.encode(&codec, &mut value).expect("a value");
    let record = |value| Outgoing {
        topic: CDC_ACCOUNTS.name(),
        partition: Some(0),
        key: Some(&key),
        value: Some(value),
        timestamp_ms: 1,
        headers: &[],
    };
    let mut producer = log.broker.producer("vandal").expect("a producer");
    producer
        .send_all(&[record(b"not Avro"), record(&value)])
        .expect("bad records are sent");
}

/// The project's Prometheus configuration with this target instead of its own, looked at every half second.
fn configuration(folder: &Path, target: &str) -> std::path::PathBuf {
    let source = monitoring().join("prometheus");
    let text = std::fs::read_to_string(source.join("prometheus.yml")).expect("the configuration");
    assert!(text.contains("\"riverbank:8080\"") && text.contains("rules/*.yml"), "{text}");
    let rules = source.join("rules/*.yml").display().to_string();
    let text = text
        .replace("riverbank:8080", target)
        .replace("rules/*.yml", &rules)
        .replace("scrape_interval: 5s", "scrape_interval: 500ms")
        .replace("evaluation_interval: 15s", "evaluation_interval: 1s");
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

/// Whether Prometheus finds anything for this expression; an error if it is not PromQL.
async fn has_answer(client: &reqwest::Client, prometheus: &str, expr: &str) -> bool {
    let mut url = reqwest::Url::parse(&format!("{prometheus}/api/v1/query")).expect("an address");
    url.query_pairs_mut().append_pair("query", expr);
    let answer = client
        .get(url)
        .send()
        .await
        .expect("Prometheus answers")
        .text()
        .await
        .expect("text");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["status"], "success", "{expr}: {answer}");
    !answer["data"]["result"].as_array().expect("a result").is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_finds_what_it_asks_for_in_the_running_bank() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let log = Log::in_process(folder.path().join("schemas")).expect("a log");
    let metrics = prometheus::Registry::new();
    process_metrics(&metrics).expect("process metrics");
    // There is no Snowflake here: what reports the files would serve these.
    let snowpipe = warehouse::notifier::metrics::Metrics::register(&metrics).expect("Snowpipe's metrics");
    warehouse::notifier::metrics::faults(&metrics).expect("Snowflake's faults");
    let table = &["bronze.accounts"];
    snowpipe.introduce(table[0]);
    snowpipe.lag_seconds.with_label_values(table).set(0.0);
    snowpipe.waiting.with_label_values(table).set(0);
    snowpipe.awaited.with_label_values(table).set(0);
    snowpipe.reported_at.with_label_values(table).set(1.0);
    snowpipe.failed_loads.with_label_values(table).inc();
    snowpipe.failures.with_label_values(&["report"]).inc();
    snowpipe.events.with_label_values(&["sink"]).inc();
    let records = records::in_process(&log).await.expect("a system of record");
    let running = Running::start(&settings, &log, records.clone(), metrics)
        .await
        .expect("the bank opens");
    let own = format!("http://{}", running.address);

    let stop = CancellationToken::new();
    let pace = Pace {
        rate: Some(200),
        stop: stop.clone(),
        ..Pace::default()
    };
    let lanes = SimulatedBank::lanes(
        7,
        Profile {
            customers: 10,
            ..Profile::default()
        },
        2,
    );
    let busy = tokio::spawn(drive(lanes, Arc::new(RecordTarget::new(records)), pace));
    send_bad_records(&log);

    let configuration = configuration(folder.path(), &running.address.to_string());
    let bed = Testbed::builder()
        .prometheus(configuration)
        .start()
        .await
        .expect("Prometheus");
    let client = reqwest::Client::new();
    let in_one_process = |queries: Vec<dashboards::Query>| -> Vec<dashboards::Query> {
        queries.into_iter().filter(|query| !is_of_the_source(query)).collect()
    };
    let mut waiting = in_one_process(dashboard_queries());
    // What the alerts watch: each comparison's left side would be enough, but "nothing is wrong" is an empty answer. So
    // only the recorded series, which every alert but those on plain metrics reads, have to be there.
    waiting.extend(recorded_names().into_iter().map(|name| dashboards::Query {
        place: "recorded".into(),
        expr: name,
    }));
    let started = Instant::now();
    while !waiting.is_empty() && started.elapsed() < PATIENCE {
        client
            .get(format!("{own}/accounts/1/balance"))
            .send()
            .await
            .expect("the bank answers");
        let mut without = Vec::new();
        for query in waiting {
            if !has_answer(&client, bed.prometheus().url(), &query.expr).await {
                without.push(query);
            }
        }
        waiting = without;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let text = client
        .get(format!("{own}/metrics"))
        .send()
        .await
        .expect("metrics")
        .text()
        .await
        .expect("text");
    assert!(
        waiting.is_empty(),
        "no answer after {PATIENCE:?}: {waiting:#?}\nserved:\n{text}"
    );

    // `up` is Prometheus' own.
    let of_the_rules: Vec<_> = in_one_process(rule_queries())
        .into_iter()
        .filter(|query| !query.expr.starts_with("up{"))
        .collect();
    assert_eq!(unanswered(&in_one_process(dashboard_queries()), &text), Vec::<String>::new());
    assert_eq!(unanswered(&of_the_rules, &text), Vec::<String>::new());
    for label in ["topic=\"bank.public.accounts\"", "rule=\""] {
        assert!(text.contains(label), "{label} is not in\n{text}");
    }
    stop.cancel();
    busy.await.expect("no panic").expect("the simulated bank ends well");
    running.stop().await.expect("a clean end");
}
