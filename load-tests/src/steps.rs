//! The steps of one record, so many times each: for counting instructions.

use std::hint::black_box;

use anyhow::ensure;
use topology::testing::TestDriver;
use wire::{Codec, Wire};

use crate::reference::input::SCHEMA;
use crate::reference::work::{Balance, Change, Variant, postings, topology};
use crate::samples;
use crate::tables::{TableWork, Tables};

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
    /// A row's move from one group of a table to another.
    TableAggregate,
    /// A row's join with another table's by a foreign key.
    ForeignKeyJoin,
    /// A record's join with what a key had at its time.
    VersionedGet,
}

/// Change events that are made once and used again and again.
const DIFFERENT: usize = 256;

/// Does a step so many times.
pub fn run(step: Step, count: usize) -> anyhow::Result<()> {
    let work = match step {
        Step::TableAggregate => Some(TableWork::Aggregate),
        Step::ForeignKeyJoin => Some(TableWork::ForeignKeyJoin),
        Step::VersionedGet => Some(TableWork::VersionedGet),
        _ => None,
    };
    if let Some(work) = work {
        return Tables::new(work)?.run(count);
    }
    let events = samples::envelopes(DIFFERENT, 1_000)?;
    let (balance, codec) = (samples::balance(), samples::codec::<Balance>()?);
    let mut bytes = Vec::new();
    match step {
        Step::DecodeChangeEvent => {
            let codec = Codec::reader(samples::registry());
            for event in events.iter().cycle().take(count) {
                black_box(Change::decode(black_box(event), &codec)?);
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
                    event[1..5].copy_from_slice(&id.to_be_bytes());
                    event
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
        Step::TableAggregate | Step::ForeignKeyJoin | Step::VersionedGet => unreachable!("done above"),
    }
    Ok(())
}
