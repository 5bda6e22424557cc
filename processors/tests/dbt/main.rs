//! The bank beside dbt: the same changes at the source, with dbt's staging, snapshots and marts after each batch of them.
//!
//! `tools/dbt.sh` installs and runs dbt on DuckDB, and `project/` is what it runs. A batch changes no row twice, or dbt would miss what was
//! between; a transaction of a batch may, since what it did in steps was never to be seen. `SEED=n` replays a history.

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
use serde_json::{Value, json};

use answer::{Tables, answer};
use source::Source;

const BATCHES: usize = 25;

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

#[test]
fn each_table_is_as_dbt_makes_it() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut source = Source::new(seed);
    let batches: Vec<Value> = (0..BATCHES).map(|_| source.batch()).collect();
    let theirs = answer(&batches);
    let ours = tables(&source);
    let mut rows = 0;
    for (name, theirs) in &theirs {
        let ours = &ours[name];
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours, theirs, "{name}, row {place} (SEED={seed})");
        }
        assert_eq!(ours.len(), theirs.len(), "rows of {name} (SEED={seed})");
        rows += theirs.len();
    }
    assert_eq!(ours.len(), theirs.len());
    let again = theirs["customers"].iter().zip(&theirs["customers"][1..]);
    let again = again.filter(|(one, next)| one["is_deleted"] == true && one["customer_id"] == next["customer_id"]);
    let again = again.count();
    assert!(again > 0, "some customers came again (SEED={seed})");
    println!(
        "dbt: {} changes in {BATCHES} batches, {rows} rows of {} tables are equal, {again} customers came again",
        source.changes,
        theirs.len(),
    );
    assert!(source.changes >= 1_000, "{} changes (SEED={seed})", source.changes);
}
