//! Whose account is it? A table joined by a key that its rows name: `cargo run --example foreign_key_join`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::testing::Client;
use topology::{EngineError, InProcessBroker, Streams, Topic};

/// An account's customer.
const ACCOUNTS: Topic<i64, i64> = Topic::new("accounts");
/// A customer's name.
const CUSTOMERS: Topic<i64, String> = Topic::new("customers");
/// An account's customer's name.
const OWNERS: Topic<i64, String> = Topic::new("owners");

fn main() -> Result<(), EngineError> {
    let b = Builder::new("foreign-key-join");
    let (accounts, customers) = (b.table(ACCOUNTS, "accounts"), b.table(CUSTOMERS, "customers"));
    accounts
        .fk_join(&customers, |_, customer| Some(*customer), |_, name| name.clone(), "owners")
        .to_stream()
        .to_compacted(OWNERS);
    let log = Arc::new(InProcessBroker::new());
    let engine = Streams::new(b.build()?).broker(log.clone()).start()?;

    let client = Client::new(log);
    client.send(ACCOUNTS, 1, &17, Some(&1))?;
    client.send(ACCOUNTS, 2, &18, Some(&1))?;
    client.send(CUSTOMERS, 3, &1, Some(&"Ada".to_owned()))?;
    for owner in client.read(OWNERS, 2, Duration::from_secs(30))? {
        println!("account {}: {}", owner.key, owner.value.unwrap_or_default());
    }
    engine.stop();
    Ok(())
}
