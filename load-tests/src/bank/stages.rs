//! What each stage of the bank costs.
//!
//! The stages share a worker thread, so no clock tells them apart. Instead each is drained without the others, as far as that can be:
//! the customers' stage alone; the balances' stage alone, on copies of the account rows and of the legs that the whole had written.
//! The accounts' and the transactions' stages cannot run without the balances' stage behind them: theirs is what remains of both
//! together. The sum over all stages is reported beside the whole, as a check.

use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTIONS, LEGS, SILVER_ACCOUNTS};

use super::site::{Drain, Site};
use super::source::Records;
use crate::report::Report;

/// What the stages are fed with.
pub struct Parts<'a> {
    pub customers: &'a Records,
    pub accounts: &'a Records,
    /// With the ends of the source's transactions.
    pub transactions: [(&'a str, &'a Records); 2],
    /// Account rows on their way to the balances.
    pub rows: &'a Records,
    /// Legs of transactions on their way to the balances.
    pub legs: &'a Records,
}

/// What they took.
pub struct Alone {
    customers: Drain,
    rows: Drain,
    legs: Drain,
    accounts_and_rows: Drain,
    transactions_and_legs: Drain,
}

impl Parts<'_> {
    /// Drains one after the other, on two fresh clusters: the balances' stage must not have seen its records before.
    pub fn drain(&self, site: impl Fn() -> anyhow::Result<Site>) -> anyhow::Result<Alone> {
        let alone = |site: &Site, topic: &str, records: &Records| {
            eprintln!("{topic} alone");
            site.drain(&[(topic, records)])
        };
        let first = site()?;
        let customers = alone(&first, CDC_CUSTOMERS.name(), self.customers)?;
        let rows = alone(&first, SILVER_ACCOUNTS.name(), self.rows)?;
        let legs = alone(&first, LEGS.name(), self.legs)?;
        drop(first);
        let second = site()?;
        Ok(Alone {
            customers,
            rows,
            legs,
            accounts_and_rows: alone(&second, CDC_ACCOUNTS.name(), self.accounts)?,
            transactions_and_legs: second.drain(&self.transactions)?,
        })
    }
}

/// Each stage: its records in the whole, and what one of them costs.
pub fn report_to(alone: &Alone, whole: &Drain, report: &mut Report) {
    // Of the records of one drain that follow from one record of its input.
    let per = |drain: &Drain, topic: &str, input: &str| drain.of(topic) / drain.of(input).max(1.0);
    let (accounts, transactions) = (CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name());
    let rows_per_account = per(&alone.accounts_and_rows, SILVER_ACCOUNTS.name(), accounts);
    let legs_per_transaction = per(&alone.transactions_and_legs, LEGS.name(), transactions);
    let (row_us, leg_us) = (alone.rows.cpu_us_per_input, alone.legs.cpu_us_per_input);
    let stages = [
        ("apply_customers", CDC_CUSTOMERS.name(), alone.customers.cpu_us_per_input),
        (
            "apply_accounts",
            accounts,
            alone.accounts_and_rows.cpu_us_per_input - rows_per_account * row_us,
        ),
        (
            "apply_transactions",
            transactions,
            alone.transactions_and_legs.cpu_us_per_input - legs_per_transaction * leg_us,
        ),
        ("balances_of_rows", SILVER_ACCOUNTS.name(), row_us),
        ("balances_of_legs", LEGS.name(), leg_us),
    ];
    let total: f64 = stages.iter().map(|(_, topic, us)| whole.of(topic) * us).sum();
    for (name, topic, us) in stages {
        report.add(name, "records", whole.of(topic));
        report.add(name, "cpu_us_per_record", us);
        report.add(name, "cpu_share_percent", 100.0 * whole.of(topic) * us / total);
    }
    let drains = [
        ("apply_customers", &alone.customers),
        ("balances_of_rows", &alone.rows),
        ("balances_of_legs", &alone.legs),
        ("accounts_with_rows", &alone.accounts_and_rows),
        ("transactions_with_legs", &alone.transactions_and_legs),
    ];
    for (name, drain) in drains {
        report.add(name, "inputs_per_s", drain.inputs_per_s);
        report.add(name, "cpu_us_per_input", drain.cpu_us_per_input);
    }
    let sources: f64 = super::TOPICS.iter().map(|topic| whole.of(topic)).sum();
    report.add("sum_of_stages", "cpu_us_per_source_event", total / sources);
}
