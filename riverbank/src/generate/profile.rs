//! What the simulated bank is like, and a whole run of it: read from `config.yaml` and flags, checked as a whole.

use std::time::Duration;

use schemas::{Currency, Money};

use super::knobs::TABLE;
use crate::config::reader::Reader;
use crate::config::{Secret, SettingsError, Sources, value};

/// Where operations go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This database.
    Database(Secret),
    /// The database of the setting `postgres.url`.
    Settings,
    /// Kafka's topics, as Debezium would fill them.
    Topics,
}

/// What the simulated bank is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Customers at the start.
    pub customers: u64,
    /// Accounts of each at the start.
    pub accounts_per_customer: u64,
    /// The most operations of one commit.
    pub operations_per_commit: u64,
    /// Currencies, the most frequent first; never empty.
    pub currencies: Vec<Currency>,
    /// Share of savings accounts, in percent.
    pub savings_percent: u32,
    /// What accounts open with, in hundredths.
    pub opening_balance: Range,
    /// What transactions move, in hundredths.
    pub amount: Range,
    /// Share of transactions that begin as PENDING, in percent.
    pub pending_percent: u32,
    /// Share of the pending ones that fail, in percent.
    pub failed_percent: u32,
    /// How frequent each kind is.
    pub mix: Mix,
}

/// From `min` to `max`, both included, in hundredths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
}

/// Weights: a kind's share is its weight divided by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the weight of the kind that it is called by; see the table")]
pub struct Mix {
    pub deposit: u64,
    pub withdrawal: u64,
    pub transfer: u64,
    pub settle: u64,
    pub reverse: u64,
    pub correct: u64,
    pub remove: u64,
    pub overdraw: u64,
    pub customer_change: u64,
    pub customer_add: u64,
    pub customer_remove: u64,
    pub account_open: u64,
    pub account_close: u64,
}

/// A whole run: the bank, how fast, how long, where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed, if one was given.
    pub seed: Option<u64>,
    /// Where to.
    pub into: Target,
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

impl Default for Profile {
    fn default() -> Self {
        Plan::load(&Sources::default()).expect("the defaults are right").profile
    }
}

impl Plan {
    /// Reads and checks the knobs.
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
        let number = |min, max| value::count(min, max);
        let (second, year) = (Duration::from_millis(1), Duration::from_secs(365 * 86_400));
        Self {
            seed: reader.optional("seed", number(0, u64::MAX)),
            into: reader.get("into", target),
            rate: Some(reader.get("rate", number(0, 1_000_000)) as u32).filter(|rate| *rate > 0),
            count: reader.optional("count", number(1, u64::MAX / 2)),
            run_for: reader.optional("for", value::duration(second, year)),
            connections: reader.get("connections", number(1, 64)) as usize,
            profile: Profile {
                customers: reader.get("customers", number(1, 1_000_000)),
                accounts_per_customer: reader.get("accounts_per_customer", number(1, 10)),
                operations_per_commit: reader.get("operations_per_commit", number(1, 100)),
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

fn target(text: &str) -> Result<Target, String> {
    match text {
        "postgres" => Ok(Target::Settings),
        "topics" => Ok(Target::Topics),
        url => match value::postgres_url(url) {
            Ok(url) => Ok(Target::Database(url)),
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
