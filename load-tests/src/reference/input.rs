//! Change events of transactions, as Debezium writes them.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Money;
use schemas::bronze::{Envelope, Op, Source, TransactionRow};
use serde::{Deserialize, Serialize};
use topology::clock::{Clock, SystemClock};
use wire::{Codec, MemoryRegistry, Registry, Wire, avro_wire};

/// The schema of Debezium's Postgres connector 3.7 for the table, as it registered it.
pub const SCHEMA: &str = include_str!("../../../schemas/tests/data/debezium/bank.public.transactions-value.json");

/// Which accounts transactions are booked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Draw {
    /// One after the other; no row changes.
    #[value(skip)]
    InTurn,
    /// All alike.
    Evenly,
    /// A fifth of them has four fifths of the transactions, and so on within that fifth.
    HotFifth,
}

/// Makes change events, the same ones for the same seed: nine inserts in ten, the rest updates and deletes of recent rows.
pub struct Changes {
    rng: ChaCha8Rng,
    accounts: i64,
    draw: Draw,
    next_id: i64,
    recent: Vec<TransactionRow>,
    values: Codec,
    keys: Codec,
}

/// Rows that may still change.
const RECENT: usize = 1_000;

/// A key and a value, framed.
pub struct Event {
    /// The row's id.
    pub key: Vec<u8>,
    /// The envelope.
    pub value: Vec<u8>,
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemClock.now_ms().0
}

impl Changes {
    /// Transactions on so many accounts.
    pub fn new(seed: u64, accounts: i64) -> anyhow::Result<Self> {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        Ok(Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            accounts,
            draw: Draw::Evenly,
            next_id: 1,
            recent: Vec::new(),
            values: Codec::register::<Debezium>(registry.clone(), "values")?,
            keys: Codec::register::<Key>(registry, "keys")?,
        })
    }

    /// Inserts only, on one account after the other.
    pub fn in_turn(seed: u64, accounts: i64) -> anyhow::Result<Self> {
        Self::drawn(seed, accounts, Draw::InTurn)
    }

    /// On accounts that are drawn like that.
    pub fn drawn(seed: u64, accounts: i64, draw: Draw) -> anyhow::Result<Self> {
        Ok(Self {
            draw,
            ..Self::new(seed, accounts)?
        })
    }

    /// The next change.
    pub fn event(&mut self) -> anyhow::Result<Event> {
        let kind = self.rng.random_range(0..100);
        let (before, after, op) = if kind < 90 || self.draw == Draw::InTurn || self.recent.is_empty() {
            let row = self.row();
            (None, Some(row), Op::Create)
        } else {
            let old = self.recent.swap_remove(self.rng.random_range(0..self.recent.len()));
            if kind < 97 {
                let new = TransactionRow {
                    amount: Some(Money::from_hundredths(self.rng.random_range(1..1_000_000))),
                    ..old.clone()
                };
                (Some(old), Some(new), Op::Update)
            } else {
                (Some(old), None, Op::Delete)
            }
        };
        let row = after.as_ref().or(before.as_ref()).expect("a change has a row");
        let key = framed(&Key { id: row.id }, &self.keys)?;
        if let Some(row) = &after {
            if self.recent.len() == RECENT {
                self.recent.swap_remove(self.rng.random_range(0..RECENT));
            }
            self.recent.push(row.clone());
        }
        let at_us = 1_790_000_000_000_000 + self.next_id * 1_000;
        let envelope = Envelope {
            before,
            after,
            source: Source {
                version: "3.7.0.Final".to_owned(),
                connector: "postgresql".to_owned(),
                name: "bank".to_owned(),
                ts_ms: at_us / 1_000,
                snapshot: Some("false".to_owned()),
                db: "bank".to_owned(),
                sequence: Some(format!("[\"{}\",\"{}\"]", 24_000_000 + at_us % 1_000_000, 24_000_056)),
                ts_us: Some(at_us),
                ts_ns: Some(at_us * 1_000),
                schema: "public".to_owned(),
                table: "transactions".to_owned(),
                tx_id: Some(self.next_id),
                lsn: Some(24_000_000 + self.next_id * 100),
                ..Source::default()
            },
            transaction: None,
            op,
            ts_ms: Some(at_us / 1_000 + 20),
            ts_us: Some(at_us + 20_000),
            ts_ns: Some(at_us * 1_000 + 20_000_000),
        };
        Ok(Event {
            key,
            value: framed(&Debezium(envelope), &self.values)?,
        })
    }

    fn hot_account(&mut self) -> i64 {
        // Self-similar: u^k falls below 0.2 where u is below 0.8.
        let exponent = 0.2_f64.ln() / 0.8_f64.ln();
        let rank = (self.accounts as f64 * self.rng.random::<f64>().powf(exponent)) as i64;
        // Hot accounts are no neighbours: a prime above every number of accounts spreads them.
        (i128::from(rank) * 2_654_435_761 % i128::from(self.accounts)) as i64 + 1
    }

    fn row(&mut self) -> TransactionRow {
        let id = self.next_id;
        self.next_id += 1;
        let kind = ["DEPOSIT", "WITHDRAWAL", "TRANSFER"][self.rng.random_range(0..3)];
        let at_us = 1_790_000_000_000_000 + id * 1_000;
        TransactionRow {
            id,
            account_id: Some(match self.draw {
                Draw::InTurn => id % self.accounts + 1,
                Draw::Evenly => self.rng.random_range(1..=self.accounts),
                Draw::HotFifth => self.hot_account(),
            }),
            txn_type: Some(kind.to_owned()),
            amount: Some(Money::from_hundredths(self.rng.random_range(1..1_000_000))),
            related_account_id: None,
            status: Some("COMPLETED".to_owned()),
            created_at: Some(at_us),
            updated_at: Some(at_us),
        }
    }
}

/// As the table's own source writes it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Debezium(Envelope<TransactionRow>);

avro_wire!(Debezium, SCHEMA);

#[derive(Serialize, Deserialize)]
struct Key {
    id: i64,
}

avro_wire!(
    Key,
    r#"{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}"#
);

fn framed<T: Wire>(value: &T, codec: &Codec) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.encode(codec, &mut bytes)?;
    Ok(bytes)
}
