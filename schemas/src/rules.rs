//! The data rules, in one list: what a row must be, and what happens to one that is not.
//!
//! All that names a rule follows from it: `rule` in `silver.rejected`, the metric's label, `docs/data-rules.md` ([`describe`]), and the tests that each rule is reported, and that the source refuses what is said to be refused there. The checks
//! themselves are beside what they check: where a table's rows are cleaned, and where transactions meet their accounts.
//!
//! To add a rule: a name in [`Rule`], its lines in [`CHECKS`], and the tests say what else is missing.

use std::fmt::Write as _;

use crate::codes::codes;

codes!(
    /// A data rule; its text is its name in `silver.rejected`.
    Rule {
        /// There is a value.
        NotNull = "not_null",
        /// It is one of a list, or of a form.
        AcceptedValues = "accepted_values",
        /// It is an amount that can be kept exactly.
        AmountInRange = "amount_in_range",
        /// It is above zero.
        AmountPositive = "amount_positive",
        /// It has no more decimal places than its currency.
        CurrencyScale = "currency_scale",
        /// An account keeps its currency.
        CurrencyFixed = "currency_fixed",
        /// A transfer names another account, and nothing else does.
        RelatedAccount = "related_account",
        /// The account that is named is there.
        AccountExists = "account_exists",
        /// A pending transaction ends before its hold expires.
        HoldExpired = "hold_expired",
        /// It is an instant that can be kept.
        InstantInRange = "instant_in_range",
        /// A value that was left out is known from before.
        UnavailableValue = "unavailable_value",
        /// The event of a change has the row after it.
        CompleteEvent = "complete_event",
    }
);

/// What happens to a row that breaks a rule. Each is told in `silver.rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The change is not applied: the row's last good version stays in force, or there is no row.
    Refused,
    /// The row counts all the same, as the note says.
    Noted,
    /// It is kept, and counts as soon as what it misses has come.
    Waits,
}

impl Severity {
    /// As the page has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Noted => "noted",
            Self::Waits => "waits",
        }
    }
}

/// How Riverbank's own schema of the source (`connect/postgres/migrations`) keeps such a row from being written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtSource {
    /// A constraint, or a trigger that refuses in the name of one.
    Constraint(&'static str),
    /// The columns are `NOT NULL`.
    NotNull,
    /// The columns' type has no more digits.
    Digits,
    /// It does not: the row can be there.
    Nothing,
}

/// One rule on one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The rule.
    pub rule: Rule,
    /// The source's table.
    pub table: &'static str,
    /// Its columns; none: the change as a whole.
    pub columns: &'static [&'static str],
    /// What must be so.
    pub must: &'static str,
    /// What happens where it is not.
    pub severity: Severity,
    /// What the source does about it.
    pub at_source: AtSource,
}

const fn check(
    rule: Rule,
    (table, columns): (&'static str, &'static [&'static str]),
    must: &'static str,
    severity: Severity,
    at_source: AtSource,
) -> Check {
    Check {
        rule,
        table,
        columns,
        must,
        severity,
        at_source,
    }
}

use AtSource::{Constraint, Digits, NotNull, Nothing};
use Severity::{Noted, Refused, Waits};

const CUSTOMERS: &str = "customers";
const ACCOUNTS: &str = "accounts";
const TRANSACTIONS: &str = "transactions";
const CUSTOMER_TEXTS: (&str, &[&str]) = (CUSTOMERS, &["first_name", "last_name", "email"]);

/// Every rule on every table. The lines of a rule stand together.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    check(Rule::NotNull, CUSTOMER_TEXTS, "is not null", Refused, NotNull),
    check(Rule::NotNull, CUSTOMER_TEXTS, "is not empty when trimmed", Refused, Nothing),
    check(Rule::NotNull, (ACCOUNTS, &["customer_id", "account_type", "currency", "balance"]), "is not null", Refused, NotNull),
    check(Rule::NotNull, (TRANSACTIONS, &["account_id", "txn_type", "amount"]), "is not null", Refused, NotNull),

    check(Rule::AcceptedValues, (CUSTOMERS, &["email"]), "has an @", Refused, Nothing),
    check(Rule::AcceptedValues, (ACCOUNTS, &["account_type"]), "is CHECKING or SAVINGS, in upper or lower case", Refused, Constraint("accounts_type_known")),
    check(Rule::AcceptedValues, (ACCOUNTS, &["currency"]), "is a currency of ISO 4217 that has minor units, in upper or lower case", Refused, Constraint("accounts_currency_known")),
    check(Rule::AcceptedValues, (ACCOUNTS, &["status"]), "is ACTIVE or INACTIVE, in upper or lower case; ACTIVE where the source has none", Refused, Constraint("accounts_status_known")),
    check(Rule::AcceptedValues, (TRANSACTIONS, &["txn_type"]), "is DEPOSIT, WITHDRAWAL or TRANSFER, in upper or lower case", Refused, Constraint("transactions_type_known")),
    check(Rule::AcceptedValues, (TRANSACTIONS, &["status"]), "is PENDING, COMPLETED, FAILED or REVERSED, in upper or lower case; COMPLETED where the source has none", Refused, Constraint("transactions_status_known")),

    check(Rule::AmountInRange, (ACCOUNTS, &["opening_balance"]), "is a number", Refused, Constraint("accounts_balance_is_number")),
    check(Rule::AmountInRange, (ACCOUNTS, &["opening_balance"]), "has at most four decimal places, and 28 digits in all", Refused, Digits),
    check(Rule::AmountInRange, (TRANSACTIONS, &["amount"]), "is a number", Refused, Constraint("transactions_amount_is_number")),
    check(Rule::AmountInRange, (TRANSACTIONS, &["amount"]), "has at most four decimal places, and 28 digits in all", Refused, Digits),

    check(Rule::AmountPositive, (TRANSACTIONS, &["amount"]), "is above zero", Refused, Constraint("transactions_amount_positive")),

    check(Rule::CurrencyScale, (ACCOUNTS, &["opening_balance"]), "has no more decimal places than its currency", Refused, Constraint("accounts_opening_balance_scale")),
    check(Rule::CurrencyScale, (ACCOUNTS, &["balance"]), "has no more decimal places than its currency", Refused, Constraint("accounts_balance_by_ledger")),
    check(Rule::CurrencyScale, (TRANSACTIONS, &["amount"]), "has no more decimal places than its account's currency; it is booked when one of the two is corrected", Waits, Constraint("transactions_amount_scale")),

    check(Rule::CurrencyFixed, (ACCOUNTS, &["currency"]), "stays what it was; checked here where the source has no opening_balance, and so none of Riverbank's ledger", Refused, Constraint("accounts_currency_fixed")),

    check(Rule::RelatedAccount, (TRANSACTIONS, &["related_account_id"]), "is there for a TRANSFER, and for nothing else", Refused, Constraint("transactions_related_only_for_transfer")),
    check(Rule::RelatedAccount, (TRANSACTIONS, &["related_account_id"]), "is another account than account_id", Refused, Constraint("transactions_not_to_itself")),

    check(Rule::AccountExists, (TRANSACTIONS, &["account_id"]), "is an account that has come; told after a minute, booked when it comes", Waits, Constraint("transactions_account_exists")),
    check(Rule::AccountExists, (TRANSACTIONS, &["related_account_id"]), "is an account that has come; told after a minute, booked when it comes", Waits, Constraint("transactions_related_account_exists")),

    check(Rule::HoldExpired, (TRANSACTIONS, &["status"]), "is not PENDING for longer than `bank.hold_expiry` after `created_at`, for a WITHDRAWAL or TRANSFER; else it holds nothing any more", Noted, Nothing),

    check(Rule::InstantInRange, (CUSTOMERS, &["created_at", "updated_at"]), "is an instant of the years 1 to 9999; else it is the nearest one that is, or left out", Noted, Nothing),
    check(Rule::InstantInRange, (ACCOUNTS, &["created_at", "updated_at", "closed_at"]), "is an instant of the years 1 to 9999; else it is the nearest one that is, or left out", Noted, Nothing),
    check(Rule::InstantInRange, (TRANSACTIONS, &["created_at", "updated_at"]), "is an instant of the years 1 to 9999; else it is the nearest one that is, or left out", Noted, Nothing),

    check(Rule::UnavailableValue, CUSTOMER_TEXTS, "is known from an earlier version where the change log left it out as unchanged", Refused, Nothing),

    check(Rule::CompleteEvent, (CUSTOMERS, &[]), "an event of a change has the row after it", Refused, Nothing),
    check(Rule::CompleteEvent, (ACCOUNTS, &[]), "an event of a change has the row after it", Refused, Nothing),
    check(Rule::CompleteEvent, (TRANSACTIONS, &[]), "an event of a change has the row after it", Refused, Nothing),
];

const HEAD: &str = "\
# Data rules

Made from the list of rules (`schemas/src/rules.rs`) by `riverbank rules describe`.

Every row of the source is held against these before it counts. A row that breaks one is a record of `silver.rejected`, with the rule's
name, the reason and the original bytes; `riverbank_rejected_records_total` counts them by rule, and an alert fires. What to do, by rule:
[Records were set aside](runbooks/set-aside.md).

- **refused**: the change is not applied. The row's last good version stays in force; a row that never had one is not there.
- **noted**: the row counts, and the record tells what of it is not as the source has it.
- **waits**: it is kept, and counts as soon as what it misses has come. It is never lost.

The last column is what Riverbank's own schema of the source does, so that such a row cannot be written at all: the constraint that
refuses it, or its columns' type. A bank with a schema of its own may have fewer.

| rule | table | columns | what must be so | otherwise | refused at the source by |
|---|---|---|---|---|---|
";

/// The page of the rules, in Markdown.
pub fn describe() -> String {
    let mut page = HEAD.to_owned();
    for check in CHECKS {
        let columns: Vec<String> = check.columns.iter().map(|column| format!("`{column}`")).collect();
        let at_source = match check.at_source {
            Constraint(name) => format!("`{name}`"),
            NotNull => "`NOT NULL`".to_owned(),
            Digits => "`NUMERIC(20, 4)`".to_owned(),
            Nothing => String::new(),
        };
        // Memory takes it.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | {} | {} | {at_source} |",
            check.rule,
            check.table,
            columns.join(", "),
            check.must,
            check.severity.as_str(),
        );
    }
    page
}
