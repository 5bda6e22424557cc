//! Rows that add up others: positions of customers, accounts and the bank by day, transactions by minute.

use schemas::silver::{AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, gold};
use serde::{Deserialize, Serialize};
use topology::Micros;
use utoipa::ToSchema;

use super::{AccountTypeCode, TransactionStatusCode, TransactionTypeCode, day, instant, money};
use crate::problem::Problem;
use crate::routes::Group;

/// Rows that are all that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct All<T> {
    /// The rows, in order.
    pub items: Vec<T>,
}

/// Rows in order, of which there may be more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Items<T> {
    /// The rows, in order. There may be fewer than asked for, or even none, while there are more.
    pub items: Vec<T>,
    /// To be sent as `after` for those that come next; null where there are none.
    #[schema(required)]
    pub next: Option<String>,
}

/// What a customer has in one currency, over all accounts. Nothing is added across currencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerPosition {
    /// The customer.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// The currency of the amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Sum of the accounts' booked balances.
    #[schema(example = "112.30")]
    pub booked: String,
    /// Sum of the accounts' available balances: booked less holds.
    #[schema(example = "102.30")]
    pub available: String,
    /// How many accounts there are, closed ones included.
    #[schema(example = 2)]
    pub accounts: i64,
    /// How many of them are open.
    #[schema(example = 1)]
    pub open_accounts: i64,
}

/// An account on a day on which something was posted to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountDay {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// The day (UTC), by the transactions' own time, `created_at`.
    #[schema(format = Date, example = "2026-01-31")]
    pub day: String,
    /// Whose the account is now.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// Its kind now.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// The currency of the amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What it had when the day began.
    #[schema(example = "100.00")]
    pub opening: String,
    /// Sum of what came in.
    #[schema(example = "17.30")]
    pub credits: String,
    /// Sum of what went out; not below zero.
    #[schema(example = "5.00")]
    pub debits: String,
    /// How many postings stand on the day.
    #[schema(example = 3)]
    pub entries: i64,
    /// Opening plus credits less debits.
    #[schema(example = "112.30")]
    pub closing: String,
}

/// The bank on a day, by type of account and currency. Accounts count by the type and currency that they have now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BankDay {
    /// The day (UTC).
    #[schema(format = Date, example = "2026-01-31")]
    pub day: String,
    /// The accounts' type.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// The currency of the amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What came in less what went out, by the transactions' own time.
    #[schema(example = "12.30")]
    pub net_flow: String,
    /// What the accounts opened with that were made on the day.
    #[schema(example = "100.00")]
    pub opened_with: String,
    /// What all accounts held at the day's end: what they opened with and what came in less what went out, up to then.
    #[schema(example = "112.30")]
    pub deposits_held: String,
    /// Accounts made on the day.
    #[schema(example = 1)]
    pub new_accounts: i64,
    /// Accounts closed on the day.
    #[schema(example = 0)]
    pub closed_accounts: i64,
    /// Accounts to which something was posted.
    #[schema(example = 2)]
    pub active_accounts: i64,
    /// Customers to whose accounts of this type and currency something was posted.
    #[schema(example = 2)]
    pub active_customers: i64,
}

/// The transactions of a minute, by type, status and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionMinute {
    /// When the minute begins, by the transactions' own time, `created_at`.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00Z")]
    pub minute: String,
    /// Their kind.
    #[schema(value_type = TransactionTypeCode)]
    pub txn_type: TransactionType,
    /// How far they are now.
    #[schema(value_type = TransactionStatusCode)]
    pub status: TransactionStatus,
    /// The currency of the amount.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// How many they are.
    #[schema(example = 3)]
    pub transactions: i64,
    /// Sum of their amounts.
    #[schema(example = "22.30")]
    pub amount: String,
    /// How many of them failed.
    #[schema(example = 0)]
    pub failures: i64,
}

impl From<&gold::AccountDay> for AccountDay {
    fn from(row: &gold::AccountDay) -> Self {
        let amount = |amount| money(amount, row.currency);
        Self {
            account_id: row.account_id,
            day: day(row.day),
            customer_id: row.customer_id,
            account_type: row.account_type,
            currency: row.currency,
            opening: amount(row.opening),
            credits: amount(row.credits),
            debits: amount(row.debits),
            entries: row.entries,
            closing: amount(row.closing),
        }
    }
}

impl Group for CustomerPosition {
    type Stored = gold::CustomerPosition;

    fn of(row: &gold::CustomerPosition) -> Self {
        Self {
            customer_id: row.customer_id,
            currency: row.currency,
            booked: money(row.booked, row.currency),
            available: money(row.available, row.currency),
            accounts: row.accounts,
            open_accounts: row.open_accounts,
        }
    }

    fn place(&self) -> String {
        self.currency.to_string()
    }
}

impl Group for BankDay {
    /// The row, and what the days up to it that are here add to what is held.
    type Stored = (gold::BankDay, Money);

    fn of((row, held): &(gold::BankDay, Money)) -> Self {
        Self {
            day: day(row.day),
            account_type: row.account_type,
            currency: row.currency,
            net_flow: money(row.net_flow, row.currency),
            opened_with: money(row.opened_with, row.currency),
            deposits_held: money(*held, row.currency),
            new_accounts: row.new_accounts,
            closed_accounts: row.closed_accounts,
            active_accounts: row.active_accounts,
            active_customers: row.active_customers,
        }
    }

    fn place(&self) -> String {
        format!("{},{}", self.account_type, self.currency)
    }

    /// Days are in several partitions: one instance has the day itself, and others have days before it.
    fn joined(self, other: Self) -> Result<Self, Problem> {
        let sum = |one: &str, other: &str| {
            let sum = one.parse::<Money>().and_then(|one| one.checked_add(other.parse()?));
            let sum = sum.map_err(|error| Problem::internal(&format!("{one} and {other}: {error}")))?;
            Ok::<_, Problem>(money(sum, self.currency))
        };
        Ok(Self {
            net_flow: sum(&self.net_flow, &other.net_flow)?,
            opened_with: sum(&self.opened_with, &other.opened_with)?,
            deposits_held: sum(&self.deposits_held, &other.deposits_held)?,
            new_accounts: self.new_accounts + other.new_accounts,
            closed_accounts: self.closed_accounts + other.closed_accounts,
            active_accounts: self.active_accounts + other.active_accounts,
            active_customers: self.active_customers + other.active_customers,
            ..self
        })
    }
}

impl Group for TransactionMinute {
    type Stored = gold::TransactionMinute;

    fn of(row: &gold::TransactionMinute) -> Self {
        Self {
            minute: instant(Micros(row.minute)),
            txn_type: row.txn_type,
            status: row.status,
            currency: row.currency,
            transactions: row.transactions,
            amount: money(row.amount, row.currency),
            failures: row.failures,
        }
    }

    fn place(&self) -> String {
        format!("{},{},{},{}", self.minute, self.txn_type, self.status, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an instance has: the day itself, or only days before it.
    fn share(currency: &str, flow: Option<&str>, held: &str) -> BankDay {
        let money = |text: &str| text.parse::<Money>().unwrap();
        let key = (20_513, AccountType::Savings, currency.parse().unwrap());
        let row = gold::BankDay {
            net_flow: money(flow.unwrap_or("0")),
            new_accounts: i64::from(flow.is_some()),
            ..gold::BankDay::empty(key)
        };
        BankDay::of(&(row, money(held)))
    }

    #[test]
    fn what_is_held_adds_up_over_instances() {
        let check = |currency: &str, [flow, one, other, sum]: [&str; 4]| {
            for (first, second) in [(Some(flow), None), (None, Some(flow))] {
                let joined = share(currency, first, one).joined(share(currency, second, other)).unwrap();
                assert_eq!(joined, share(currency, Some(flow), sum));
            }
        };
        check("EUR", ["-0.05", "100.00", "-0.01", "99.99"]);
        check("JPY", ["7", "0", "700", "700"]);
        let most = "999999999999999999999999.9999";
        assert!(
            share("EUR", None, most).joined(share("EUR", None, "0.01")).is_err(),
            "no sum is cut off"
        );
    }
}
