//! Every contract: the type and its schema fit each other, and the schema reads what was written before.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::Arc;

use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Source, TransactionBlock, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::*;
use schemas::{AccountId, CustomerId, Money, TransactionId};
use wire::{Codec, MemoryRegistry, Registry, Wire};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// Writes and reads a value by its own schema.
fn check<T: Wire + PartialEq + Debug>(value: T) {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let codec = Codec::register::<T>(registry.clone(), "subject-value").unwrap();
    let mut bytes = Vec::new();
    value.encode(&codec, &mut bytes).unwrap();
    assert_eq!(T::decode(&bytes, &codec).unwrap(), value);
    assert_eq!(
        T::decode(&bytes, &Codec::reader(registry)).unwrap(),
        value,
        "a reader finds the schema by its id"
    );
    for cut in 0..bytes.len() {
        assert!(
            T::decode(&bytes[..cut], &codec).is_err(),
            "{cut} of {} bytes are not a value",
            bytes.len()
        );
    }
    bytes.push(0);
    assert!(T::decode(&bytes, &codec).is_err(), "nothing may be left over");
}

fn envelope<R>(before: Option<R>, after: Option<R>, op: Op) -> Envelope<R> {
    Envelope {
        before,
        after,
        source: Source {
            lsn: Some(42),
            tx_id: Some(7),
            ts_ms: 1_700_000_000_000,
            ts_us: Some(1_700_000_000_000_001),
            ..Source::default()
        },
        transaction: Some(TransactionBlock {
            id: "7:42".into(),
            total_order: 1,
            data_collection_order: 1,
        }),
        op,
        ts_ms: Some(1_700_000_000_005),
        ts_us: None,
        ts_ns: None,
    }
}

#[test]
fn bronze_round_trips() {
    check(CdcKey { id: 1 });
    let customer = CustomerRow {
        id: 1,
        first_name: Some(" Ada ".into()),
        email: Some("A@b.c".into()),
        created_at: Some(1_700_000_000_000_001),
        ..CustomerRow::default()
    };
    check(envelope(None, Some(customer.clone()), Op::Create));
    check(envelope(Some(customer), None, Op::Delete));
    let account = AccountRow {
        id: 1,
        customer_id: Some(2),
        balance: Some(money("-12.30")),
        opening_balance: Some(money("0.00")),
        ..AccountRow::default()
    };
    check(envelope(Some(account.clone()), Some(account), Op::Update));
    let transaction = TransactionRow {
        id: 9,
        amount: Some(money("9999999999999999.99")),
        related_account_id: Some(3),
        ..TransactionRow::default()
    };
    check(envelope(None, Some(transaction), Op::Read));
}

#[test]
fn silver_and_gold_round_trip() {
    let (currency, lsn, at) = ("EUR".parse().unwrap(), 42, 1_700_000_000_000_000);
    check(Customer {
        id: CustomerId(1),
        first_name: "Ada".into(),
        last_name: "Lovelace".into(),
        email: "ada@example.org".into(),
        created_at: at,
        updated_at: at,
        source_lsn: lsn,
        source_ts: at,
    });
    check(Account {
        id: AccountId(1),
        customer_id: CustomerId(1),
        account_type: AccountType::Savings,
        currency,
        opening_balance: money("10"),
        balance: money("-0.01"),
        status: AccountStatus::Inactive,
        closed_at: Some(at),
        created_at: at,
        updated_at: at,
        source_lsn: lsn,
        source_ts: at,
    });
    for status in TransactionStatus::ALL {
        check(Transaction {
            id: TransactionId(1),
            account_id: AccountId(1),
            txn_type: TransactionType::Transfer,
            amount: money("0.01"),
            related_account_id: Some(AccountId(2)),
            status: *status,
            created_at: at,
            updated_at: at,
            source_lsn: lsn,
            source_ts: at,
        });
    }
    check(Leg {
        transaction_id: TransactionId(1),
        posted_lsn: lsn,
        number: 1,
        reversal: true,
        booked: money("-5"),
        pending: Money::ZERO,
        txn_type: TransactionType::Deposit,
        source_lsn: lsn,
        source_ts: at,
    });
    check(Posting {
        posting_id: "1:42:0".into(),
        transaction_id: TransactionId(1),
        account_id: AccountId(-1),
        is_cash: true,
        currency,
        amount: money("-5"),
        reverses: Some("1:41:0".into()),
        booked_at: at,
        source_lsn: lsn,
    });
    check(Rejected {
        topic: "t".into(),
        partition: 3,
        offset: 4,
        key: None,
        value: Some(vec![0, 255, 7]),
        rule: "not_null".into(),
        reason: "x".into(),
        rejected_at: at,
    });
    check(AccountBalance {
        account_id: AccountId(1),
        customer_id: CustomerId(1),
        currency,
        opening: money("10"),
        booked: money("99999999999999999999999999.99"),
        pending: money("0.5"),
        available: money("-0.5"),
        entry_count: 3,
        last_entry_at: None,
        is_deleted: false,
        source_lsn: lsn,
        source_ts: at,
    });
}

#[test]
fn money_is_exact() {
    for (text, shown) in [
        ("12.3", "12.30"),
        ("-0.01", "-0.01"),
        ("0", "0.00"),
        ("5.000", "5.00"),
        ("9999999999999999.99", "9999999999999999.99"),
    ] {
        assert_eq!(money(text).to_string(), shown);
    }
    for wrong in [
        "",
        "-",
        ".",
        "1.",
        ".5",
        "1e3",
        "1,5",
        "0.001",
        " 1",
        "+1",
        "1.-1",
        "99999999999999999999999999999999999999999999",
    ] {
        assert!(wrong.parse::<Money>().is_err(), "{wrong:?}");
    }
    let most = money("99999999999999999999999999.99");
    assert!(
        most.checked_add(money("0.01")).is_err(),
        "an overflow is an error, not a wrap"
    );
}
