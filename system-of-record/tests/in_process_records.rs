//! The system of record in memory: the conformance suite, and its change events.

use std::sync::Arc;
use std::time::Duration;

use broker::in_process::InProcessBroker;
use clock::SystemClock;
use schemas::bronze::Op;
use system_of_record::conformance;
use system_of_record::conformance::events::{self, ChangeEvent, change_events};
use system_of_record::conformance::samples::{account, deposit, money, person, post, transfer};
use system_of_record::{Account, Change, InProcess, SystemOfRecord, SystemOfRecordExt};
use testkit::broker::{Call, Faults, FaultyBroker};
use testkit::wait::until;
use wire::MemoryRegistry;

const BOUND: Duration = Duration::from_secs(10);

fn start(broker: Arc<dyn broker::Broker>) -> (InProcess, Arc<MemoryRegistry>) {
    let registry = Arc::new(MemoryRegistry::default());
    let records = InProcess::start(broker, registry.clone(), Arc::new(SystemClock)).expect("it starts");
    (records, registry)
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let (records, _) = start(Arc::new(InProcessBroker::default()));
    conformance::check(&records).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_reported_as_debezium_reports_it() {
    let broker = InProcessBroker::default();
    let (records, registry) = start(Arc::new(broker.clone()));
    let from = account(&records, "EUR", "10.00").await;
    let to = account(&records, "EUR", "0").await;
    let before = change_events(&broker, registry.clone()).len();

    let moved = post(&records, transfer(from.id, to.id, "4.00")).await;
    let events = change_events(&broker, registry.clone()).split_off(before);
    let shape: Vec<_> = events.iter().map(|event| (event.table(), event.id(), event.op())).collect();
    let expected = [
        ("transactions", moved.id.0, Op::Create),
        ("accounts", from.id.0, Op::Update),
        ("accounts", to.id.0, Op::Update),
    ];
    assert_eq!(shape, expected);
    assert!(events.iter().all(|event| event.source().tx_id == events[0].source().tx_id));
    assert!(events.iter().all(|event| event.source().ts_us == events[0].source().ts_us));
    let ChangeEvent::Account(debited) = &events[1] else {
        panic!("an account")
    };
    let balances = (&debited.before, &debited.after);
    let (Some(old), Some(new)) = balances else {
        panic!("both rows, in full")
    };
    assert_eq!((old.balance, new.balance), (Some(money("10.00")), Some(money("6.00"))));
    assert_eq!(
        (old.opening_balance, old.currency.as_deref()),
        (Some(money("10.00")), Some("EUR"))
    );

    let before = before + events.len();
    records.delete_transaction(moved.id, None).await.expect("delete");
    let events = change_events(&broker, registry.clone()).split_off(before);
    assert_eq!((events[0].table(), events[0].op()), ("transactions", Op::Delete));
    let ChangeEvent::Transaction(gone) = &events[0] else {
        panic!("a transaction")
    };
    assert_eq!(
        (gone.before.as_ref().map(|row| row.id), &gone.after),
        (Some(moved.id.0), &None)
    );
    assert_eq!(events::tombstones(&broker, "bank.public.transactions"), 1);

    // What is refused is never reported; nor is a change that changes nothing.
    let count = change_events(&broker, registry.clone()).len();
    records
        .insert_transaction(transfer(from.id, to.id, "99.00"))
        .await
        .expect_err("more than is there");
    let refused = [
        Change::InsertCustomer(person()),
        Change::InsertTransaction(transfer(from.id, to.id, "99.00")),
    ];
    records.commit(&refused).await.expect_err("more than is there");
    assert_eq!(change_events(&broker, registry).len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_replayed_are_the_tables() {
    let broker = InProcessBroker::default();
    let (records, registry) = start(Arc::new(broker.clone()));
    conformance::check(&records).await;
    check_replay(&records, &broker, registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_loses_nothing_and_doubles_nothing() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let broker = InProcessBroker::default();
    let faults = Faults::waiting();
    faults.begin_with(
        seed,
        [
            (Call::Partitions, 100),
            (Call::NewReader, 100),
            (Call::NewTransactions, 100),
            (Call::Send, 1),
            (Call::Commit, 200),
            (Call::Answer, 200),
        ],
    );
    let (records, registry) = start(Arc::new(FaultyBroker(broker.clone(), faults.clone())));
    let records = Arc::new(records);
    let accounts = [
        account(&*records, "EUR", "100.00").await,
        account(&*records, "EUR", "100.00").await,
    ];
    let tasks = (0..40).map(|n| {
        let (records, from, to) = (records.clone(), accounts[n % 2].id, accounts[(n + 1) % 2].id);
        tokio::spawn(async move {
            post(&*records, transfer(from, to, "1.00")).await;
            post(&*records, deposit(from, "0.50")).await;
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.expect("every commit comes through");
    }
    // The case that is easiest to get wrong, several times.
    for _ in 0..500 {
        if faults.count(Call::Answer) >= 3 {
            break;
        }
        post(&*records, deposit(accounts[0].id, "0.01")).await;
    }
    assert!(faults.count(Call::Answer) >= 3, "seed {seed}");
    check_replay(&records, &broker, registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_unavailable_is_reported() {
    let faults = Faults::waiting();
    let (records, _) = start(Arc::new(FaultyBroker(InProcessBroker::default(), faults.clone())));
    let records = Arc::new(records);
    faults.set_away(true);
    let waiting = tokio::spawn({
        let records = records.clone();
        async move { records.insert_customer(person()).await }
    });
    until("the trouble is reported", BOUND, async || records.check().await.is_err()).await;
    assert!(
        !waiting.is_finished(),
        "a commit is not acknowledged before its events are in the log"
    );
    faults.set_away(false);
    waiting.await.expect("the task").expect("the customer");
    until("the trouble is over", BOUND, async || records.check().await.is_ok()).await;
}

/// The log has each change once, in order, each on top of the one before it; and all of them make the tables.
fn check_replay(records: &InProcess, broker: &InProcessBroker, registry: Arc<MemoryRegistry>) {
    let events = change_events(broker, registry);
    assert!(
        events.windows(2).all(|pair| pair[0].source().lsn < pair[1].source().lsn),
        "positions rise, each once"
    );
    let replayed = events::replay(&events);
    let balances = |rows: Vec<Account>| rows.into_iter().map(|row| (row.id.0, row.balance)).collect::<Vec<_>>();
    let told: Vec<_> = replayed
        .accounts
        .values()
        .map(|row| (row.id, row.balance.expect("a balance")))
        .collect();
    assert_eq!(told, balances(records.accounts()));
    let ids: Vec<_> = records.transactions().iter().map(|row| row.id.0).collect();
    assert_eq!(replayed.transactions.keys().copied().collect::<Vec<_>>(), ids);
}
