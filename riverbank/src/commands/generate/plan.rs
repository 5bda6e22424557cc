//! A whole run of the simulated bank: read from `config.yaml` and flags, checked as a whole.

use std::time::Duration;

use schemas::{Currency, Money};
use simulator::{Days, Mix, Profile, Range, Salary, Spread, StandingOrders};

use super::table::TABLE;
use crate::config::reader::Reader;
use crate::config::{Secret, SettingsError, Sources, value};

/// The rate by which a day's operations are counted where the rate is as fast as possible.
const NOMINAL_RATE: u32 = 100;

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
    /// When the bank's days begin, in microseconds since the epoch, if it was said.
    pub start: Option<i64>,
    /// What the bank is like.
    pub profile: Profile,
}

impl Plan {
    /// Reads and checks the settings.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(TABLE, sources);
        let plan = Self::read(&mut reader);
        debug_assert!(reader.unread().is_empty(), "nothing reads {:?}", reader.unread());
        let profile = &plan.profile;
        for (min, max, range) in [
            ("opening_balance.min", "opening_balance.max", profile.opening_balance),
            ("amount.min", "amount.max", profile.amount),
        ] {
            if range.max < range.min {
                reader.problem(max, format!("must not be less than {min}"));
            }
        }
        let Range { min, max } = profile.amount;
        for (name, spread) in [
            ("card.median", profile.card),
            ("cash.median", profile.cash),
            ("deposit.median", profile.deposit),
            ("transfer.median", profile.transfer),
        ] {
            if min <= max && !(min..=max).contains(&spread.median) {
                reader.problem(
                    name,
                    format!("must be from amount.min to amount.max ({} to {})", money(min), money(max)),
                );
            }
        }
        let mix = profile.mix;
        if mix.deposit + mix.withdrawal + mix.transfer == 0 {
            reader.problem(
                "mix.deposit",
                "must not be 0 when mix.withdrawal and mix.transfer are: nothing would ever happen",
            );
        }
        reader.finish(plan)
    }

    fn read(reader: &mut Reader) -> Self {
        let rate = Some(reader.get("rate", value::count(0, 1_000_000))).filter(|rate| *rate > 0);
        let start = reader.optional("start", instant);
        Self {
            seed: reader.optional("seed", value::count(0, u64::MAX)),
            into: reader.get("into", destination),
            rate,
            count: reader.optional("count", value::count(1, u64::MAX / 2)),
            run_for: reader.optional("for", value::duration("1ms", "365d")),
            connections: reader.get("connections", value::count(1, 64)),
            start,
            profile: Profile {
                customers: reader.get("customers", value::count(1, 1_000_000)),
                accounts_per_customer: reader.get("accounts_per_customer", value::count(1, 10)),
                operations_per_commit: operations_per_commit(reader, rate),
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
                activity: reader.get("activity", |text| decimal(text, 300)),
                card: spread(reader, "card.median", "card.spread"),
                cash_percent: reader.get("cash.share", value::percent),
                cash: spread(reader, "cash.median", "cash.spread"),
                deposit: spread(reader, "deposit.median", "deposit.spread"),
                transfer: spread(reader, "transfer.median", "transfer.spread"),
                own_transfers_percent: reader.get("transfer.own", value::percent),
                pending_percent: reader.get("pending", value::percent),
                failed_percent: reader.get("failed", value::percent),
                days: read_days(reader, rate, start),
                salary: Salary {
                    percent: reader.get("salary.share", value::percent),
                    day: reader.get("salary.day", value::count(1, 25)),
                    amount: spread(reader, "salary.median", "salary.spread"),
                },
                standing_orders: StandingOrders {
                    rent_percent: reader.get("standing_orders.rent", value::percent),
                    savings_percent: reader.get("standing_orders.savings", value::percent),
                },
                mix: read_mix(reader),
            },
        }
    }
}

/// A commit has no more than a quarter of a second's operations: one a second is one a second, not four in four seconds.
fn operations_per_commit(reader: &mut Reader, rate: Option<u32>) -> u64 {
    let most: u64 = reader.get("operations_per_commit", value::count(1, 1_000));
    rate.map_or(most, |rate| most.min((u64::from(rate) / 4).max(1)))
}

fn spread(reader: &mut Reader, median: &'static str, sigma: &'static str) -> Spread {
    Spread {
        median: reader.get(median, |text| hundredths(text, 1)),
        sigma: reader.get(sigma, |text| decimal(text, 300)),
    }
}

fn read_days(reader: &mut Reader, rate: Option<u32>, start: Option<i64>) -> Days {
    let day = reader.get("day", value::duration("1s", "365d"));
    let operations = day.as_secs_f64() * f64::from(rate.unwrap_or(NOMINAL_RATE));
    Days {
        start: start.unwrap_or(Days::default().start),
        operations: (operations.round() as u64).max(1),
        pattern: reader.get("daily_pattern", value::boolean),
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
        account_change: weight("mix.account_change"),
        account_block: weight("mix.account_block"),
        account_close: weight("mix.account_close"),
        account_remove: weight("mix.account_remove"),
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
    let mut all = Vec::new();
    for code in text.split(',').map(str::trim) {
        let currency = code
            .parse::<Currency>()
            .map_err(|_| format!("must be currency codes such as EUR,USD, not \"{code}\""))?;
        if !currency.is_current() {
            return Err(format!("must be currencies that are in use, which {code} no longer is"));
        }
        if all.contains(&currency) {
            return Err(format!("must not name {code} twice"));
        }
        all.push(currency);
    }
    Ok(all)
}

/// A date, which is its first moment (UTC), or an instant; in microseconds since the epoch.
fn instant(text: &str) -> Result<i64, String> {
    let date = |text: &str| {
        let date: jiff::civil::Date = text.parse().ok()?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp())
    };
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| date(text));
    let years = |instant: &jiff::Timestamp| (1970..=2200).contains(&instant.to_zoned(jiff::tz::TimeZone::UTC).year());
    match instant.filter(years) {
        Some(instant) => Ok(instant.as_microsecond()),
        None => Err(format!(
            "must be a date such as 2026-01-20 or a time such as 2026-01-20T08:00:00Z, from 1970 to 2200, not \"{text}\""
        )),
    }
}

/// A number with two decimal places at most, from 0 to `max` hundredths.
fn decimal(text: &str, max: u32) -> Result<u32, String> {
    let number = text
        .parse::<Money>()
        .ok()
        .and_then(|number| u32::try_from(number.minor_units(2)?).ok());
    match number {
        Some(number) if number <= max => Ok(number),
        _ => Err(format!(
            "must be a number from 0 to {}, with two decimal places at most, not \"{text}\"",
            money(max.into())
        )),
    }
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
            "must be an amount from {} to {}, not \"{text}\"",
            money(min),
            money(MAX)
        )),
    }
}

fn money(hundredths: i64) -> Money {
    Money::from_hundredths(hundredths.into())
}
