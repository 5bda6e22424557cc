//! Two engines that share a bank, on one log.

use std::sync::Arc;
use std::time::Duration;

use api::serve;
use broker::in_process::InProcessBroker;
use processors::BankSettings;
use serde_json::Value;
use system_of_record::InProcess;
use tokio::net::TcpListener;
use topology::clock::SystemClock;
use topology::store::MemoryBackends;
use topology::{Engine, EngineParts, EngineSettings, Metrics, Queries};
use wire::MemoryRegistry;

use super::http::{limits, router};
use super::until;

/// An instance of the bank on a log that others share: an engine with the API in front.
pub struct Instance {
    pub engine: Engine,
    pub url: String,
}

impl Instance {
    pub async fn start(name: &str, log: &InProcessBroker, registry: &Arc<MemoryRegistry>, records: &Arc<InProcess>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let parts = EngineParts {
            broker: Arc::new(log.clone()),
            backends: Arc::new(MemoryBackends::default()),
            registry: registry.clone(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("test", &prometheus::Registry::new()).expect("metrics"),
        };
        let settings = EngineSettings {
            instance: name.to_owned(),
            threads: 1,
            partitions: 4,
            ..EngineSettings::default()
        };
        let address = url.clone();
        let start = move || {
            let bank = processors::bank(BankSettings::default()).expect("a bank");
            Engine::start(bank, settings, parts, &address).expect("it starts")
        };
        let engine = tokio::task::spawn_blocking(start).await.expect("started");
        let router = router(Arc::new(engine.queries()), records.clone(), &limits());
        tokio::spawn(serve(listener, router, Duration::ZERO, std::future::pending()));
        Self { engine, url }
    }

    pub fn queries(&self) -> Queries {
        self.engine.queries()
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    pub async fn made(&self, path: &str, body: Value) -> i64 {
        let request = reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
    }
}

/// Starts two instances that share the tasks.
pub async fn two(log: &InProcessBroker, registry: &Arc<MemoryRegistry>, records: &Arc<InProcess>) -> (Instance, Instance) {
    let a = Instance::start("a", log, registry, records).await;
    let b = Instance::start("b", log, registry, records).await;
    until("both have tasks, and all of them run", async || {
        let (of_a, of_b) = (a.queries().groups().len(), b.queries().groups().len());
        of_a > 0 && of_b > 0 && of_a + of_b == a.queries().groups_total() as usize
    })
    .await;
    (a, b)
}
