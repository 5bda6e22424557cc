//! The audit of the Gold tables that are made of other rows: a cent too much, a row too few, one too many and one twice are found in each of them.

mod support {
    pub mod books;
}

use std::collections::BTreeMap;

use riverbank::audit::Check;
use schemas::gold::{AccountDay, BankDay, CustomerPosition, TransactionFact, TransactionMinute};
use schemas::topics::{ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, TRANSACTION_FACTS, TRANSACTION_MINUTES};
use schemas::{AccountId, CustomerId, Money, TransactionId};
use support::books::{AT_ONCE, Bank, READY, SETTLE, check};
use wire::{Codec, Topic, Wire};

const CENT: Money = Money::from_hundredths(1);

fn more(amount: Money) -> Money {
    amount.checked_add(CENT).expect("there is room for a cent")
}

/// The rows of a table, with the partition of each.
fn rows<K: Wire + Ord, V: Wire>(bank: &Bank, topic: Topic<K, V>) -> BTreeMap<K, (u32, V)> {
    let codec = Codec::reader(bank.log.registry.clone());
    let mut rows = BTreeMap::new();
    let partitions = broker::partitions_of(&*bank.log.broker, topic.name(), READY).expect("the log answers");
    let mut replay = broker::Replay::of(&*bank.log.broker, "test", &partitions).expect("a reader");
    replay
        .to_the_end(READY, |of, message| {
            let key = K::decode(message.key.as_deref().expect("a key"), &codec).expect("it is readable");
            match &message.value {
                Some(value) => rows.insert(key, (of.partition, V::decode(value, &codec).expect("it is readable"))),
                None => rows.remove(&key),
            };
            Ok::<_, broker::BrokerError>(())
        })
        .expect("the topic is read");
    rows
}

/// One that is spoiled, in some ways.
struct Table<'a, K, V> {
    bank: &'a Bank,
    topic: Topic<K, V>,
    rows: BTreeMap<K, (u32, V)>,
}

impl<'a, K: Wire + Ord + Copy, V: Wire + Clone> Table<'a, K, V> {
    fn of(bank: &'a Bank, topic: Topic<K, V>) -> Self {
        let rows = rows(bank, topic);
        assert!(!rows.is_empty(), "{} has rows", topic.name());
        Self { bank, topic, rows }
    }

    /// The first row that is of some kind.
    fn find(&self, is: impl Fn(&K, &V) -> bool) -> (K, V) {
        let found = self.rows.iter().find(|(key, (_, row))| is(key, row));
        let (key, (_, row)) = found.expect("a row is of this kind");
        (*key, row.clone())
    }

    async fn audit(&self) -> Vec<Check> {
        self.bank.audit().run(AT_ONCE, None).await.expect("it is looked at")
    }

    /// With another row in the place of this key's (or none, or one where there was none), this and nothing else is wrong.
    async fn with(&self, key: K, row: Option<&V>, difference: &str) {
        let (partition, before) = match self.rows.get(&key) {
            Some((partition, row)) => (*partition, Some(row)),
            None => (0, None),
        };
        self.bank.emit_to(self.topic, partition, key, row);
        check(&self.audit().await, &[difference]);
        self.bank.emit_to(self.topic, partition, key, before);
    }

    /// With the same row in another partition, too, this and nothing else is wrong.
    async fn twice(&self, key: K, row: &V, difference: &str) {
        let other = 1 - self.rows[&key].0;
        self.bank.emit_to(self.topic, other, key, Some(row));
        check(&self.audit().await, &[difference]);
        self.bank.emit_to(self.topic, other, key, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gold_should_not_say_is_found_and_named() {
    let (bank, running) = Bank::open(2).await;
    let checks = bank.audit().run(SETTLE, None).await.expect("it is looked at");
    check(&checks, &[]);
    for table in [
        "transactions",
        "customer_positions",
        "account_daily",
        "bank_daily",
        "transaction_minutes",
    ] {
        let judged = checks
            .iter()
            .any(|check| check.what.starts_with(&format!("gold.{table}: ")) && check.notes.is_empty());
        assert!(judged, "{checks:#?}");
    }
    // What is written from here on is this test's alone.
    running.stop().await.expect("it ends");
    facts(&bank).await;
    positions(&bank).await;
    account_days(&bank).await;
    bank_days(&bank).await;
    minutes(&bank).await;
    let checks = bank.audit().run(SETTLE, None).await.expect("it is looked at");
    check(&checks, &[]);
}

async fn facts(bank: &Bank) {
    let table = Table::of(bank, TRANSACTION_FACTS);
    let (key, row) = table.find(|_, row| row.related_account_id.is_none());
    let named = format!("gold.transactions: transaction {key}: ");
    let made_of = "the transactions and the versions of their accounts";
    let amount = more(row.amount);
    let wrong = TransactionFact { amount, ..row.clone() };
    let said = format!("{named}amount is {amount}, and by {made_of} {}", row.amount);
    table.with(key, Some(&wrong), &said).await;
    // Of another version of the account, and of another customer.
    let wrong = TransactionFact {
        account_version: row.account_version + 1,
        ..row.clone()
    };
    let said = format!(
        "{named}account_version is {}, and by {made_of} {}",
        wrong.account_version, row.account_version
    );
    table.with(key, Some(&wrong), &said).await;
    let customer_id = CustomerId(row.customer_id.0 + 1);
    let wrong = TransactionFact {
        customer_id,
        ..row.clone()
    };
    table
        .with(key, Some(&wrong), &format!("{named}customer_id is {customer_id}"))
        .await;
    table.with(key, None, &format!("{named}it has no row")).await;
    table.twice(key, &row, &format!("{named}its row is in two partitions")).await;
    let nothing = TransactionId(987_654);
    let said = format!("gold.transactions: transaction {nothing}: it has a row, and {made_of} make none");
    table.with(nothing, Some(&row), &said).await;
}

async fn positions(bank: &Bank) {
    let table = Table::of(bank, CUSTOMER_POSITIONS);
    let (key, row) = table.find(|_, row| row.accounts > 1);
    let named = format!("gold.customer_positions: customer {} in {}: ", key.0, key.1);
    let booked = more(row.booked);
    let wrong = CustomerPosition { booked, ..row.clone() };
    let said = format!(
        "{named}booked is {booked}, and by the customer's accounts and their balances {}",
        row.booked
    );
    table.with(key, Some(&wrong), &said).await;
    let wrong = CustomerPosition {
        open_accounts: row.open_accounts + 1,
        ..row.clone()
    };
    table
        .with(key, Some(&wrong), &format!("{named}open_accounts is {}", wrong.open_accounts))
        .await;
    table.with(key, None, &format!("{named}it has no row")).await;
    table.twice(key, &row, &format!("{named}its row is in two partitions")).await;
    let nobody = CustomerId(987_654);
    let said = format!("gold.customer_positions: customer {nobody} in {}: it has a row", key.1);
    table.with((nobody, key.1), Some(&row), &said).await;
}

async fn account_days(bank: &Bank) {
    let table = Table::of(bank, ACCOUNT_DAILY);
    let (key, row) = table.find(|_, row| row.credits > Money::ZERO);
    let named = format!("gold.account_daily: account {}: ", key.0);
    let credits = more(row.credits);
    let wrong = AccountDay { credits, ..row.clone() };
    table
        .with(
            key,
            Some(&wrong),
            &format!("with credits {credits} less debits {} is another amount", row.debits),
        )
        .await;
    // Within the day all is right, and what the account has is not.
    let wrong = AccountDay {
        credits,
        closing: more(row.closing),
        ..row.clone()
    };
    let said = format!(
        "the last: closing is {}, and the account's balance {}",
        wrong.closing, row.closing
    );
    table.with(key, Some(&wrong), &said).await;
    // Each day is right by itself, and they do not join.
    let wrong = AccountDay {
        opening: more(row.opening),
        closing: more(row.closing),
        ..row.clone()
    };
    let said = format!("opening is {}, and the account opened with {}", wrong.opening, row.opening);
    table.with(key, Some(&wrong), &said).await;
    // As much more in as out.
    let wrong = AccountDay {
        credits,
        debits: more(row.debits),
        ..row.clone()
    };
    let said = format!(
        "credits is {credits}, and by its transactions {}, debits is {}",
        row.credits, wrong.debits
    );
    table.with(key, Some(&wrong), &said).await;
    let wrong = AccountDay {
        entries: row.entries + 1,
        ..row.clone()
    };
    table.with(key, Some(&wrong), &format!("entries is {}", wrong.entries)).await;
    table.with(key, None, "it has no row, and its transactions make one").await;
    table.twice(key, &row, &format!("{named}2026")).await;
    let next = AccountDay {
        day: row.day + 1,
        opening: row.closing,
        ..row.clone()
    };
    table
        .with((key.0, next.day), Some(&next), "it has a row, and its transactions make none")
        .await;
    let nobody = AccountId(876_543);
    let said = format!("gold.account_daily: account {nobody}: ");
    table.with((nobody, key.1), Some(&row), &said).await;
}

async fn bank_days(bank: &Bank) {
    let table = Table::of(bank, BANK_DAILY);
    let (key, row) = table.find(|_, row| row.active_customers > 1);
    let net_flow = more(row.net_flow);
    let wrong = BankDay { net_flow, ..row.clone() };
    let named = format!(", {} in {}: ", key.1, key.2);
    let said = format!(
        "{named}net_flow is {net_flow}, and by the accounts and their days {}",
        row.net_flow
    );
    table.with(key, Some(&wrong), &said).await;
    let wrong = BankDay {
        active_customers: row.active_customers - 1,
        new_accounts: row.new_accounts + 1,
        ..row.clone()
    };
    let said = format!(
        "new_accounts is {}, and by the accounts and their days {}",
        wrong.new_accounts, row.new_accounts
    );
    table.with(key, Some(&wrong), &said).await;
    table.with(key, None, &format!("{named}it has no row")).await;
    table.twice(key, &row, &format!("{named}its row is in two partitions")).await;
    let said = format!("{named}it has a row, and the accounts and their days make none");
    table.with((key.0 + 400, key.1, key.2), Some(&row), &said).await;
}

async fn minutes(bank: &Bank) {
    let table = Table::of(bank, TRANSACTION_MINUTES);
    let (key, row) = table.find(|_, _| true);
    let named = format!(", {}, {}, in {}: ", key.1, key.2, key.3);
    let amount = more(row.amount);
    let wrong = TransactionMinute { amount, ..row.clone() };
    let said = format!(
        "{named}amount is {amount}, and by the transactions and their accounts' currencies {}",
        row.amount
    );
    table.with(key, Some(&wrong), &said).await;
    // Counted twice.
    let wrong = TransactionMinute {
        transactions: 2 * row.transactions,
        amount: row.amount.checked_add(row.amount).expect("there is room"),
        failures: 2 * row.failures,
        ..row.clone()
    };
    table
        .with(key, Some(&wrong), &format!("{named}transactions is {}", wrong.transactions))
        .await;
    table.with(key, None, &format!("{named}it has no row")).await;
    table.twice(key, &row, &format!("{named}its row is in two partitions")).await;
    let elsewhere = (key.0 - 400 * 86_400_000_000, key.1, key.2, key.3);
    table.with(elsewhere, Some(&row), &format!("{named}it has a row")).await;
}
