//! Gold rows and their keys: what is written is read, and keys of several columns sort as they should.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::Arc;

use schemas::gold::{AccountDay, BankDay, CustomerPosition, TransactionMinute};
use schemas::silver::{TransactionStatus, TransactionType};
use schemas::state::{AccountTerms, DaySums};
use schemas::{AccountId, Currency, CustomerId, Money};
use wire::{Codec, MemoryRegistry, OrderedKey, Wire};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn currency(text: &str) -> Currency {
    text.parse().unwrap()
}

fn check<T: Wire + PartialEq + Debug>(value: T) {
    let codec = Codec::register::<T>(Arc::new(MemoryRegistry::default()), "subject-value").unwrap();
    let mut bytes = Vec::new();
    value.encode(&codec, &mut bytes).unwrap();
    assert_eq!(T::decode(&bytes, &codec).unwrap(), value);
    assert!((0..bytes.len()).all(|cut| T::decode(&bytes[..cut], &codec).is_err()));
}

/// Keys, smallest first: each is read as it was written, to a topic and to a store, and the store has them in this order.
fn check_keys<K: Wire + OrderedKey + PartialEq + Debug>(keys: &[K]) {
    let codec = Codec::plain();
    let mut before = Vec::new();
    for key in keys {
        let (mut topic, mut store) = (Vec::new(), Vec::new());
        key.encode(&codec, &mut topic).unwrap();
        assert_eq!(K::decode(&topic, &codec).unwrap(), *key);
        assert!((0..topic.len()).all(|cut| K::decode(&topic[..cut], &codec).is_err()));
        key.encode_ordered(&mut store);
        assert_eq!(K::decode_ordered(&mut &store[..]).unwrap(), *key);
        assert!(before < store, "{key:?} comes later");
        before = store;
    }
}

#[test]
fn rows_round_trip() {
    check(CustomerPosition {
        customer_id: CustomerId(1),
        currency: currency("EUR"),
        booked: money("-1.5"),
        available: money("0.0001"),
        accounts: 3,
        open_accounts: 2,
    });
    check(TransactionMinute {
        minute: 1_700_000_040_000_000,
        txn_type: TransactionType::Transfer,
        status: TransactionStatus::Failed,
        currency: currency("JPY"),
        transactions: 2,
        amount: money("700"),
        failures: 2,
    });
    check(currency("EUR"));
    check(AccountDay {
        account_id: AccountId(1),
        day: -719_162,
        customer_id: CustomerId(1),
        account_type: "CHECKING".parse().unwrap(),
        currency: currency("EUR"),
        opening: money("1"),
        credits: money("2.5"),
        debits: money("0.25"),
        entries: 3,
        closing: money("3.25"),
    });
    check(BankDay {
        net_flow: money("-1.5"),
        opened_with: money("10"),
        new_accounts: 1,
        closed_accounts: 2,
        active_accounts: 3,
        active_customers: 4,
        ..BankDay::empty((19_675, "SAVINGS".parse().unwrap(), currency("USD")))
    });
    check(DaySums {
        brought: money("-7"),
        credits: money("1"),
        debits: Money::ZERO,
        entries: 1,
    });
    for closed_at in [None, Some(-7)] {
        check(AccountTerms {
            customer_id: CustomerId(1),
            account_type: "SAVINGS".parse().unwrap(),
            currency: currency("KWD"),
            opening_balance: money("1.234"),
            status: "INACTIVE".parse().unwrap(),
            closed_at,
            created_at: 1_700_000_000_000_000,
        });
    }
}

#[test]
fn keys_of_several_columns_round_trip_in_their_order() {
    check_keys(&[
        (CustomerId(-1), currency("USD")),
        (CustomerId(1), currency("EUR")),
        (CustomerId(1), currency("KWD")),
        (CustomerId(2), currency("EUR")),
    ]);
    check_keys(&[
        (AccountId(1), -1),
        (AccountId(1), 0),
        (AccountId(1), 19_675),
        (AccountId(2), -1),
    ]);
    // By their texts, not by the order in which they are declared.
    let minute = |minute: i64, status| (minute, TransactionType::Deposit, status, currency("EUR"));
    check_keys(&[
        minute(-60_000_000, TransactionStatus::Reversed),
        minute(0, TransactionStatus::Completed),
        minute(0, TransactionStatus::Failed),
        minute(0, TransactionStatus::Pending),
        minute(60_000_000, TransactionStatus::Completed),
    ]);
    let codec = Codec::plain();
    let mut bytes = Vec::new();
    (CustomerId(258), currency("EUR")).encode(&codec, &mut bytes).unwrap();
    assert_eq!(bytes, *b"\0\0\0\0\0\0\x01\x02EUR\0\0");
    let lower_case = b"\0\0\0\0\0\0\x01\x02eur\0\0";
    assert!(<(CustomerId, Currency)>::decode(lower_case, &codec).is_err());
}
