//! Every contract: the type and its schema fit each other, and the schema reads what was written before.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::Arc;

use clock::Micros;
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Source, TransactionBlock, TransactionRow};
use schemas::gold::{AccountBalance, AccountVersion, CustomerVersion, Reconciliation, Validity, Versioned};
use schemas::silver::*;
use schemas::state::{Applied, Held, Hold, SourceBalance, SourcePosition, Sweep, TableState, Weighing};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};
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
fn what_is_kept_beside_the_rows_round_trips() {
    let at = 1_700_000_000_000_000;
    for other in [None, Some(at)] {
        check(Hold {
            amount: money("30.0001"),
            placed_at: at,
            released_at: other,
            source_lsn: 42,
        });
    }
    check(SourceBalance {
        balance: money("-0.01"),
        source_ts: at,
    });
    check(Reconciliation {
        account_id: AccountId(1),
        currency: "JPY".parse().unwrap(),
        streamed: money("100"),
        source: money("101"),
        difference: money("-1"),
        is_complete: false,
        source_lsn: 42,
        source_ts: at,
    });
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
        balance_from: BalanceFrom::Ledger,
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
    let leg = Leg {
        transaction_id: TransactionId(1),
        version: 3,
        number: 1,
        reversal: true,
        booked: money("-5"),
        pending: Money::ZERO,
        txn_type: TransactionType::Deposit,
        source_lsn: lsn,
        source_ts: at,
        effective_at: Some(at),
        then: None,
        commit_number: Some(8_213),
    };
    check(leg.clone());
    check(ForAccounts::Leg(leg.clone()));
    let frontier = Frontier {
        commit_number: 8_212,
        source_lsn: lsn,
        source_ts: at,
        is_assumed: true,
        is_partial: true,
        open: None,
    };
    check(ForAccounts::Frontier(frontier));
    check(Frontier {
        open: Some(OpenTransaction {
            commit_number: 8_213,
            tx_id: Some(7),
            source_lsn: lsn,
            source_ts: at,
        }),
        ..frontier
    });
    check(Leg {
        then: Some(LegEntry {
            version: 4,
            number: 0,
            reversal: false,
            booked: money("7.1234"),
            pending: money("1"),
            txn_type: TransactionType::Transfer,
            effective_at: None,
        }),
        ..leg
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
        effective_at: Some(at - 1),
        source_lsn: lsn,
        entry_number: Some(3),
        balance_after: Some(money("95.5")),
        recorded_at: Some(at),
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
    let version = CustomerVersion {
        customer_id: CustomerId(1),
        version: 2,
        first_name: "Ada".into(),
        last_name: "Łoś".into(),
        email: "a@b.c".into(),
        valid_from: Micros(1_700_000_000_000_001),
        valid_to: Some(Micros(1_700_000_000_000_002)),
        is_current: false,
        is_deleted: true,
        source_lsn: 42,
        source_tx_id: Some(7),
    };
    let open = Validity {
        valid_to: None,
        source_tx_id: None,
        ..version.validity()
    };
    check(version.clone().with_validity(open));
    check(version);
    check(AccountVersion {
        account_id: AccountId(3),
        version: 1,
        customer_id: CustomerId(1),
        account_type: AccountType::Savings,
        currency: "JPY".parse().unwrap(),
        status: AccountStatus::Inactive,
        valid_from: Micros(-1),
        valid_to: None,
        is_current: true,
        is_deleted: false,
        source_lsn: 0,
        source_tx_id: None,
    });
    check(AccountBalance {
        account_id: AccountId(1),
        customer_id: CustomerId(1),
        currency,
        opening: money("10"),
        booked: money("999999999999999999999999.9999"),
        pending: money("0.5"),
        available: money("-0.5"),
        entry_count: 3,
        last_entry_at: None,
        is_deleted: false,
        source_lsn: lsn,
        source_ts: at,
        commit_number: Some(8_213),
    });
}

#[test]
fn state_round_trips() {
    let at = |lsn| SourcePosition {
        lsn,
        committed_at: Micros(1_700_000_000_000_001),
    };
    check(Applied::<Customer>::default());
    check(Applied::<Account> {
        version: 7,
        generation: 2,
        streamed: Some(at(Some(42))),
        snapshot: Some(at(None)),
        row: None,
    });
    check(Applied::<Transaction>::default());
    check(TableState::default());
    check(TableState {
        generation: 3,
        snapshot: Some(at(Some(1))),
        completed: Some(at(Some(2))),
        truncated: Some(at(None)),
        sweep: Some(Sweep {
            after: Some(-4),
            generation: 3,
            at: at(Some(5)),
            tx_id: Some(6),
        }),
        has_gap: true,
        weighing: Some(Weighing {
            after: None,
            generation: 3,
            at: at(Some(6)),
            has_gap: true,
            rows: 9,
            missing: 5,
            missing_again: 4,
        }),
        held: Some(Held {
            at: at(None),
            rows: 7,
            generation: 2,
        }),
    });
}

/// Writes by a schema that is no longer the type's, with another library.
fn written(schema: &str, registry: &Arc<dyn Registry>, value: serde_json::Value) -> Vec<u8> {
    let id = registry.register("old-value", schema).unwrap();
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let value = with_bytes(apache_avro::types::Value::try_from(value).unwrap())
        .resolve(&schema)
        .unwrap();
    #[allow(deprecated, reason = "one call says all there is to say")]
    let datum = apache_avro::to_avro_datum(&schema, value).unwrap();
    [&[0], &id.to_be_bytes()[..], &datum].concat()
}

/// JSON has no bytes: lists of numbers stand for them.
fn with_bytes(value: apache_avro::types::Value) -> apache_avro::types::Value {
    use apache_avro::types::Value;
    match value {
        Value::Array(digits) => Value::Bytes(
            digits
                .into_iter()
                .map(|digit| match digit {
                    Value::Int(byte) => byte as u8,
                    other => panic!("{other:?} is no byte"),
                })
                .collect(),
        ),
        Value::Map(fields) => Value::Map(fields.into_iter().map(|(name, value)| (name, with_bytes(value))).collect()),
        other => other,
    }
}

/// What was written with two decimal places is read as what it was.
#[test]
fn a_leg_of_an_earlier_version_is_read() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let old = include_str!("../avro/history/silver/leg/1.avsc");
    let mut value = serde_json::json!({
        "transaction_id": 1, "posted_lsn": 42, "number": 0, "reversal": false, "booked": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 210], "pending": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "txn_type": "DEPOSIT", "source_lsn": 42, "source_ts": 7,
    });
    let bytes = written(old, &registry, value.take());
    let leg = Leg::decode(&bytes, &Codec::reader(registry)).unwrap();
    assert_eq!(
        (leg.version, leg.booked, leg.then, leg.effective_at),
        (42, money("12.34"), None, None)
    );
}

/// Before sweeps could be held back.
#[test]
fn a_tables_state_of_an_earlier_version_is_read() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let old = include_str!("../avro/history/state/table/1.avsc");
    let bytes = written(
        old,
        &registry,
        serde_json::json!({"generation": 4, "snapshot": {"lsn": 7, "committed_at": 8}}),
    );
    let expected = TableState {
        generation: 4,
        snapshot: Some(SourcePosition {
            lsn: Some(7),
            committed_at: Micros(8),
        }),
        ..TableState::default()
    };
    assert_eq!(TableState::decode(&bytes, &Codec::reader(registry)).unwrap(), expected);
}

/// A `NUMERIC` without precision: each value has its own scale.
#[test]
fn an_amount_with_a_scale_of_its_own_is_read() {
    let decimal = r#"{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[
        {"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}"#;
    let schema = format!(
        r#"{{"type":"record","name":"Row","fields":[{{"name":"id","type":"long"}},{{"name":"amount","type":["null",{decimal}]}}]}}"#
    );
    #[derive(Debug, serde::Deserialize)]
    struct Narrow {
        amount: Option<Money>,
    }
    for (scale, digits, shown) in [
        (3, vec![0x04, 0xd2], Some("1.234")),
        (0, vec![0x04, 0xd2], Some("1234.00")),
        (-2, vec![5], Some("500.00")),
        (6, vec![0x12, 0xd6, 0x44], Some("1.2345")),
        (2, vec![0xff], Some("-0.01")),
        (5, vec![0x04, 0xd2], None),
        (-60, vec![5], None),
    ] {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        let value = serde_json::json!({"id": 1, "amount": {"scale": scale, "value": digits}});
        let bytes = written(&schema, &registry, value);
        let read = wire::decode_avro::<Narrow>(&bytes, &Codec::reader(registry));
        let amount = read.ok().and_then(|row| row.amount).map(|amount| amount.to_string());
        assert_eq!(amount.as_deref(), shown, "scale {scale}, digits {digits:?}");
    }
}

/// A key is the id, as a plain number; one that a converter for Avro wrote is read, too.
#[test]
fn keys_are_plain_numbers_and_avro_is_read() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let codec = Codec::reader(registry.clone());
    let mut bytes = Vec::new();
    CdcKey { id: 258 }.encode(&codec, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2]);
    let schema = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}"#;
    for id in [1, -1, 300, 70_000_000] {
        let avro = written(schema, &registry, serde_json::json!({ "id": id }));
        assert_eq!(CdcKey::decode(&avro, &codec).unwrap(), CdcKey { id });
    }
}

/// No date makes a row unreadable.
#[test]
fn dates_that_cannot_be_kept_are_read_as_the_nearest() {
    use schemas::time::{INSTANT_MAX, INSTANT_MIN, NO_INSTANT, is_kept};
    let text = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"created_at","type":"string"}]}"#;
    let number = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"created_at","type":"long"}]}"#;
    let read = |schema: &str, created_at: serde_json::Value| {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        let bytes = written(schema, &registry, serde_json::json!({"id": 1, "created_at": created_at}));
        let row: TransactionRow = wire::decode_avro(&bytes, &Codec::reader(registry)).unwrap();
        row.created_at.unwrap()
    };
    for (written, expected) in [
        ("infinity", INSTANT_MAX),
        ("-infinity", INSTANT_MIN),
        ("+12000-01-01T00:00:00Z", INSTANT_MAX),
        ("-0043-03-15T12:00:00Z", INSTANT_MIN),
        ("0000-12-31T00:00:00Z", INSTANT_MIN),
        ("yesterday", NO_INSTANT),
        ("2026-01-31T09:30:00.123456Z", 1_769_851_800_123_456),
    ] {
        assert_eq!(read(text, written.into()), expected, "{written}");
    }
    assert_eq!(read(number, i64::MAX.into()), INSTANT_MAX);
    assert_eq!(read(number, 7.into()), 7);
    assert!(is_kept(7) && !is_kept(INSTANT_MAX) && !is_kept(INSTANT_MIN) && !is_kept(NO_INSTANT));
}

#[test]
fn currencies_have_their_minor_units() {
    for (code, amount, shown) in [
        ("EUR", "12.3", "12.30"),
        ("JPY", "12", "12"),
        ("JPY", "12.5", "12.5"),
        ("KWD", "1.234", "1.234"),
        ("KWD", "-1", "-1.000"),
        ("CLF", "0.0001", "0.0001"),
        ("XCG", "1", "1.00"),
    ] {
        let currency: Currency = code.parse().unwrap();
        assert_eq!(money(amount).in_currency(currency).to_string(), shown, "{code}");
    }
    for unknown in ["ZZZ", "XXX", "XAU", "eur", "EURO", ""] {
        assert!(unknown.parse::<Currency>().is_err(), "{unknown:?}");
    }
    assert!(money("1.234").fits_scale(3) && !money("1.234").fits_scale(2) && !money("0.50").fits_scale(0));
}

#[test]
fn money_is_exact() {
    for (text, shown) in [
        ("12.3", "12.30"),
        ("-0.01", "-0.01"),
        ("0", "0.00"),
        ("5.000", "5.00"),
        ("1.2340", "1.234"),
        ("9999999999999999.9999", "9999999999999999.9999"),
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
        "0.00001",
        "007",
        "00",
        " 1",
        "+1",
        "1.-1",
        "99999999999999999999999999999999999999999999",
    ] {
        assert!(wrong.parse::<Money>().is_err(), "{wrong:?}");
    }
    let most = money("999999999999999999999999.9999");
    assert!(
        most.checked_add(money("0.0001")).is_err(),
        "an overflow is an error, not a wrap"
    );
}
