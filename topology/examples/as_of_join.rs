//! At which rate? A stream joined with a table as it was at each record's own time, however late the record comes:
//! `cargo run --example as_of_join`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::testing::Client;
use topology::{EngineError, InProcessBroker, Streams, Topic};

/// Euro cents for a unit of a currency.
const RATES: Topic<String, i64> = Topic::new("rates");
/// Rates that the table has by now.
const KNOWN: Topic<String, i64> = Topic::new("known-rates");
/// Units of a currency.
const SALES: Topic<String, i64> = Topic::new("sales");
/// Euro cents.
const WORTH: Topic<String, i64> = Topic::new("worth");

/// A time of day, in milliseconds.
const fn at(hour: i64, minute: i64) -> i64 {
    (hour * 60 + minute) * 60_000
}

fn main() -> Result<(), EngineError> {
    let b = Builder::new("as-of-join");
    let rates = b.versioned_table(RATES, "rates", Duration::from_secs(24 * 3_600));
    rates.to_stream().to(KNOWN);
    b.stream(SALES).join(&rates, |_, units, rate| units * rate).to(WORTH);
    let log = Arc::new(InProcessBroker::new());
    let engine = Streams::new(b.build()?).broker(log.clone()).start()?;

    let (client, dollar) = (Client::new(log), "USD".to_owned());
    client.send(RATES, at(9, 0), &dollar, Some(&90))?;
    client.send(RATES, at(10, 0), &dollar, Some(&95))?;
    client.read(KNOWN, 2, Duration::from_secs(30))?;
    // Each comes later than the one that it was made before; before nine o'clock there is no rate.
    for (hour, minute) in [(10, 15), (9, 30), (8, 45)] {
        client.send(SALES, at(hour, minute), &dollar, Some(&100))?;
    }
    for sale in client.read(WORTH, 2, Duration::from_secs(30))? {
        let minutes = sale.timestamp_ms.0 / 60_000;
        let (hour, minute, cents) = (minutes / 60, minutes % 60, sale.value.unwrap_or(0));
        println!(
            "100 {} sold at {hour:02}:{minute:02} are {}.{:02} EUR",
            sale.key,
            cents / 100,
            cents % 100
        );
    }
    engine.stop();
    Ok(())
}
