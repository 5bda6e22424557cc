//! Several instances: each answers for everything, by one hop.

mod support;

use std::sync::Arc;

use api::reads::{Instance, Reads};
use api::serve;
use broker::in_process::InProcessBroker;
use serde_json::{Value, json};
use support::follower::{Follower, Owner};
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
        for index in 0..count {
            this.share(index, &(0..count).collect::<Vec<_>>());
        }
        this
    }

    /// Says whom an instance takes for the owner of each partition.
    fn share(&self, instance: usize, owners: &[usize]) {
        let owner = |&owner: &usize| match owner {
            owner if owner == instance => Owner::Here,
            owner => Owner::There(Instance {
                address: self.addresses[owner].clone(),
                token: self.reads[owner].token().clone(),
            }),
        };
        self.reads[instance].share(owners.iter().map(owner).collect());
    }

    fn catch_up(&self) {
        self.reads.iter().for_each(|reads| reads.catch_up());
    }

    /// Asks an instance.
    async fn ask(&self, instance: usize, path: &str) -> (u16, Value) {
        self.ask_with(instance, path, &[]).await
    }

    /// Asks an instance with headers.
    async fn ask_with(&self, instance: usize, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.addresses[instance]));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let is_busy = answer.status() == 503;
        assert_eq!(answer.headers().contains_key("retry-after"), is_busy, "{path}");
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
        for account in &accounts {
            let path = format!("/accounts/{account}/history");
            let (status, history) = instances.ask(instance, &path).await;
            assert_eq!((status, &history["versions"][0]["account_id"]), (200, &json!(account)));
            let began = history["versions"][0]["valid_from"].as_str().expect("an instant");
            let at = instances.ask(instance, &format!("{path}?effective_at={began}")).await;
            assert_eq!(at, (200, history), "the query goes with the path");
            let (status, problem) = instances
                .ask(instance, &format!("{path}?effective_at=1970-01-01T00:00:00Z"))
                .await;
            assert_eq!(
                (status, &problem["field"]),
                (404, &json!("effective_at")),
                "{account} at {instance}"
            );
        }
        assert_eq!(instances.ask(instance, "/accounts/4711/history").await.0, 404);
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
async fn what_adds_up_is_the_same_from_everywhere() {
    let instances = Instances::start(3).await;
    let owner = instances.bank.customer("ada").await;
    let nobody = instances.bank.customer("grace").await;
    let codes = ["CHF", "EUR", "GBP", "JPY", "USD"];
    for code in codes {
        let account = instances.bank.made("/accounts", account_of(owner, code, "10")).await;
        for amount in ["1", "2"] {
            instances.bank.made("/transactions", deposit(account, amount)).await;
        }
    }
    instances.catch_up();
    let (_, transactions) = instances.ask(0, "/transactions").await;
    let day = transactions["items"][0]["created_at"].as_str().expect("an instant")[..10].to_owned();
    let column = |page: &Value, name: &str| -> Vec<Value> {
        let rows = page["items"].as_array().expect("rows");
        rows.iter().map(|row| row[name].clone()).collect()
    };
    let mut told = Vec::new();
    for instance in 0..3 {
        let (status, positions) = instances.ask(instance, &format!("/customers/{owner}/position")).await;
        assert_eq!(
            (status, column(&positions, "currency")),
            (200, codes.map(Value::from).to_vec())
        );
        let empty = instances.ask(instance, &format!("/customers/{nobody}/position")).await;
        assert_eq!(empty, (200, json!({"items": []})));
        let (status, problem) = instances.ask(instance, "/customers/4711/position").await;
        assert_eq!((status, &problem["type"]), (404, &json!("urn:riverbank:problem:not-found")));
        let (status, days) = instances.ask(instance, &format!("/kpis/daily?day={day}")).await;
        assert_eq!((status, column(&days, "currency")), (200, codes.map(Value::from).to_vec()));
        let path = format!("/kpis/minutes?from={day}T00:00:00Z&to={day}T23:59:59Z");
        let (status, all) = instances.ask(instance, &path).await;
        assert_eq!((status, &all["next"]), (200, &Value::Null), "{all}");
        // In parts, each put together from all three.
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let (status, part) = instances.ask(instance, &format!("{path}&limit=2{after}")).await;
            assert_eq!(status, 200, "{part}");
            rows.extend(part["items"].as_array().expect("rows").clone());
            match part["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(json!(rows), all["items"]);
        told.push((positions, days, all));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
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
    for path in [
        "/customers/1",
        "/customers/4711",
        "/customers/1/history",
        "/customers/1/position",
        "/customers/2/position",
        "/accounts/1/daily",
        "/kpis/daily?day=2026-01-31",
        "/kpis/minutes?from=2026-01-31T09:30:00Z&to=2026-01-31T09:30:00Z",
        "/customers",
        "/accounts/1/balance",
    ] {
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
    instances.share(0, &[0, 1]);
    instances.share(1, &[1, 0]);
    for path in [
        "/accounts/1/balance",
        "/accounts/1",
        "/accounts/1/history",
        "/accounts/1/daily",
        "/customers/1/position",
        "/kpis/daily?day=2026-01-31",
        "/accounts",
    ] {
        for instance in 0..2 {
            let (status, problem) = instances.ask(instance, path).await;
            let told = (status, &problem["type"]);
            assert_eq!(told, (503, &json!("urn:riverbank:problem:not-ready")), "{path} at {instance}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_moves_is_neither_a_404_nor_a_short_list() {
    let instances = Instances::start(3).await;
    for name in ["ada", "grace", "mary", "joan"] {
        instances.bank.customer(name).await;
    }
    instances.catch_up();
    let check = async |path: &str, status: u16| {
        for instance in [0, 2] {
            let (told, body) = instances.ask(instance, path).await;
            assert_eq!(told, status, "{path} at {instance}: {body}");
        }
    };
    check("/customers", 200).await;
    // The others still take it for the owner of partition 1, but it is not (any longer, or yet): nobody is known, or another is.
    for owners in [None, Some([0, 2, 2])] {
        match owners {
            None => instances.reads[1].lose(1),
            Some(owners) => instances.share(1, &owners),
        }
        for path in ["/customers/1", "/customers/4", "/customers", "/customers?limit=1"] {
            check(path, 503).await;
        }
        check("/customers/2", 200).await;
        check("/customers/3", 200).await;
    }
    // It has moved, and that is known now: everything is answered, each row once, whoever is still thought to have more.
    instances.share(0, &[0, 2, 2]);
    instances.share(2, &[0, 2, 2]);
    check("/customers/4", 200).await;
    for instance in 0..3 {
        let (status, page) = instances.ask(instance, "/customers").await;
        let ids: Vec<_> = page["items"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["id"].clone())
            .collect();
        assert_eq!(
            (status, ids),
            (200, vec![json!(1), json!(2), json!(3), json!(4)]),
            "at {instance}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_anybody_can_write_changes_nothing() {
    let instances = Instances::start(2).await;
    instances.bank.account("EUR", "1.00").await;
    instances.catch_up();
    let other = instances.reads[1].token().clone();
    for (path, field) in [
        ("/accounts/1", "id"),
        ("/accounts/1/balance", "account_id"),
        ("/accounts/1/daily", "items"),
        ("/customers/1/position", "items"),
        ("/accounts", "items"),
    ] {
        let (status, plain) = instances.ask(0, path).await;
        assert!(status == 200 && !plain[field].is_null(), "{path}: {plain}");
        // What used to be enough, nothing, and the token of another instance than the one that is asked.
        for forged in ["1", "", other.reveal()] {
            let headers = [("riverbank-forwarded", forged), ("riverbank-partitions", "0")];
            assert_eq!(instances.ask_with(0, path, &headers).await, (200, plain.clone()), "{path}");
        }
    }
    // Whoever presents the token is an instance, and is told what is here alone.
    let own = instances.reads[0].token().clone();
    let with = |partitions| [("riverbank-forwarded", own.reveal()), ("riverbank-partitions", partitions)];
    assert_eq!(instances.ask_with(0, "/accounts/1", &with("0")).await.0, 503);
    assert_eq!(instances.ask_with(0, "/accounts", &with("0")).await.1["items"], json!([]));
    for (partitions, status) in [("1", 503), ("0,1", 503), ("7", 503), ("", 400), ("0,x", 400)] {
        assert_eq!(
            instances.ask_with(0, "/accounts", &with(partitions)).await.0,
            status,
            "{partitions}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_of_an_instance_is_none() {
    let instances = Instances::start(1).await;
    instances.bank.account("EUR", "1.00").await;
    instances.catch_up();
    // Something else listens where the other instance was.
    let elsewhere = axum::Router::new().route("/accounts", axum::routing::get(async || "hello"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, elsewhere).await });
    let token = instances.reads[0].token().clone();
    instances.reads[0].share(vec![Owner::Here, Owner::There(Instance { address, token })]);
    for (path, expected) in [("/accounts/1", 503), ("/accounts/1/balance", 503), ("/accounts", 503)] {
        assert_eq!(instances.ask(0, path).await.0, expected, "{path}");
    }
}
