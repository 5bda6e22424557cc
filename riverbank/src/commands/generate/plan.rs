//! A whole run of the simulated bank: read from `config.yaml` and flags, checked as a whole.

use std::time::Duration;

use schemas::{Currency, Money};
use simulator::{Mix, Profile, Range};

use super::table::TABLE;
use crate::config::reader::Reader;
use crate::config::{Secret, SettingsError, Sources, value};

/// Where operations go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// This database.
    Database(Secret),
    /// The database of the setting `postgres.url`.
    Settings,
    /// Kafka's topics, as Debezium would fill them.
    Topics,
}

/// A whole run: the bank, how fast, how long, where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed, if one was given.
    pub seed: Option<u64>,
    /// Where to.
    pub into: Destination,
    /// Operations a second; `None` is as fast as possible.
    pub rate: Option<u32>,
    /// End after this many.
    pub count: Option<u64>,
    /// End after this time.
    pub run_for: Option<Duration>,
    /// Connections at the same time.
    pub connections: usize,
    /// What the bank is like.
    pub profile: Profile,
}

impl Plan {
    /// Reads and checks the settings.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(TABLE, sources);
        let plan = Self::read(&mut reader);
        debug_assert!(reader.unread().is_empty(), "nothing reads {:?}", reader.unread());
        for (name, range) in [
            ("opening_balance.max", plan.profile.opening_balance),
            ("amount.max", plan.profile.amount),
        ] {
            if range.max < range.min {
                reader.problem(name, "must not be less than its min");
            }
        }
        let mix = plan.profile.mix;
        if mix.deposit + mix.withdrawal + mix.transfer == 0 {
            reader.problem(
                "mix.deposit",
                "must not be 0 when mix.withdrawal and mix.transfer are: nothing would ever happen",
            );
        }
        reader.finish(plan)
    }

    fn read(reader: &mut Reader) -> Self {
        Self {
            seed: reader.optional("seed", value::count(0, u64::MAX)),
            into: reader.get("into", destination),
            rate: Some(reader.get("rate", value::count(0, 1_000_000))).filter(|rate| *rate > 0),
            count: reader.optional("count", value::count(1, u64::MAX / 2)),
            run_for: reader.optional("for", value::duration("1ms", "365d")),
            connections: reader.get("connections", value::count(1, 64)),
            profile: Profile {
                customers: reader.get("customers", value::count(1, 1_000_000)),
                accounts_per_customer: reader.get("accounts_per_customer", value::count(1, 10)),
                operations_per_commit: reader.get("operations_per_commit", value::count(1, 100)),
                currencies: reader.get("currencies", currencies),
                savings_percent: reader.get("savings", value::percent),
                opening_balance: Range {
                    min: reader.get("opening_balance.min", |text| hundredths(text, 0)),
                    max: reader.get("opening_balance.max", |text| hundredths(text, 0)),
                },
                amount: Range {
                    min: reader.get("amount.min", |text| hundredths(text, 1)),
                    max: reader.get("amount.max", |text| hundredths(text, 1)),
                },
                pending_percent: reader.get("pending", value::percent),
                failed_percent: reader.get("failed", value::percent),
                mix: read_mix(reader),
            },
        }
    }
}

fn read_mix(reader: &mut Reader) -> Mix {
    let mut weight = |key| reader.get(key, value::count(0, 1_000_000));
    Mix {
        deposit: weight("mix.deposit"),
        withdrawal: weight("mix.withdrawal"),
        transfer: weight("mix.transfer"),
        settle: weight("mix.settle"),
        reverse: weight("mix.reverse"),
        correct: weight("mix.correct"),
        remove: weight("mix.remove"),
        overdraw: weight("mix.overdraw"),
        customer_change: weight("mix.customer_change"),
        customer_add: weight("mix.customer_add"),
        customer_remove: weight("mix.customer_remove"),
        account_open: weight("mix.account_open"),
        account_close: weight("mix.account_close"),
    }
}

fn destination(text: &str) -> Result<Destination, String> {
    match text {
        "postgres" => Ok(Destination::Settings),
        "topics" => Ok(Destination::Topics),
        url => match value::postgres_url(url) {
            Ok(url) => Ok(Destination::Database(url)),
            Err(_) => Err("must be postgres://user:password@host/database, postgres or topics".to_owned()),
        },
    }
}

fn currencies(text: &str) -> Result<Vec<Currency>, String> {
    let known = |code: &str| {
        code.parse::<Currency>()
            .map_err(|_| format!("must be currency codes such as EUR,USD, not \"{code}\""))
    };
    text.split(',').map(|code| known(code.trim())).collect()
}

/// The least and the most are far within 18 digits, so that sums of very many stay within them, too.
fn hundredths(text: &str, min: i64) -> Result<i64, String> {
    const MAX: i64 = 10_000_000_000;
    let amount = text
        .parse::<Money>()
        .ok()
        .and_then(|money| i64::try_from(money.minor_units(2)?).ok());
    match amount {
        Some(amount) if (min..=MAX).contains(&amount) => Ok(amount),
        _ => Err(format!(
            "must be an amount from {} to 100000000.00, not \"{text}\"",
            Money::from_hundredths(min.into())
        )),
    }
}
