//! The driver of the HTTP tests: a bank in memory behind the router.

use std::sync::Arc;
use std::time::Duration;

use api::reads::Reads;
use api::{HttpSettings, Parts, TopologyDescription};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use broker::in_process::InProcessBroker;
use serde_json::{Value, json};
use system_of_record::{InProcess, SystemOfRecord};
use topology::clock::SystemClock;
use tower::ServiceExt;
use wire::MemoryRegistry;

use super::follower::Follower;

pub struct Bank {
    pub router: Router,
    pub reads: Arc<Follower>,
    pub records: Arc<InProcess>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
    /// Sees that it is a problem of this status, name and field.
    #[track_caller]
    pub fn check_problem(&self, status: u16, name: &str, field: Option<&str>) {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{} {}",
            self.status,
            self.text
        );
        let problem = self.json();
        let told = (self.status.as_u16(), problem["type"].as_str(), problem["field"].as_str());
        let name = format!("urn:riverbank:problem:{name}");
        assert_eq!(told, (status, Some(name.as_str()), field), "{}", self.text);
        assert_eq!(problem["status"], json!(status));
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
}

pub fn limits() -> HttpSettings {
    HttpSettings {
        body_bytes_max: 2048,
        request_timeout: Duration::from_secs(60),
        forward_timeout: Duration::from_secs(30),
        ..HttpSettings::default()
    }
}

pub fn router(reads: Arc<dyn Reads>, records: Arc<dyn SystemOfRecord>, settings: &HttpSettings) -> Router {
    let parts = Parts {
        reads,
        records,
        registry: prometheus::Registry::new(),
        topology: TopologyDescription {
            text: "Topologies:\n".to_owned(),
            json: json!({"sub_topologies": []}),
        },
        troubles: Vec::new(),
        in_commit_order: true,
        source: None,
    };
    api::router(parts, settings).expect("a router")
}

impl Bank {
    pub fn new() -> Self {
        Self::on(InProcessBroker::default(), Arc::new(MemoryRegistry::default()))
    }

    pub fn on(broker: InProcessBroker, registry: Arc<MemoryRegistry>) -> Self {
        let records = InProcess::start(Arc::new(broker.clone()), registry.clone(), Arc::new(SystemClock));
        let records = Arc::new(records.expect("it starts"));
        let reads = Arc::new(Follower::new(broker, registry));
        let router = router(reads.clone(), records.clone(), &limits());
        Self { router, reads, records }
    }

    /// Sends a request; the state has followed by the time of the answer.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = send(&self.router, request).await;
        self.reads.catch_up();
        answer
    }
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(with_body("POST", path, &body.to_string())).await
    }
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(with_body("PUT", path, &body.to_string())).await
    }
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).expect("a request")).await
    }
    /// Makes a row and returns its id.
    pub async fn made(&self, path: &str, body: Value) -> i64 {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["id"].as_i64().expect("an id")
    }
    pub async fn customer(&self, name: &str) -> i64 {
        self.made("/customers", person(name)).await
    }
    pub async fn account(&self, currency: &str, opening: &str) -> i64 {
        let emails = self.get("/customers?limit=1000").await.json()["items"]
            .as_array()
            .map_or(0, Vec::len);
        let owner = self.customer(&format!("owner{emails}")).await;
        self.made("/accounts", account_of(owner, currency, opening)).await
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).expect("text"),
    }
}

pub fn with_body(method: &str, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    request.body(Body::from(body.to_owned())).expect("a request")
}

pub fn person(name: &str) -> Value {
    json!({"first_name": name, "last_name": "Lovelace", "email": format!("{name}@example.com")})
}

pub fn account_of(owner: i64, currency: &str, opening: &str) -> Value {
    json!({"customer_id": owner, "account_type": "CHECKING", "currency": currency, "opening_balance": opening})
}

pub fn deposit(account: i64, amount: &str) -> Value {
    json!({"account_id": account, "txn_type": "DEPOSIT", "amount": amount})
}
