//! Lists: pages whatever the ids, bounded work, a bounded number at once, and none for a client that is gone.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::page::{Cursor, Page};
use api::reads::{
    AccountDays, AccountFilter, Aggregates, Balanced, Days, Entries, InputLag, Journal, Located, Minutes, Part, ReadError,
    Readiness, Reading, Reads, Rows, Scan, Scattered, Token, TransactionFilter, Versions,
};
use api::{HttpSettings, model, serve};
use axum::body::Body;
use axum::http::Request;
use schemas::gold::{
    AccountBalance, AccountVersion, BankDay, CustomerPosition, CustomerVersion, Reconciliation, TransactionMinute,
    TransactionMinuteKey,
};
use schemas::silver::{Account, Customer, Posting, Transaction};
use schemas::state::{Hold, Opening};
use schemas::{AccountId, CustomerId, TransactionId};
use serde_json::{Value, json};
use support::http::{Bank, limits, router, send};
use support::until;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use topology::Millis;

#[test]
fn every_id_has_a_cursor() {
    for id in [0, 1, -1, i64::MIN, i64::MAX, i64::MIN + 1, 0x1f4] {
        let text = Cursor(id).text::<model::Account>();
        assert_eq!(Cursor::parse::<model::Account>(&text).expect(&text), Cursor(id));
        Cursor::parse::<model::Customer>(&text).expect_err("another list's");
    }
    for text in [
        "accounts-",
        "accounts--1",
        "accounts-+1",
        "accounts-g",
        "accounts-F",
        "accounts-00000000000000001",
        "",
        "-",
    ] {
        Cursor::parse::<model::Account>(text).expect_err(text);
    }
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_rows() {
    let bank = Bank::new();
    for n in 0..25 {
        bank.customer(&format!("c{n}")).await;
    }
    let account = bank.account("EUR", "0").await;
    let settings = HttpSettings {
        visits_max: 10,
        ..limits()
    };
    let router = router(bank.reads.clone(), bank.records.clone(), &settings);
    let get = async |path: String| -> Value {
        let answer = send(&router, Request::get(path).body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let (mut seen, mut path, mut pages) = (0, "/customers?limit=1000".to_owned(), 0);
    loop {
        let page = get(path).await;
        seen += page["items"].as_array().expect("rows").len();
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/customers?limit=1000&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (26, 3));
    // A filter that finds nothing among the first rows gives an empty page that goes on.
    for _ in 0..12 {
        bank.made("/transactions", support::http::deposit(account, "1.00")).await;
    }
    let page = get("/transactions?status=PENDING".to_owned()).await;
    assert_eq!(page, json!({"items": [], "next": "transactions-a"}));
    let page = get("/transactions?status=PENDING&cursor=transactions-a".to_owned()).await;
    assert_eq!(page, json!({"items": [], "next": null}));
}

/// Lists whose reading takes until nobody waits for it.
#[derive(Default)]
struct Slow {
    token: Token,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Slow {
    fn read<T, U>(&self, scan: &Scan) -> Rows<T, U> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !scan.has_ended() {
            assert!(Instant::now() < deadline, "nobody said that it is over");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        let (rows, until) = (Vec::new(), None);
        let value = Part { rows, until };
        let (others, missing) = (Vec::new(), Vec::new());
        Ok(Scattered { value, others, missing })
    }
    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

fn nothing<T>() -> Result<Located<Reading<Option<T>>>, ReadError> {
    let (value, committed_at_ms) = (None, Millis(0));
    Ok(Located::Here(Reading { value, committed_at_ms }))
}

impl Aggregates for Slow {
    fn positions(&self, _: CustomerId, scan: &Scan) -> Rows<CustomerPosition> {
        self.read(scan)
    }
    fn account_days(&self, _: AccountId, _: Days) -> AccountDays {
        nothing()
    }
    fn bank_days(&self, _: i32, scan: &Scan) -> Rows<BankDay> {
        self.read(scan)
    }
    fn minutes(&self, _: &Minutes, scan: &Scan) -> Rows<TransactionMinute, TransactionMinuteKey> {
        self.read(scan)
    }
}

impl Journal for Slow {
    fn entries(&self, _: AccountId) -> Result<Located<Reading<Option<Entries>>>, ReadError> {
        nothing()
    }
    fn postings(&self, _: AccountId, _: i64, _: i64) -> Result<Vec<Posting>, ReadError> {
        Ok(Vec::new())
    }
    fn ahead(&self, _: AccountId, _: i64) -> Result<Vec<(i64, i64)>, ReadError> {
        Ok(Vec::new())
    }
    fn openings(&self, _: AccountId, _: i64) -> Result<Vec<(i64, Opening)>, ReadError> {
        Ok(Vec::new())
    }
    fn holds(&self, _: AccountId, _: TransactionId) -> Result<Vec<(TransactionId, Hold)>, ReadError> {
        Ok(Vec::new())
    }
    fn reconciliation(&self, _: AccountId) -> Result<Located<Reading<Option<Reconciliation>>>, ReadError> {
        nothing()
    }
    fn different(&self, scan: &Scan) -> Rows<Reconciliation, AccountId> {
        self.read(scan)
    }
}

impl Reads for Slow {
    fn balance(&self, _: AccountId) -> Result<Located<Reading<Balanced>>, ReadError> {
        Err(ReadError::Failed("nobody asks for it".to_owned()))
    }
    fn former(&self, _: &AccountBalance, _: i64) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        nothing()
    }
    fn customer_history(&self, _: CustomerId, _: Versions) -> Result<Located<Reading<Part<CustomerVersion>>>, ReadError> {
        Err(ReadError::NotReady("it has none".to_owned()))
    }
    fn account_history(&self, _: AccountId, _: Versions) -> Result<Located<Reading<Part<AccountVersion>>>, ReadError> {
        Err(ReadError::NotReady("it has none".to_owned()))
    }
    fn customer(&self, _: CustomerId) -> Result<Located<Reading<Option<Customer>>>, ReadError> {
        nothing()
    }
    fn account(&self, _: AccountId) -> Result<Located<Reading<Option<Account>>>, ReadError> {
        nothing()
    }
    fn transaction(&self, _: TransactionId) -> Result<Located<Reading<Option<Transaction>>>, ReadError> {
        nothing()
    }
    fn customers(&self, scan: &Scan) -> Rows<Customer> {
        self.read(scan)
    }
    fn accounts(&self, scan: &Scan, _: AccountFilter) -> Rows<Account> {
        self.read(scan)
    }
    fn transactions(&self, scan: &Scan, _: TransactionFilter) -> Rows<Transaction> {
        self.read(scan)
    }
    fn token(&self) -> &Token {
        &self.token
    }
    fn readiness(&self) -> Readiness {
        Readiness {
            ready: true,
            answers: true,
            reasons: Vec::new(),
        }
    }
    fn lag(&self) -> Vec<InputLag> {
        Vec::new()
    }
}

// One thread serves requests, and all of them go on while lists are read.
#[tokio::test]
async fn so_many_lists_at_once_and_each_ends_with_its_client() {
    let bank = Bank::new();
    let slow = Arc::new(Slow::default());
    let settings = HttpSettings {
        lists_max: 2,
        request_timeout: Duration::from_secs(60),
        ..limits()
    };
    let router = router(slow.clone(), bank.records.clone(), &settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(serve(listener, router, Duration::ZERO, std::future::pending()));

    let mut clients = Vec::new();
    for path in ["/customers", "/transactions?status=PENDING"] {
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: bank\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("sent");
        clients.push(client);
    }
    until("both are being read", async || slow.begun() == 2).await;
    let refused = reqwest::get(format!("http://{address}/accounts")).await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().expect("a header"))
    );
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:riverbank:problem:busy");
    let other = reqwest::get(format!("http://{address}/accounts/1")).await.expect("an answer");
    assert_eq!(other.status(), 404, "look-ups go on");
    assert_eq!((slow.begun(), slow.ended()), (2, 0));

    drop(clients);
    until("their reading has ended", async || slow.ended() == 2).await;
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client
        .write_all(b"GET /accounts HTTP/1.1\r\nHost: bank\r\n\r\n")
        .await
        .expect("sent");
    until("another one is read", async || slow.begun() == 3).await;
    drop(client);
    until("and ends", async || slow.ended() == 3).await;
    server.abort();
}

#[tokio::test]
async fn a_list_ends_when_its_time_is_over() {
    let bank = Bank::new();
    let slow = Arc::new(Slow::default());
    let settings = HttpSettings {
        request_timeout: Duration::from_millis(50),
        ..limits()
    };
    let router = router(slow.clone(), bank.records.clone(), &settings);
    let answer = send(&router, Request::get("/customers").body(Body::empty()).expect("a request")).await;
    answer.check_problem(504, "timeout", None);
    until("the reading has ended", async || slow.ended() == 1).await;
}

#[tokio::test]
async fn rows_with_any_id_are_listed_once() {
    let bank = Bank::new();
    for name in ["a", "b", "c"] {
        bank.customer(name).await;
    }
    let page = bank.get("/customers").await.json();
    let mut rows: Vec<model::Customer> = serde_json::from_value(page["items"].clone()).expect("rows");
    // As an import may have them: the extremes, and one below zero.
    for (row, id) in rows.iter_mut().zip([i64::MIN, -1, i64::MAX]) {
        row.id = CustomerId(id);
    }
    let merged = |until: Option<i64>, limit: usize| {
        let parts = vec![(rows[..1].to_vec(), None), (rows[1..].to_vec(), until)];
        let page: Page<model::Customer> = api::page::merge(parts, limit);
        let ids: Vec<i64> = page.items.iter().map(|row| row.id.0).collect();
        let next = page
            .next
            .map(|next| Cursor::parse::<model::Customer>(&next).expect("our own").0);
        (ids, next)
    };
    assert_eq!(merged(None, 10), (vec![i64::MIN, -1, i64::MAX], None));
    assert_eq!(merged(None, 2), (vec![i64::MIN, -1], Some(-1)));
    assert_eq!(
        merged(Some(-1), 10),
        (vec![i64::MIN, -1], Some(-1)),
        "behind it, the other part may have more"
    );
}
