//! The audit finds what does not agree, wherever it lies, and says where.

mod support {
    pub mod books;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use riverbank::audit::{Audit, Kept, Service, check_files, check_served};
use schemas::gold::{AccountBalance, CustomerVersion};
use schemas::silver::{Account, Posting, Transaction};
use schemas::topics::{
    ACCOUNT_BALANCES, CUSTOMER_HISTORY, SILVER_ACCOUNTS, SILVER_CUSTOMERS, SILVER_POSTINGS, SILVER_TRANSACTIONS,
};
use schemas::{AccountId, Money};
use support::books::{AT_ONCE, Bank, READY, SETTLE, check, problems};
use wire::{Codec, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_agree_is_found_and_named() {
    let (bank, running) = Bank::open(1).await;
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
    let checks = bank.audit().run(SETTLE, None).await.expect("it is looked at");
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
    let checks = bank.audit().run(SETTLE, None).await.expect("it is looked at");
    check(&checks, &[]);

    // A customer without a history: wrong where they are kept from the start, else one whom an earlier version saw last.
    let count = |id: i64| versions.keys().filter(|(of, _)| *of == id).count();
    let once = versions
        .values()
        .find(|version| version.is_current && !version.is_deleted && count(version.customer_id.0) == 1);
    let once = once.expect("a customer has never changed");
    bank.emit(CUSTOMER_HISTORY, (once.customer_id, 1), None);
    let checks = bank.audit().run(AT_ONCE, None).await.expect("it is looked at");
    check(
        &checks,
        &[&format!(
            "row {}: it has no history, and histories are kept from the start",
            once.customer_id
        )],
    );
    let checks = bank
        .audit_of(Kept::default())
        .run(AT_ONCE, None)
        .await
        .expect("it is looked at");
    check(&checks, &[]);
    assert!(
        checks
            .iter()
            .any(|check| check.notes.iter().any(|note| note.starts_with("1 rows have no history yet")))
    );
    bank.emit(CUSTOMER_HISTORY, (once.customer_id, 1), Some(once));
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
