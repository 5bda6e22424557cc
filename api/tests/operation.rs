//! Probes, metrics, topology, lag and the API's document.

mod support;

use std::sync::Arc;

use api::Parts;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use support::http::{Bank, limits, send};
use support::troubled::Troubled;
use system_of_record::{SystemOfRecord, SystemOfRecordError};

#[tokio::test]
async fn probes() {
    let bank = Bank::new();
    assert_eq!(bank.get("/health/live").await.status, 200);
    let ready = bank.get("/health/ready").await;
    let all_well = json!({"ready": true, "reads": true, "processing": true, "writes": true, "lake": true, "iceberg": true, "snowpipe": true, "source": true, "reasons": []});
    assert_eq!((ready.status.as_u16(), ready.json()), (200, all_well));
    // A full disk, a broker that is away: what is committed is answered.
    let held_up = "state of by-key/0 cannot be written: no space left on device";
    bank.reads.hold_up(held_up);
    let ready = bank.get("/health/ready").await;
    let expected = json!({
        "ready": true, "reads": true, "processing": false, "writes": true, "lake": true, "iceberg": true, "snowpipe": true, "source": true, "reasons": [held_up]
    });
    assert_eq!((ready.status.as_u16(), ready.json()), (200, expected));
    assert!(
        bank.get("/metrics")
            .await
            .text
            .contains("riverbank_able{what=\"processing\"} 0")
    );
    bank.reads.stall("task group 3 is being restored");
    let ready = bank.get("/health/ready").await;
    let expected = json!({
        "ready": false, "reads": false, "processing": false, "writes": true, "lake": true, "iceberg": true, "snowpipe": true, "source": true,
        "reasons": ["task group 3 is being restored", held_up]
    });
    assert_eq!((ready.status.as_u16(), ready.json()), (503, expected));
    assert_eq!(bank.get("/health/live").await.status, 200);
    let metrics = bank.get("/metrics").await.text;
    assert!(metrics.contains("riverbank_ready 0"), "{metrics}");
    assert!(metrics.contains("riverbank_able{what=\"reads\"} 0"), "{metrics}");
}

#[tokio::test]
async fn reads_stay_when_other_things_are_away() {
    let bank = Bank::new();
    let trouble = |affects, reason: &'static str| -> api::Troubles { Arc::new(move || vec![api::Trouble::new(affects, reason)]) };
    let object_store = "the object store refuses the login";
    let silence = "the source was last heard 75 s ago";
    for (troubles, records, expected) in [
        (
            vec![trouble(api::Affects::Lake, object_store)],
            bank.records.clone() as Arc<dyn SystemOfRecord>,
            json!({"ready": true, "reads": true, "processing": true, "writes": true, "lake": false, "iceberg": true, "snowpipe": true, "source": true, "reasons": [object_store]}),
        ),
        (
            vec![trouble(api::Affects::Source, silence)],
            Arc::new(Troubled(Some(SystemOfRecordError::Unavailable("10.1.2.3".to_owned())))),
            json!({
                "ready": true, "reads": true, "processing": true, "writes": false, "lake": true, "iceberg": true, "snowpipe": true, "source": false,
                "reasons": [silence, "the bank's database is away or overloaded"]
            }),
        ),
        (
            Vec::new(),
            // It never answers.
            Arc::new(Troubled(None)),
            json!({
                "ready": true, "reads": true, "processing": true, "writes": false, "lake": true, "iceberg": true, "snowpipe": true, "source": true,
                "reasons": ["the bank's database did not answer within 500ms"]
            }),
        ),
        (
            vec![trouble(api::Affects::Reads, "the stores are gone")],
            bank.records.clone(),
            json!({"ready": false, "reads": false, "processing": false, "writes": true, "lake": true, "iceberg": true, "snowpipe": true, "source": true, "reasons": ["the stores are gone"]}),
        ),
    ] {
        let parts = Parts {
            reads: bank.reads.clone(),
            records,
            registry: prometheus::Registry::new(),
            topology: api::TopologyDescription::default(),
            troubles,
            in_commit_order: true,
            source: None,
        };
        let router = api::router(parts, &limits()).expect("a router");
        let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
        let answer = send(&router, get("/health/ready")).await;
        let status = if expected["reads"] == true { 200 } else { 503 };
        assert_eq!((answer.status.as_u16(), answer.json()), (status, expected.clone()));
        let metrics = send(&router, get("/metrics")).await.text;
        for what in ["reads", "processing", "writes", "lake", "source"] {
            let line = format!("riverbank_able{{what=\"{what}\"}} {}", u8::from(expected[what] == true));
            assert!(metrics.contains(&line), "{line} in\n{metrics}");
        }
    }
}

/// A source that was heard an hour ago.
struct Silent;

impl api::SourceWatch for Silent {
    fn heard_at_us(&self) -> Option<topology::Micros> {
        Some(topology::Micros(1_700_000_000_000_000))
    }
    fn report(&self) -> api::SourceReport {
        api::SourceReport {
            silence_seconds: Some(3600.0),
            heard_at: Some("2023-11-14T22:13:20Z".to_owned()),
            troubles: vec!["the source was last heard 3600 s ago".to_owned()],
            ..api::SourceReport::default()
        }
    }
}

#[tokio::test]
async fn a_silent_source_is_told_and_takes_no_reads_away() {
    let bank = Bank::new();
    let account = bank.account("EUR", "5.00").await;
    let reason = "the source was last heard 3600 s ago";
    let parts = Parts {
        in_commit_order: false,
        reads: bank.reads.clone(),
        records: bank.records.clone(),
        registry: prometheus::Registry::new(),
        topology: api::TopologyDescription::default(),
        troubles: vec![Arc::new(move || vec![api::Trouble::new(api::Affects::Source, reason)])],
        source: Some(Arc::new(Silent)),
    };
    let router = api::router(parts, &limits()).expect("a router");
    let get = async |path: &str| send(&router, Request::get(path).body(Body::empty()).expect("a request")).await;
    let ready = get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    assert!(ready.text.contains(reason), "{}", ready.text);
    let source = get("/lag").await.json()["source"].clone();
    assert_eq!(source["silence_seconds"], json!(3600.0));
    assert_eq!(source["troubles"], json!([reason]));
    assert_eq!((&source["connector"], &source["slot"]), (&json!(null), &json!(null)));
    let balance = get(&format!("/accounts/{account}/balance")).await.json();
    assert_eq!(balance["as_of"]["source_heard_at"], "2023-11-14T22:13:20Z");
    assert_eq!(balance["as_of"]["in_commit_order"], json!(false));
    // Where the system of record is in the process, there is nothing to be heard.
    let balance = bank.get(&format!("/accounts/{account}/balance")).await.json();
    assert_eq!(balance["as_of"]["source_heard_at"], json!(null));
}

#[tokio::test]
async fn lag_and_topology() {
    let bank = Bank::new();
    let expected = json!({
        "source": null,
        "inputs": [{
            "topic": "bank.public.accounts", "partition": 2, "lag_records": 5, "oldest_waiting": "2023-11-14T22:13:20Z"
        }]
    });
    assert_eq!(bank.get("/lag").await.json(), expected);
    let text = bank.get("/topology").await;
    assert_eq!(
        (text.header("content-type"), text.text.as_str()),
        ("text/plain; charset=utf-8", "Topologies:\n")
    );
    let request = Request::get("/topology")
        .header("accept", "application/json")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(bank.send(request).await.json(), json!({"sub_topologies": []}));
}

#[tokio::test]
async fn metrics_have_routes_not_paths() {
    let bank = Bank::new();
    bank.get("/customers/4711").await;
    bank.get("/no/such/4711").await;
    bank.send(
        Request::builder()
            .method("BREW")
            .uri("/customers")
            .body(Body::empty())
            .expect("a request"),
    )
    .await;
    let metrics = bank.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"http_request_duration_seconds_count{method="GET",route="/customers/{id}",status="404"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",route="unmatched",status="404"} 1"#,
        r#"http_request_duration_seconds_count{method="other",route="/customers",status="405"} 1"#,
    ] {
        assert!(metrics.text.contains(line), "{line} in\n{}", metrics.text);
    }
    assert!(!metrics.text.contains("4711"));
}

#[tokio::test]
async fn every_answer_has_its_headers() {
    let bank = Bank::new();
    for path in ["/customers", "/nowhere", "/docs/", "/openapi.json"] {
        let answer = bank.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {path}");
        }
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"));
        assert_eq!(answer.header("x-request-id").len(), 36, "{path}");
    }
    let request = Request::get("/customers")
        .header("x-request-id", "my-own")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(bank.send(request).await.header("x-request-id"), "my-own");
}

#[tokio::test]
async fn the_document_lists_every_route() {
    let bank = Bank::new();
    let served = bank.get("/openapi.json").await.json();
    let document = api::routes::openapi();
    assert_eq!(served, document);
    let mut listed: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            listed.push(format!("{} {path}", method.to_uppercase()));
            // What is listed is there: its answer is not that of a path or method that is not.
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(path.replace("{id}", "1"));
            let answer = bank.send(request.body(Body::empty()).expect("a request")).await;
            assert!(
                answer.status != 405 && !answer.text.contains("no-such-route"),
                "{method} {path}"
            );
            // And what it answers is listed.
            let status = answer.status.as_str();
            assert!(
                operation["responses"][status].is_object(),
                "{method} {path} answered {status}: {}",
                answer.text
            );
        }
    }
    listed.sort();
    let expected = [
        "DELETE /accounts/{id}",
        "DELETE /customers/{id}",
        "DELETE /transactions/{id}",
        "GET /accounts",
        "GET /accounts/{id}",
        "GET /accounts/{id}/balance",
        "GET /accounts/{id}/balance/explain",
        "GET /accounts/{id}/daily",
        "GET /accounts/{id}/history",
        "GET /accounts/{id}/holds",
        "GET /accounts/{id}/postings",
        "GET /accounts/{id}/reconciliation",
        "GET /accounts/{id}/statements/{month}",
        "GET /balances",
        "GET /customers",
        "GET /customers/{id}",
        "GET /customers/{id}/history",
        "GET /customers/{id}/position",
        "GET /health/live",
        "GET /health/ready",
        "GET /kpis/daily",
        "GET /kpis/minutes",
        "GET /lag",
        "GET /metrics",
        "GET /reconciliation",
        "GET /topology",
        "GET /transactions",
        "GET /transactions/{id}",
        "POST /accounts",
        "POST /customers",
        "POST /transactions",
        "PUT /accounts/{id}",
        "PUT /customers/{id}",
        "PUT /transactions/{id}",
    ];
    assert_eq!(listed, expected);
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in [
        "Customer",
        "Account",
        "Transaction",
        "Balance",
        "Problem",
        "AccountInput",
        "TransactionTypeCode",
    ] {
        assert!(
            schemas.contains_key(name),
            "{name} in {:?}",
            schemas.keys().collect::<Vec<_>>()
        );
    }
    check_references(&document, &document);
    assert!(bank.get("/docs/").await.text.contains("swagger-ui"));
}

/// Every reference within the document leads somewhere.
fn check_references(document: &serde_json::Value, part: &serde_json::Value) {
    match part {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(reference) if name == "$ref" => {
                let pointer = reference.strip_prefix('#').expect("within the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            _ => check_references(document, value),
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| check_references(document, item)),
        _ => {}
    }
}
