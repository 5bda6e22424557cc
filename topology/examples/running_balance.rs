//! An account's balance after each booking, asked from the state store: `cargo run --example running_balance`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::store::TimestampedKeyValue;
use topology::testing::Client;
use topology::{InProcessBroker, Millis, Streams, Topic};

/// By account, in cents.
const BOOKINGS: Topic<String, i64> = Topic::new("bookings");
const BALANCES: Topic<String, i64> = Topic::new("balances");
const BALANCE: TimestampedKeyValue<String, i64> = TimestampedKeyValue::new("balance");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let b = Builder::new("running-balance");
    let bookings = b.stream(BOOKINGS).group_by_key();
    let balances = bookings.reduce(BALANCE.name(), |balance, booking| balance + booking);
    balances.to_stream().to_compacted(BALANCES);
    let log = Arc::new(InProcessBroker::new());
    let engine = Streams::new(b.build()?).broker(log.clone()).start()?;

    let client = Client::new(log);
    for (at_ms, cents) in [(1, 10_000), (2, -2_550), (3, 399)] {
        client.send(BOOKINGS, at_ms, &"DE-1".to_owned(), Some(&cents))?;
    }
    for balance in client.read(BALANCES, 3, Duration::from_secs(30))? {
        println!("{} at {}: {:?} cents", balance.key, balance.timestamp_ms, balance.value);
    }
    // An instance answers for the keys that it has; it is the only one here. A commit shows in the topic a moment before it does here.
    let now = loop {
        let answer = engine.queries().get(BALANCE, &"DE-1".to_owned())?;
        match answer.value {
            Some(row) if row.timestamp_ms == Millis(3) => break row.value,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    println!("now: {now} cents");
    engine.stop();
    Ok(())
}
