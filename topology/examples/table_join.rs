//! What is a stock worth? Two tables, joined: `cargo run --example table_join`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::testing::Client;
use topology::{EngineError, InProcessBroker, Streams, Topic};

const PRICES: Topic<String, i64> = Topic::new("prices");
const STOCK: Topic<String, i64> = Topic::new("stock");
const WORTH: Topic<String, i64> = Topic::new("worth");

fn main() -> Result<(), EngineError> {
    let b = Builder::new("table-join");
    let (prices, stock) = (b.table(PRICES, "prices"), b.table(STOCK, "stock"));
    prices
        .join(&stock, |price, count| price * count)
        .to_stream()
        .to_compacted(WORTH);
    let log = Arc::new(InProcessBroker::new());
    let engine = Streams::new(b.build()?).broker(log.clone()).start()?;

    let client = Client::new(log);
    let tea = "tea".to_owned();
    client.send(PRICES, 1, &tea, Some(&3))?;
    client.send(STOCK, 2, &tea, Some(&100))?;
    client.read(WORTH, 1, Duration::from_secs(30))?;
    client.send(PRICES, 3, &tea, Some(&4))?;
    for worth in client.read(WORTH, 2, Duration::from_secs(30))? {
        println!("{} at {}: {:?}", worth.key, worth.timestamp_ms, worth.value);
    }
    engine.stop();
    Ok(())
}
