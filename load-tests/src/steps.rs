//! The steps of one record, so many times each: for counting instructions.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::ensure;
use topology::testing::TestDriver;
use wire::{Codec, Registry, Wire};

use crate::reference::input::{Changes, SCHEMA};
use crate::reference::program::OneSchema;
use crate::reference::work::{Balance, Change, Variant, postings, topology};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// A change event from its bytes.
    DecodeChangeEvent,
    /// A balance to its bytes.
    EncodeBalance,
    /// A balance from its bytes.
    DecodeBalance,
    /// A change event's whole way through the engine, on the in-process log.
    Engine,
}

/// Change events that are made once and used again and again.
const DIFFERENT: usize = 256;

/// Does a step so many times.
pub fn run(step: Step, count: usize) -> anyhow::Result<()> {
    let registry: Arc<dyn Registry> = Arc::new(OneSchema::new(SCHEMA));
    let mut changes = Changes::new(1, 1_000)?;
    let events = (0..DIFFERENT).map(|_| changes.event()).collect::<anyhow::Result<Vec<_>>>()?;
    let balance = Balance {
        account_id: 12_345,
        balance: schemas::Money::from_hundredths(-1_234_567),
        postings: 17,
    };
    let codec = Codec::register::<Balance>(registry.clone(), "balances")?;
    let mut bytes = Vec::new();
    match step {
        Step::DecodeChangeEvent => {
            let codec = Codec::reader(registry);
            for event in events.iter().cycle().take(count) {
                black_box(Change::decode(black_box(&event.value), &codec)?);
            }
        }
        Step::EncodeBalance => {
            for _ in 0..count {
                bytes.clear();
                black_box(&balance).encode(&codec, &mut bytes)?;
            }
        }
        Step::DecodeBalance => {
            balance.encode(&codec, &mut bytes)?;
            for _ in 0..count {
                black_box(Balance::decode(black_box(&bytes), &codec)?);
            }
        }
        Step::Engine => {
            let mut driver = TestDriver::new(topology("steps", "changes", "balances", Variant::Changelog)?)?;
            let id = driver.registry().register("changes-value", SCHEMA)?;
            let events: Vec<Vec<u8>> = events
                .into_iter()
                .map(|mut event| {
                    event.value[1..5].copy_from_slice(&id.to_be_bytes());
                    event.value
                })
                .collect();
            let codec = Codec::reader(driver.registry());
            let legs = events
                .iter()
                .map(|event| Change::decode(event, &codec).map(|change| postings(&change).count()));
            let legs = legs.collect::<Result<Vec<_>, _>>()?;
            for (number, event) in events.iter().cycle().take(count).enumerate() {
                driver.queue_bytes("changes", number as i64, Some(&number.to_be_bytes()), Some(event));
                // As many as a busy worker has in a transaction.
                if number % 1_000 == 999 {
                    driver.settle();
                }
            }
            driver.settle();
            let expected: usize = legs.iter().cycle().take(count).sum();
            let written = driver.drain_bytes("balances").len();
            ensure!(written == expected, "{written} balances for {expected} postings");
        }
    }
    Ok(())
}
