//! The audit finds what does not agree, wherever it lies, and says where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use broker::Outgoing;
use riverbank::audit::{Audit, Check, Patience, Service, Source, check_files, check_served};
use riverbank::config::{Purpose, Settings, Sources};
use riverbank::open::log::Log;
use riverbank::open::records;
use riverbank::running::Running;
use schemas::gold::{AccountBalance, CustomerVersion};
use schemas::silver::{Account, Posting, Transaction};
use schemas::topics::{
    ACCOUNT_BALANCES, CUSTOMER_HISTORY, SILVER_ACCOUNTS, SILVER_CUSTOMERS, SILVER_POSTINGS, SILVER_TRANSACTIONS,
};
use schemas::{AccountId, Money};
use simulator::{Pace, Profile, RecordTarget, SimulatedBank, drive};
use system_of_record::InProcess;
use tokio_util::sync::CancellationToken;
use wire::{Codec, Topic, Wire};

const READY: Duration = Duration::from_secs(60);
/// Long enough for what is still on its way.
const SETTLE: Patience = Patience {
    settle: Duration::from_secs(20),
    arrive: Duration::ZERO,
};
/// For what is known to differ, and goes on differing.
const AT_ONCE: Patience = Patience {
    settle: Duration::from_millis(300),
    arrive: Duration::ZERO,
};

/// A bank with some history, in this process.
struct Bank {
    _folder: tempfile::TempDir,
    settings: Settings,
    log: Log,
    records: Arc<InProcess>,
}

impl Bank {
    async fn open() -> (Self, Running) {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let log = Log::in_process(folder.path().join("schemas")).expect("a log");
        let records = records::in_process(&log).await.expect("a system of record");
        let running = Running::start(&settings, &log, records.clone(), prometheus::Registry::new())
            .await
            .expect("it starts");
        let started = Instant::now();
        while !running.queries().readiness().ready {
            assert!(started.elapsed() < READY, "not ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lanes = SimulatedBank::lanes(7, Profile::default(), 4);
        let pace = Pace {
            rate: None,
            count: Some(600),
            run_for: None,
            stop: CancellationToken::new(),
        };
        drive(lanes, Arc::new(RecordTarget::new(records.clone())), pace)
            .await
            .expect("the simulated bank works");
        let bank = Self {
            _folder: folder,
            settings,
            log,
            records,
        };
        (bank, running)
    }

    fn audit(&self) -> Audit {
        Audit::new(&self.log, Source::InProcess(self.records.clone())).expect("the topics are there")
    }

    /// Writes to a topic what nobody should have written.
    fn emit<K: Wire, V: Wire>(&self, topic: Topic<K, V>, key: K, value: Option<&V>) {
        let registry = self.log.registry.clone();
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        key.encode(&Codec::plain(), &mut key_bytes).expect("a key");
        if let Some(value) = value {
            let codec = Codec::register::<V>(registry, &topic.value_subject()).expect("the value's schema");
            value.encode(&codec, &mut value_bytes).expect("a value");
        }
        let record = Outgoing {
            topic: topic.name(),
            partition: Some(0),
            key: Some(&key_bytes),
            value: value.map(|_| value_bytes.as_slice()),
            timestamp_ms: 1,
            headers: &[],
        };
        let mut producer = self.log.broker.producer("vandal").expect("a producer");
        producer.send_all(&[record]).expect("it is written");
    }
}

fn settings(folder: &std::path::Path) -> Settings {
    let path = |name: &str| folder.join(name).display().to_string();
    let flags = [
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("state.dir", path("state")),
        ("sink.url", path("lake")),
        ("sink.age_max", "1s".to_owned()),
        ("engine.threads", "1".to_owned()),
        // All of an account's records in the partition that the tests write to.
        ("engine.partitions", "1".to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    Settings::load(&sources, Purpose::Run).expect("the settings are right")
}

fn problems(checks: &[Check]) -> Vec<&str> {
    checks.iter().flat_map(|check| &check.problems).map(String::as_str).collect()
}

/// Each of these, and nothing else, is what is wrong.
#[track_caller]
fn check(checks: &[Check], expected: &[&str]) {
    let problems = problems(checks);
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for part in expected {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part} in {problems:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_agree_is_found_and_named() {
    let (bank, running) = Bank::open().await;
    let url = format!("http://{}", running.address).parse().expect("an address");
    let service = Service::at(url).expect("a client");
    let mut audit = bank.audit();
    let checks = audit.run(SETTLE, None).await.expect("it is looked at");
    check(&checks, &[]);
    assert!(audit.balances().count() > 50 && audit.postings() > 500, "{checks:#?}");
    let served = check_served(&mut audit, &service, usize::MAX, SETTLE).await;
    check(&served.expect("it answers"), &[]);

    an_answer_that_never_rests_is_judged_by_its_balance(&mut audit, &service).await;

    // A balance that only the topic has.
    let balance = audit.balances().next().expect("a balance").clone();
    let wrong = AccountBalance {
        booked: balance.booked.checked_add(Money::from_ten_thousandths(1)).expect("a sum"),
        ..balance.clone()
    };
    let id = balance.account_id;
    bank.emit(ACCOUNT_BALANCES, id, Some(&wrong));
    let served = check_served(&mut audit, &service, usize::MAX, AT_ONCE).await;
    check(&served.expect("it answers"), &[&format!("account {id}: booked is")]);
    running.stop().await.expect("it ends");
    let files = check_files(
        &riverbank::open::lake::store(&bank.settings).expect("a lake"),
        &bank.log.broker,
        true,
    )
    .await;
    check(&files.expect("the files are read"), &[]);
    let served = check_served(&mut audit, &service, 3, AT_ONCE).await;
    let served = served.expect("nobody answers");
    assert_eq!(problems(&served).len(), 4, "{served:#?}");

    // The same again, from the beginning: by the source's transactions, and by the journal.
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(
        &checks,
        &[
            &format!("account {id}: booked is"),
            &format!("account {id}: {} is its balance after", wrong.booked),
        ],
    );
    bank.emit(ACCOUNT_BALANCES, id, Some(&balance));

    rows_are_compared(&bank, id).await;
    histories_are_looked_through(&bank).await;
    the_journal_is_summed_up(&bank).await;
}

/// Each answer is as of a later heartbeat, and the balance in it is wrong.
async fn an_answer_that_never_rests_is_judged_by_its_balance(audit: &mut Audit, service: &Service) {
    let right = service.clone();
    let asked = Arc::new(AtomicU64::new(0));
    let answer = move |Path(id): Path<i64>| {
        let (right, asked) = (right.clone(), asked.clone());
        async move {
            let mut balance = right.balance(id).await.expect("it answers").expect("a balance");
            balance.as_of.source_heard_at = Some(asked.fetch_add(1, Ordering::Relaxed).to_string());
            balance.booked = "0.01".to_owned();
            Json(balance)
        }
    };
    let lag = || async { Json(serde_json::json!({ "source": null, "inputs": [] })) };
    let router = Router::new()
        .route("/accounts/{id}/balance", get(answer))
        .route("/lag", get(lag));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let wrong = Service::at(url.parse().expect("an address")).expect("a client");
    let served = check_served(audit, &wrong, 3, AT_ONCE).await.expect("it answers");
    let problems = problems(&served);
    assert!(
        problems.len() == 3 && problems.iter().all(|problem| problem.contains("booked is 0.01 over HTTP")),
        "{served:#?}"
    );
    server.abort();
}

/// Rows that are lost, changed, or that nobody has.
async fn rows_are_compared(bank: &Bank, id: AccountId) {
    let newest = newest(bank);
    let account = newest.account.clone().expect("an account");
    bank.emit(SILVER_ACCOUNTS, account.id, None);
    let transaction = newest.transaction.clone().expect("a transaction");
    let other = Transaction {
        amount: transaction.amount.checked_add(Money::from_hundredths(1)).expect("a sum"),
        ..transaction.clone()
    };
    bank.emit(SILVER_TRANSACTIONS, transaction.id, Some(&other));
    let mut ghost = newest.customer.clone().expect("a customer");
    ghost.id = schemas::CustomerId(987_654);
    bank.emit(SILVER_CUSTOMERS, ghost.id, Some(&ghost));
    let nobodys = AccountBalance {
        account_id: AccountId(876_543),
        booked: Money::ZERO,
        opening: Money::ZERO,
        pending: Money::ZERO,
        available: Money::ZERO,
        entry_count: 0,
        ..bank_balance(bank, id).await
    };
    bank.emit(ACCOUNT_BALANCES, nobodys.account_id, Some(&nobodys));
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(
        &checks,
        &[
            "row 987654 is in silver.customers, and the source has no such row",
            &format!("row {} of the source is not in silver.accounts", account.id),
            &format!(
                "row {}: amount is {} at the source and {} in silver.transactions",
                transaction.id, transaction.amount, other.amount
            ),
            "account 876543 has a balance in gold.account_balances, and is not at the source",
        ],
    );
    bank.emit(SILVER_ACCOUNTS, account.id, Some(&account));
    bank.emit(SILVER_TRANSACTIONS, transaction.id, Some(&transaction));
    bank.emit(SILVER_CUSTOMERS, ghost.id, None);
    bank.emit(ACCOUNT_BALANCES, nobodys.account_id, None);
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(&checks, &[]);
}

/// A version that is lost, one that ends too late, and one that is not as the row is.
async fn histories_are_looked_through(bank: &Bank) {
    let versions = versions(bank);
    let renamed = versions
        .values()
        .find(|version| version.version > 1 && version.is_current && !version.is_deleted);
    let renamed = renamed.expect("a customer has another name than before");
    let (id, number) = (renamed.customer_id, renamed.version);
    let last = |first_name: &str| CustomerVersion {
        first_name: first_name.to_owned(),
        ..renamed.clone()
    };
    let too_late = CustomerVersion {
        valid_to: Some(topology::Micros(renamed.valid_from.0 + 1)),
        ..renamed.clone()
    };
    for (number, wrong, difference) in [
        (1, None, "version 2 comes where version 1 should be"),
        (number, Some(&too_late), "and what follows begins with nothing"),
        (number, Some(&last("Nobody")), "the newest, is not as the row is"),
    ] {
        bank.emit(CUSTOMER_HISTORY, (id, number), wrong);
        let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
        check(&checks, &[difference]);
        assert!(problems(&checks)[0].starts_with(&format!("gold.customer_history: row {id}: ")));
        bank.emit(CUSTOMER_HISTORY, (id, number), versions.get(&(id.0, number)));
    }
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(&checks, &[]);
}

/// A posting that is there twice.
async fn the_journal_is_summed_up(bank: &Bank) {
    let posting = newest(bank).posting.expect("a posting");
    bank.emit(SILVER_POSTINGS, posting.account_id, Some(&posting));
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(
        &checks,
        &[
            &format!("account {}: ", posting.account_id),
            &format!(
                "transaction {}: its postings in {} sum to {}, not to zero",
                posting.transaction_id, posting.currency, posting.amount
            ),
        ],
    );
}

/// The newest record of some topics.
#[derive(Default)]
struct Newest {
    customer: Option<schemas::silver::Customer>,
    account: Option<Account>,
    transaction: Option<Transaction>,
    posting: Option<Posting>,
}

fn newest(bank: &Bank) -> Newest {
    let codec = Codec::reader(bank.log.registry.clone());
    let mut newest = Newest::default();
    fn read<V: Wire>(bank: &Bank, codec: &Codec, topic: &str, mut keep: impl FnMut(V)) {
        let partitions = broker::partitions_of(&*bank.log.broker, topic, READY).expect("the log answers");
        let mut replay = broker::Replay::of(&*bank.log.broker, "test", &partitions).expect("a reader");
        replay
            .to_the_end(READY, |_, message| {
                if let Some(value) = &message.value {
                    keep(V::decode(value, codec).expect("it is readable"));
                }
                Ok::<_, broker::BrokerError>(())
            })
            .expect("the topic is read");
    }
    read(bank, &codec, SILVER_CUSTOMERS.name(), |row| newest.customer = Some(row));
    read(bank, &codec, SILVER_ACCOUNTS.name(), |row| newest.account = Some(row));
    read(bank, &codec, SILVER_TRANSACTIONS.name(), |row| newest.transaction = Some(row));
    read(bank, &codec, SILVER_POSTINGS.name(), |row: Posting| {
        if !row.is_cash {
            newest.posting = Some(row);
        }
    });
    newest
}

/// The versions of customers as they were emitted last.
fn versions(bank: &Bank) -> BTreeMap<(i64, i64), CustomerVersion> {
    let codec = Codec::reader(bank.log.registry.clone());
    let mut versions = BTreeMap::new();
    let partitions = broker::partitions_of(&*bank.log.broker, CUSTOMER_HISTORY.name(), READY).expect("the log answers");
    let mut replay = broker::Replay::of(&*bank.log.broker, "test", &partitions).expect("a reader");
    replay
        .to_the_end(READY, |_, message| {
            let key = <(i64, i64)>::decode(message.key.as_deref().expect("a key"), &codec).expect("it is readable");
            match &message.value {
                Some(value) => versions.insert(key, CustomerVersion::decode(value, &codec).expect("it is readable")),
                None => versions.remove(&key),
            };
            Ok::<_, broker::BrokerError>(())
        })
        .expect("the topic is read");
    versions
}

async fn bank_balance(bank: &Bank, id: AccountId) -> AccountBalance {
    let mut audit = bank.audit();
    audit.run(AT_ONCE, None).await.expect("it is looked at");
    audit.balance(id.0).expect("a balance").clone()
}
