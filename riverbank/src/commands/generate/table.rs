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
            "the most operations of one commit, 1 to 100; each commit draws its number",
        ),
        Setting::new("customers", "100", "customers that the bank starts with, 1 to 1000000"),
        Setting::new(
            "accounts_per_customer",
            "2",
            "accounts that each of them starts with, 1 to 10",
        ),
        Setting::new(
            "currencies",
            "EUR,USD,GBP",
            "currencies of the accounts, the first half of them being in the first one",
        ),
        Setting::new("savings", "30%", "share of savings accounts; the rest are checking accounts"),
        Setting::new("opening_balance.min", "0.00", "the least an account opens with"),
        Setting::new("opening_balance.max", "5000.00", "the most an account opens with"),
        Setting::new("amount.min", "1.00", "the least a transaction moves"),
        Setting::new(
            "amount.max",
            "2500.00",
            "the most a transaction moves; small ones are more frequent",
        ),
        Setting::new(
            "pending",
            "20%",
            "share of the transactions that begin as PENDING and are settled later",
        ),
        Setting::new("failed", "10%", "share of the pending ones that end as FAILED"),
        Setting::new("mix.deposit", "270", "weight of deposits"),
        Setting::new("mix.withdrawal", "250", "weight of withdrawals"),
        Setting::new("mix.transfer", "300", "weight of transfers within a currency"),
        Setting::new("mix.settle", "100", "weight of settling a pending transaction"),
        Setting::new("mix.reverse", "15", "weight of reversing a completed transaction"),
        Setting::new("mix.correct", "15", "weight of correcting a transaction's amount"),
        Setting::new("mix.remove", "10", "weight of deleting a transaction's row"),
        Setting::new(
            "mix.overdraw",
            "5",
            "weight of attempts to take more than there is, which the bank refuses",
        ),
        Setting::new(
            "mix.customer_change",
            "15",
            "weight of customers who change e-mail address or name",
        ),
        Setting::new("mix.customer_add", "8", "weight of new customers"),
        Setting::new("mix.customer_remove", "2", "weight of customers without an account who leave"),
        Setting::new("mix.account_open", "8", "weight of new accounts"),
        Setting::new("mix.account_close", "2", "weight of accounts that are emptied and closed"),
    ],
};
