//! Several instances: each answers for everything, by one hop.

mod support;

use std::sync::Arc;

use api::serve;
use broker::in_process::InProcessBroker;
use serde_json::{Value, json};
use support::follower::Follower;
use support::http::{Bank, account_of, deposit, limits, person, router};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wire::MemoryRegistry;

/// Instances on loopback that share one bank.
struct Instances {
    bank: Bank,
    addresses: Vec<String>,
    reads: Vec<Arc<Follower>>,
    stops: Vec<Option<oneshot::Sender<()>>>,
    tasks: Vec<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Instances {
    async fn start(count: usize) -> Self {
        let (broker, registry) = (InProcessBroker::default(), Arc::new(MemoryRegistry::default()));
        let bank = Bank::on(broker.clone(), registry.clone());
        let mut this = Self {
            bank,
            addresses: Vec::new(),
            reads: Vec::new(),
            stops: Vec::new(),
            tasks: Vec::new(),
        };
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            this.addresses
                .push(format!("http://{}", listener.local_addr().expect("an address")));
            let reads = Arc::new(Follower::new(broker.clone(), registry.clone()));
            let router = router(reads.clone(), this.bank.records.clone(), &limits());
            this.reads.push(reads);
            let (stop, stopped) = oneshot::channel::<()>();
            this.stops.push(Some(stop));
            let until = async move { drop(stopped.await) };
            this.tasks
                .push(tokio::spawn(serve(listener, router, limits().drain_timeout, until)));
        }
        for (index, reads) in this.reads.iter().enumerate() {
            reads.share(index, &this.addresses);
        }
        this
    }

    fn catch_up(&self) {
        self.reads.iter().for_each(|reads| reads.catch_up());
    }

    /// Asks an instance.
    async fn ask(&self, instance: usize, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.addresses[instance]))
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    async fn stop(&mut self, instance: usize) {
        drop(self.stops[instance].take());
        let task = &mut self.tasks[instance];
        task.await.expect("the task").expect("served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_instance_answers_for_any_row() {
    let instances = Instances::start(3).await;
    let owner = instances.bank.customer("ada").await;
    let mut accounts = Vec::new();
    for _ in 0..10 {
        accounts.push(instances.bank.made("/accounts", account_of(owner, "EUR", "10.00")).await);
    }
    instances.bank.made("/transactions", deposit(accounts[4], "5.00")).await;
    instances.catch_up();
    for instance in 0..3 {
        for account in &accounts {
            let (status, balance) = instances.ask(instance, &format!("/accounts/{account}/balance")).await;
            let booked = if *account == accounts[4] { "15.00" } else { "10.00" };
            assert_eq!((status, &balance["booked"]), (200, &json!(booked)), "{account} at {instance}");
            let (status, row) = instances.ask(instance, &format!("/accounts/{account}")).await;
            assert_eq!((status, &row["id"]), (200, &json!(account)));
        }
        let (status, problem) = instances.ask(instance, "/accounts/4711").await;
        assert_eq!((status, &problem["type"]), (404, &json!("urn:riverbank:problem:not-found")));
        assert_eq!(instances.ask(instance, "/accounts/4711/balance").await.0, 404);

        let mut seen = Vec::new();
        let mut path = "/accounts?limit=4".to_owned();
        loop {
            let (status, page) = instances.ask(instance, &path).await;
            assert_eq!(status, 200, "{page}");
            seen.extend(
                page["items"]
                    .as_array()
                    .expect("rows")
                    .iter()
                    .filter_map(|row| row["id"].as_i64()),
            );
            match page["next"].as_str() {
                Some(next) => path = format!("/accounts?limit=4&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, accounts, "all of them, each once, in order, at {instance}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_is_the_same_from_everywhere() {
    let instances = Instances::start(2).await;
    let made = instances.bank.post("/customers", person("ada")).await;
    instances.catch_up();
    let client = reqwest::Client::new();
    for address in &instances.addresses {
        let url = format!("{address}{}", made.header("location"));
        let answer = client.get(&url).send().await.expect("an answer");
        assert_eq!(answer.headers()["etag"], made.header("etag"));
        let answer = client
            .get(&url)
            .header("if-none-match", made.header("etag"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 304);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_away_is_no_404() {
    let mut instances = Instances::start(2).await;
    for name in ["ada", "grace"] {
        instances.bank.customer(name).await;
    }
    instances.catch_up();
    instances.stop(1).await;
    assert_eq!(instances.ask(0, "/customers/2").await.0, 200, "it is here");
    for path in ["/customers/1", "/customers/4711", "/customers", "/accounts/1/balance"] {
        let (status, problem) = instances.ask(0, path).await;
        assert_eq!(
            (status, &problem["type"]),
            (503, &json!("urn:riverbank:problem:not-ready")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_never_go_in_circles() {
    let instances = Instances::start(2).await;
    instances.bank.account("EUR", "1.00").await;
    instances.catch_up();
    // Each takes the other for the one that has account 1.
    let swapped: Vec<String> = instances.addresses.iter().rev().cloned().collect();
    instances.reads[0].share(0, &instances.addresses);
    instances.reads[1].share(0, &swapped);
    let (status, problem) = instances.ask(0, "/accounts/1/balance").await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:riverbank:problem:not-ready")));
    assert_eq!(instances.ask(0, "/accounts/1").await.0, 404);
}
