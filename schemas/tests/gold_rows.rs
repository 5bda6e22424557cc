//! Gold rows and their keys: what is written is read, and keys of several columns sort as they should.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::Arc;

use clock::Micros;
use schemas::gold::{AccountDay, BankDay, CustomerPosition, TransactionFact, TransactionMinute};
use schemas::silver::{TransactionStatus, TransactionType};
use schemas::state::{AccountPeriod, AccountTerms, AccountTimeline, DaySums, Opening};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};
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
    for related in [None, Some(AccountId(7))] {
        check(TransactionFact {
            transaction_id: TransactionId(1),
            account_id: AccountId(2),
            account_version: 3,
            customer_id: CustomerId(4),
            account_type: "SAVINGS".parse().unwrap(),
            currency: currency("KWD"),
            txn_type: TransactionType::Transfer,
            amount: money("0.001"),
            related_account_id: related,
            status: TransactionStatus::Reversed,
            created_at: -5,
            updated_at: 6,
            source_lsn: 7,
            source_ts: 8,
        });
    }
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
    check(Opening {
        at: 1_700_000_000_000_000,
        entries: 7,
        balance: money("-1.234"),
        currency: currency("KWD"),
        created_at: Opening::UNKNOWN,
        is_deleted: false,
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
fn an_account_s_timeline_round_trips_and_knows_what_was_in_force() {
    let period = |version: i64, valid_from| AccountPeriod {
        version,
        valid_from: Micros(valid_from),
        customer_id: CustomerId(version),
        account_type: "SAVINGS".parse().unwrap(),
        currency: currency("EUR"),
    };
    check(AccountTimeline::default());
    let timeline = AccountTimeline {
        versions: vec![period(1, 10), period(2, 20), period(3, 21)],
    };
    check(timeline.clone());
    let in_force = |at| timeline.in_force(at).map(|period| period.version);
    let found = [i64::MIN, 9, 10, 19, 20, 21, i64::MAX].map(|at| in_force(at).unwrap());
    assert_eq!(found, [1, 1, 1, 1, 2, 3, 3]);
    assert_eq!(AccountTimeline::default().in_force(0), None);
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
