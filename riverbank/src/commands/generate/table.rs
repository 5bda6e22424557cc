//! The simulated bank's settings by name, in the same kind of table as the program's.

use crate::config::{Setting, Table};

/// Every setting, in the order of `config.yaml`.
pub const TABLE: Table = Table {
    environment: false,
    settings: &[
        Setting::optional(
            "seed",
            "the same seed makes the same operations; without it one is drawn and printed",
        ),
        Setting::new(
            "into",
            "postgres",
            "postgres://user:password@host/database, postgres for the setting postgres.url, or topics",
        ),
        Setting::new(
            "rate",
            "100",
            "operations a second, all connections together; 0 is as fast as possible",
        ),
        Setting::optional(
            "count",
            "end after this many operations, those of the initial customers and accounts not counted",
        ),
        Setting::optional("for", "end after this time, such as 30s or 5m"),
        Setting::new("connections", "4", "connections that write at the same time, 1 to 64"),
        Setting::new(
            "operations_per_commit",
            "4",
            "the most operations of one commit, 1 to 1000, and a quarter of the rate; each commit draws its number",
        ),
        Setting::new("customers", "100", "customers that the bank starts with, 1 to 1000000"),
        Setting::new(
            "accounts_per_customer",
            "2",
            "accounts that each of them starts with, 1 to 10: the main account, a checking account, and others",
        ),
        Setting::new(
            "savings",
            "80%",
            "share of savings accounts among the others; the rest are checking accounts",
        ),
        Setting::new(
            "currencies",
            "EUR,USD,GBP",
            "currencies of the customers, over half of whom have the first one",
        ),
        Setting::new("opening_balance.min", "0.00", "the least an account opens with"),
        Setting::new("opening_balance.max", "5000.00", "the most an account opens with"),
        Setting::new(
            "activity",
            "1.0",
            "how activity is spread over main accounts: the exponent of Zipf's law, 0 to 3; 0 is evenly",
        ),
        Setting::new("amount.min", "1.00", "the least that a payment moves"),
        Setting::new(
            "amount.max",
            "5000.00",
            "the most that a payment moves; salaries, standing orders and closings excepted",
        ),
        Setting::new("card.median", "24.00", "half of the card payments are below it"),
        Setting::new(
            "card.spread",
            "1.0",
            "the standard deviation of the logarithm of card payments, 0 to 3; 0 is always the median",
        ),
        Setting::new(
            "cash.share",
            "25%",
            "share of withdrawals that are from cash machines, in round figures; the rest are card payments",
        ),
        Setting::new(
            "cash.median",
            "80.00",
            "half of the withdrawals from cash machines are below it",
        ),
        Setting::new("cash.spread", "0.6", "as card.spread, of cash"),
        Setting::new(
            "deposit.median",
            "90.00",
            "half of the deposits are below it, salaries not counted",
        ),
        Setting::new("deposit.spread", "1.2", "as card.spread, of deposits"),
        Setting::new(
            "transfer.median",
            "75.00",
            "half of the transfers are below it, standing orders not counted",
        ),
        Setting::new("transfer.spread", "1.1", "as card.spread, of transfers"),
        Setting::new("transfer.own", "15%", "share of transfers between a customer's own accounts"),
        Setting::new(
            "pending",
            "20%",
            "share of the transactions that begin as PENDING and are settled later",
        ),
        Setting::new("failed", "10%", "share of the pending ones that end as FAILED"),
        Setting::new(
            "day",
            "24h",
            "how long one day of the bank takes at the rate, such as 24h or 60s; with rate 0, at a hundred operations a second",
        ),
        Setting::optional(
            "start",
            "when the bank's days begin, such as 2026-01-20 or 2026-01-20T08:00:00Z; without it now, which is printed",
        ),
        Setting::new(
            "daily_pattern",
            "false",
            "whether days are busier than nights, true or false; the rate is then that of a whole day",
        ),
        Setting::new("salary.share", "85%", "share of customers who get a salary each month"),
        Setting::new(
            "salary.day",
            "25",
            "the day of the month on which it comes, 1 to 25; some employers pay up to three days later",
        ),
        Setting::new("salary.median", "2600.00", "half of the salaries are below it"),
        Setting::new("salary.spread", "0.4", "as card.spread, of salaries"),
        Setting::new(
            "standing_orders.rent",
            "60%",
            "share of customers with a salary who pay rent each month: the same amount on the same day",
        ),
        Setting::new(
            "standing_orders.savings",
            "40%",
            "share of customers with a salary who save each month: the same amount on the same day",
        ),
        Setting::new("mix.deposit", "230", "weight of deposits"),
        Setting::new("mix.withdrawal", "420", "weight of withdrawals: card payments and cash"),
        Setting::new("mix.transfer", "160", "weight of transfers within a currency"),
        Setting::new("mix.settle", "110", "weight of settling a pending transaction"),
        Setting::new("mix.reverse", "12", "weight of reversing a completed transaction"),
        Setting::new("mix.correct", "12", "weight of correcting a transaction's amount"),
        Setting::new("mix.remove", "8", "weight of deleting a transaction's row"),
        Setting::new(
            "mix.overdraw",
            "5",
            "weight of attempts to take more than there is, which the bank refuses",
        ),
        Setting::new(
            "mix.customer_change",
            "12",
            "weight of customers who change e-mail address or name",
        ),
        Setting::new("mix.customer_add", "6", "weight of new customers"),
        Setting::new("mix.customer_remove", "3", "weight of customers without an account who leave"),
        Setting::new("mix.account_open", "9", "weight of new accounts"),
        Setting::new(
            "mix.account_change",
            "3",
            "weight of accounts that change their type, main accounts excepted",
        ),
        Setting::new(
            "mix.account_block",
            "4",
            "weight of accounts that are blocked (INACTIVE), or open again after that",
        ),
        Setting::new("mix.account_close", "2", "weight of accounts that are emptied and closed"),
        Setting::new(
            "mix.account_remove",
            "4",
            "weight of accounts that are deleted, with their few transactions",
        ),
    ],
};
