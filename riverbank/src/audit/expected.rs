//! What must have been emitted of a row of the source, beside what was emitted.

use std::collections::HashMap;

use api::model::instant;
use processors::silver::{Accounts, ChangePosition, Cleaning, Customers, Entity, Transactions};
use schemas::rules::Rule;
use schemas::silver::{Account, Customer, Transaction};
use schemas::topics::{SILVER_ACCOUNTS, SILVER_CUSTOMERS, SILVER_TRANSACTIONS};
use topology::Micros;

use super::books::Emitted;

/// A table, and the topic of its current rows.
pub(super) trait Table: Entity {
    /// The topic.
    const TOPIC: &'static str;
    /// Where the change was made that an emitted row shows.
    fn position(clean: &Self::Clean) -> ChangePosition;
    /// What an emitted row says. Nothing personal: it is printed where rows differ.
    fn fields(clean: &Self::Clean) -> Vec<(&'static str, String)>;
    /// What must have been emitted, where it also depends on how the row came.
    fn as_it_came(expected: Self::Clean, _emitted: &Self::Clean) -> Self::Clean {
        expected
    }
    /// The rows in force.
    fn emitted(of: &Emitted) -> &HashMap<i64, Self::Clean>;
}

impl Table for Customers {
    const TOPIC: &'static str = SILVER_CUSTOMERS.name();

    fn position(clean: &Customer) -> ChangePosition {
        at(clean.source_lsn, clean.source_ts)
    }

    fn fields(clean: &Customer) -> Vec<(&'static str, String)> {
        vec![
            ("created_at", instant(Micros(clean.created_at))),
            ("updated_at", instant(Micros(clean.updated_at))),
        ]
    }

    fn emitted(of: &Emitted) -> &HashMap<i64, Customer> {
        &of.customers
    }
}

impl Table for Accounts {
    const TOPIC: &'static str = SILVER_ACCOUNTS.name();

    fn position(clean: &Account) -> ChangePosition {
        at(clean.source_lsn, clean.source_ts)
    }

    fn fields(clean: &Account) -> Vec<(&'static str, String)> {
        vec![
            ("balance", clean.balance.to_string()),
            ("opening_balance", clean.opening_balance.to_string()),
            ("currency", clean.currency.to_string()),
            ("customer_id", clean.customer_id.to_string()),
            ("account_type", clean.account_type.to_string()),
            ("status", clean.status.to_string()),
            (
                "closed_at",
                clean.closed_at.map_or("null".to_owned(), |at| instant(Micros(at))),
            ),
            ("created_at", instant(Micros(clean.created_at))),
            ("updated_at", instant(Micros(clean.updated_at))),
        ]
    }

    fn as_it_came(expected: Account, emitted: &Account) -> Account {
        Account {
            balance_from: emitted.balance_from,
            ..expected
        }
    }

    fn emitted(of: &Emitted) -> &HashMap<i64, Account> {
        &of.accounts
    }
}

impl Table for Transactions {
    const TOPIC: &'static str = SILVER_TRANSACTIONS.name();

    fn position(clean: &Transaction) -> ChangePosition {
        at(clean.source_lsn, clean.source_ts)
    }

    fn fields(clean: &Transaction) -> Vec<(&'static str, String)> {
        vec![
            ("amount", clean.amount.to_string()),
            ("status", clean.status.to_string()),
            ("txn_type", clean.txn_type.to_string()),
            ("account_id", clean.account_id.to_string()),
            (
                "related_account_id",
                clean.related_account_id.map_or("null".to_owned(), |id| id.to_string()),
            ),
            ("created_at", instant(Micros(clean.created_at))),
            ("updated_at", instant(Micros(clean.updated_at))),
        ]
    }

    fn emitted(of: &Emitted) -> &HashMap<i64, Transaction> {
        &of.transactions
    }
}

fn at(lsn: i64, committed_at_us: i64) -> ChangePosition {
    ChangePosition {
        lsn,
        committed_at_us: Micros(committed_at_us),
    }
}

/// What a row of the source must have become, given the row in force (which an event may not say all of).
pub(super) enum Expected<T> {
    /// This.
    Row(T),
    /// It breaks this rule: the last version that did not stays in force, if there is one.
    SetAside(Rule),
}

pub(super) fn expected<E: Table>(id: i64, row: &E::Row, stored: Option<&E::Clean>) -> Expected<E::Clean> {
    let mut with = Cleaning {
        stored,
        may_omit: false,
        at: stored.map_or(at(0, 0), E::position),
        is_streamed: true,
        notes: Vec::new(),
    };
    match E::clean(E::id(id), row, &mut with) {
        Ok(clean) => Expected::Row(match stored {
            Some(stored) => E::as_it_came(clean, stored),
            None => clean,
        }),
        Err(violation) => Expected::SetAside(violation.rule),
    }
}

/// What is to be said of a row of the source (or of none) beside the row in force (or none).
pub(super) enum Verdict {
    Equal,
    SetAside(Rule),
    Differs(String),
}

pub(super) fn judge<E: Table>(id: i64, row: Option<&E::Row>, stored: Option<&E::Clean>) -> Verdict {
    let Some(row) = row else {
        return match stored {
            None => Verdict::Equal,
            Some(_) => Verdict::Differs(format!("row {id} is in {}, and the source has no such row", E::TOPIC)),
        };
    };
    match (expected::<E>(id, row, stored), stored) {
        (Expected::SetAside(rule), _) => Verdict::SetAside(rule),
        (Expected::Row(expected), Some(stored)) if expected == *stored => Verdict::Equal,
        (Expected::Row(_), None) => Verdict::Differs(format!("row {id} of the source is not in {}", E::TOPIC)),
        (Expected::Row(expected), Some(stored)) => {
            let fields = E::fields(&expected).into_iter().zip(E::fields(stored));
            let differing = fields.filter(|(one, other)| one != other);
            let mut differing: Vec<String> = differing
                .map(|((field, one), (_, other))| format!("{field} is {one} at the source and {other} in {}", E::TOPIC))
                .collect();
            if differing.is_empty() {
                differing.push("another name or e-mail address".to_owned());
            }
            Verdict::Differs(format!("row {id}: {}", differing.join(", ")))
        }
    }
}
