//! The bank beside dbt: the same changes at the source, with dbt's staging, snapshots and marts after each batch of them.
//!
//! `tools/dbt.sh` installs and runs dbt on DuckDB, and `project/` is what it runs. A batch changes no row twice, or dbt would miss what was
//! between; a transaction of a batch may, since what it did in steps was never to be seen. `SEED=n` replays the two histories: one of a source with
//! all of our columns, one of a source with those of a batch stack alone, whose rows do not say when they were changed. There all commits of a batch
//! have the instant of dbt's run, since it knows no other.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it compared"
)]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod source;

use std::collections::BTreeMap;

use processors::stores;
use schemas::Money;
use schemas::topics::{ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, TRANSACTION_FACTS, TRANSACTION_MINUTES};
use serde_json::{Value, json};
use wire::{Topic, Wire};

use answer::{Tables, answer};
use source::Source;

/// Of each history.
const BATCHES: usize = 12;

/// The records of a compacted topic that are in force.
fn rows<K: Wire + Ord, V: Wire>(source: &mut Source, topic: Topic<K, V>) -> impl Iterator<Item = V> {
    let mut rows = BTreeMap::new();
    for record in source.bank.driver.drain(topic) {
        match record.value {
            Some(row) => rows.insert(record.key, row),
            None => rows.remove(&record.key),
        };
    }
    rows.into_values()
}

/// Gold that adds up, and the facts, as dbt writes its own. `narrow`: without what dbt cannot know of such a source, which is what accounts opened with.
fn gold(source: &mut Source, narrow: bool) -> Tables {
    let unknown = |amount: Money| (!narrow).then(|| amount.to_string());
    let positions = rows(source, CUSTOMER_POSITIONS).map(|row| {
        json!({
            "customer_id": row.customer_id.0, "currency": row.currency.as_str(), "booked": unknown(row.booked),
            "available": unknown(row.available), "accounts": row.accounts, "open_accounts": row.open_accounts,
        })
    });
    let positions = positions.collect();
    let days = rows(source, ACCOUNT_DAILY).map(|row| {
        json!({
            "account_id": row.account_id.0, "day": row.day, "customer_id": row.customer_id.0, "account_type": row.account_type.as_str(),
            "currency": row.currency.as_str(), "opening": unknown(row.opening), "credits": row.credits.to_string(),
            "debits": row.debits.to_string(), "entries": row.entries, "closing": unknown(row.closing),
        })
    });
    let days = days.collect();
    let minutes = rows(source, TRANSACTION_MINUTES).map(|row| {
        json!({
            "minute": row.minute, "txn_type": row.txn_type.as_str(), "status": row.status.as_str(), "currency": row.currency.as_str(),
            "transactions": row.transactions, "amount": row.amount.to_string(), "failures": row.failures,
        })
    });
    let minutes = minutes.collect();
    let facts = rows(source, TRANSACTION_FACTS).map(|row| {
        json!({
            "transaction_id": row.transaction_id.0, "account_id": row.account_id.0, "account_version": row.account_version,
            "customer_id": row.customer_id.0, "account_type": row.account_type.as_str(), "currency": row.currency.as_str(),
            "txn_type": row.txn_type.as_str(), "amount": row.amount.to_string(),
            "related_account_id": row.related_account_id.map(|id| id.0), "status": row.status.as_str(), "created_at": row.created_at,
        })
    });
    let facts = facts.collect();
    let bank = rows(source, BANK_DAILY).map(|row| {
        assert_eq!(row.closed_accounts, 0, "no account says when it was closed");
        json!({
            "day": row.day, "account_type": row.account_type.as_str(), "currency": row.currency.as_str(),
            "net_flow": row.net_flow.to_string(), "new_accounts": row.new_accounts, "active_accounts": row.active_accounts,
            "active_customers": row.active_customers,
        })
    });
    BTreeMap::from([
        ("customer_positions".to_owned(), positions),
        ("account_daily".to_owned(), days),
        ("transactions".to_owned(), facts),
        ("transaction_minutes".to_owned(), minutes),
        ("bank_daily".to_owned(), bank.collect()),
    ])
}

/// The tables of the bank as dbt writes its own.
fn tables(source: &Source) -> Tables {
    let driver = &source.bank.driver;
    let customers = driver.view(stores::CUSTOMER_VERSIONS).into_iter().map(|(_, version)| {
        json!({
            "customer_id": version.customer_id.0, "first_name": version.first_name, "last_name": version.last_name, "email": version.email,
            "valid_from": version.valid_from.0, "valid_to": version.valid_to.map(|at| at.0), "is_deleted": version.is_deleted,
        })
    });
    let accounts = driver.view(stores::ACCOUNT_VERSIONS).into_iter().map(|(_, version)| {
        json!({
            "account_id": version.account_id.0, "customer_id": version.customer_id.0, "account_type": version.account_type.as_str(),
            "currency": version.currency.as_str(), "status": version.status.as_str(),
            "valid_from": version.valid_from.0, "valid_to": version.valid_to.map(|at| at.0), "is_deleted": version.is_deleted,
        })
    });
    let dim_customers = driver
        .view(stores::CUSTOMERS)
        .into_iter()
        .filter_map(|(_, applied)| applied.row);
    let dim_customers = dim_customers.map(
        |row| json!({ "customer_id": row.id.0, "first_name": row.first_name, "last_name": row.last_name, "email": row.email }),
    );
    let dim_accounts = driver
        .view(stores::ACCOUNTS)
        .into_iter()
        .filter_map(|(_, applied)| applied.row);
    let dim_accounts = dim_accounts.map(|row| {
        json!({
            "account_id": row.id.0, "customer_id": row.customer_id.0, "account_type": row.account_type.as_str(),
            "currency": row.currency.as_str(), "status": row.status.as_str(),
        })
    });
    let transactions = driver
        .view(stores::TRANSACTIONS)
        .into_iter()
        .filter_map(|(_, applied)| applied.row);
    let transactions = transactions.map(|row| {
        json!({
            "transaction_id": row.id.0, "account_id": row.account_id.0, "txn_type": row.txn_type.as_str(), "status": row.status.as_str(),
            "amount": row.amount.to_string(), "related_account_id": row.related_account_id.map(|id| id.0), "created_at": row.created_at,
        })
    });
    BTreeMap::from([
        ("customers".to_owned(), customers.collect()),
        ("accounts".to_owned(), accounts.collect()),
        ("dim_customers".to_owned(), dim_customers.collect()),
        ("dim_accounts".to_owned(), dim_accounts.collect()),
        ("fct_transactions".to_owned(), transactions.collect()),
    ])
}

/// Compares every table of a history. Returns how many changes, rows and customers who came again there were.
fn compare(seed: u64, narrow: bool) -> (usize, usize, usize) {
    let mut source = Source::new(seed, narrow);
    let batches: Vec<Value> = (0..BATCHES).map(|_| source.batch()).collect();
    let mut theirs = answer(&batches, narrow);
    let mut ours = tables(&source);
    for (name, mut rows) in gold(&mut source, narrow) {
        // Codes of a key have an order of their own here.
        rows.sort_by_cached_key(Value::to_string);
        theirs.entry(name.clone()).or_default().sort_by_cached_key(Value::to_string);
        ours.insert(name, rows);
    }
    let mut rows = 0;
    for (name, theirs) in &theirs {
        let ours = &ours[name];
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours, theirs, "{name}, row {place} (SEED={seed}, narrow: {narrow})");
        }
        assert_eq!(ours.len(), theirs.len(), "rows of {name} (SEED={seed}, narrow: {narrow})");
        assert!(!theirs.is_empty(), "{name} has rows (SEED={seed}, narrow: {narrow})");
        rows += theirs.len();
    }
    assert_eq!(ours.len(), theirs.len());
    let again = theirs["customers"].iter().zip(&theirs["customers"][1..]);
    let again = again.filter(|(one, next)| one["is_deleted"] == true && one["customer_id"] == next["customer_id"]);
    let again = again.count();
    println!(
        "dbt: SEED={seed}, narrow: {narrow}: {} changes in {BATCHES} batches, {rows} rows of {} tables are equal, {again} customers came again",
        source.changes,
        theirs.len(),
    );
    (source.changes, rows, again)
}

#[test]
fn each_table_is_as_dbt_makes_it() {
    let seed: u64 = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    // Another history, whose source has fewer columns.
    let histories = [(seed, false), (seed.wrapping_add(1), true)].map(|(seed, narrow)| compare(seed, narrow));
    let changes = histories.map(|(changes, ..)| changes);
    let again: usize = histories.iter().map(|(.., again)| again).sum();
    assert!(again > 0, "some customers came again (SEED={seed})");
    assert!(
        changes.iter().all(|changes| *changes >= 1_000),
        "{changes:?} changes (SEED={seed})"
    );
}
