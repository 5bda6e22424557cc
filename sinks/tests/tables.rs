//! How the bank's records become rows.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use broker::Message;
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Source, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::{AccountId, CustomerId, Money, topics};
use sinks::columns::GENERATION;
use sinks::tables;
use sinks::{Origin, Row, RowError, Table};
use wire::{Codec, MemoryRegistry, Registry, RegistryError, Wire};

const AT: i64 = 1_700_000_000_000_000;

struct Case {
    registry: Arc<dyn Registry>,
}

impl Case {
    fn new() -> Self {
        Self {
            registry: Arc::new(MemoryRegistry::default()),
        }
    }

    fn bytes<T: Wire>(&self, value: &T, subject: &str) -> Option<bytes::Bytes> {
        let mut out = Vec::new();
        value
            .encode(&Codec::register::<T>(self.registry.clone(), subject).unwrap(), &mut out)
            .unwrap();
        Some(out.into())
    }

    fn key(&self, id: i64) -> Option<bytes::Bytes> {
        self.bytes(&CdcKey { id }, "key")
    }

    /// Pushes these records as offsets 0, 1, … of partition 7, and takes the rows out.
    fn rows(&self, table: &dyn Table, records: Vec<(Option<bytes::Bytes>, Option<bytes::Bytes>)>) -> RecordBatch {
        let mut rows = table.rows(self.registry.clone());
        let (count, mut kinds) = (records.len(), Vec::new());
        for (offset, (key, value)) in records.into_iter().enumerate() {
            let record = Message {
                slot: 0,
                offset: offset as i64,
                timestamp_ms: AT / 1_000,
                key,
                value,
                headers: vec![],
            };
            kinds.push(
                rows.push(
                    Origin {
                        topic: table.topic(),
                        partition: 7,
                    },
                    &record,
                )
                .unwrap(),
            );
        }
        assert_eq!(rows.len(), count, "each record is exactly one row");
        let batch = rows.take().unwrap();
        assert_eq!(batch.schema(), table.schema());
        assert!(rows.is_empty());
        for (row, kind) in kinds.into_iter().enumerate() {
            let op = if table.name().starts_with("bronze.") { "_op" } else { "op" };
            assert_eq!(
                kind == Row::Undecodable,
                text(&batch, op, row).unwrap() == "undecodable",
                "{kind:?}"
            );
            assert_eq!(text(&batch, "_topic", row), Some(table.topic().to_owned()));
            assert_eq!(
                batch
                    .column_by_name("_partition")
                    .unwrap()
                    .as_primitive::<Int32Type>()
                    .value(row),
                7
            );
            assert_eq!(int(&batch, "_offset", row), Some(row as i64));
        }
        batch
    }
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn money(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>();
    let DataType::Decimal128(_, scale) = column.data_type() else {
        panic!("{name} is no decimal")
    };
    let decimal = wire::Decimal {
        unscaled: column.value(row),
        scale: u32::try_from(*scale).unwrap(),
    };
    column.is_valid(row).then(|| Money::try_from(decimal).unwrap().to_string())
}

fn instant(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
    column.is_valid(row).then(|| column.value(row))
}

fn raw(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<u8>> {
    let column = batch.column_by_name(name).unwrap().as_binary::<i32>();
    column.is_valid(row).then(|| column.value(row).to_vec())
}

fn amount(text: &str) -> Option<Money> {
    Some(text.parse().unwrap())
}

fn envelope<R>(op: Op, before: Option<R>, after: Option<R>) -> Envelope<R> {
    let source = Source {
        lsn: Some(42),
        tx_id: Some(9),
        ts_us: Some(AT + 1),
        snapshot: Some("false".into()),
        ..Source::default()
    };
    Envelope {
        before,
        after,
        source,
        transaction: None,
        op,
        ts_ms: None,
        ts_us: None,
        ts_ns: None,
    }
}

fn table(name: &str) -> Arc<dyn Table> {
    tables::all().into_iter().find(|table| table.name() == name).unwrap()
}

#[test]
fn every_event_of_the_change_log_is_a_row() {
    let case = Case::new();
    let row = TransactionRow {
        id: 5,
        account_id: Some(3),
        txn_type: Some(" transfer ".into()),
        amount: amount("9999999999999999.99"),
        related_account_id: Some(4),
        status: None,
        created_at: Some(AT),
        updated_at: None,
    };
    let value = |envelope| case.bytes(&envelope, "transactions");
    let batch = case.rows(
        table("bronze.transactions").as_ref(),
        vec![
            (case.key(5), value(envelope(Op::Create, None, Some(row.clone())))),
            (case.key(5), value(envelope(Op::Delete, Some(row.clone()), None))),
            (case.key(5), None),
            (None, value(envelope(Op::Truncate, None, None))),
        ],
    );
    let ops: Vec<_> = (0..4).map(|at| text(&batch, "_op", at).unwrap()).collect();
    assert_eq!(ops, ["c", "d", "tombstone", "t"]);
    for at in [0, 1] {
        assert_eq!(int(&batch, "id", at), Some(5));
        assert_eq!(text(&batch, "txn_type", at).unwrap(), " transfer ", "Bronze cleans nothing");
        assert_eq!(money(&batch, "amount", at).unwrap(), "9999999999999999.99");
        assert_eq!(
            (instant(&batch, "created_at", at), instant(&batch, "updated_at", at)),
            (Some(AT), None)
        );
        assert_eq!((int(&batch, "_lsn", at), int(&batch, "_tx_id", at)), (Some(42), Some(9)));
        assert_eq!(
            (instant(&batch, "_source_ts", at), text(&batch, "_snapshot", at)),
            (Some(AT + 1), Some("false".into()))
        );
    }
    assert_eq!(
        (int(&batch, "id", 2), int(&batch, "account_id", 2), text(&batch, "_error", 2)),
        (Some(5), None, None)
    );
    assert_eq!((int(&batch, "id", 3), int(&batch, "_lsn", 3)), (None, Some(42)));
}

#[test]
fn what_cannot_be_read_is_a_row_with_its_bytes_and_the_reason() {
    let case = Case::new();
    let customer = case.bytes(&envelope(Op::Delete, Some(CustomerRow::default()), None), "customers");
    let mut torn = case
        .bytes(&envelope(Op::Create, None, Some(AccountRow::default())), "accounts")
        .unwrap()
        .to_vec();
    torn.truncate(20);
    let torn = Some(bytes::Bytes::from(torn));
    let unknown_schema = bytes::Bytes::from_static(&[0, 0, 0, 3, 9, 1]);
    let batch = case.rows(
        table("bronze.accounts").as_ref(),
        vec![
            (case.key(8), customer.clone()),
            (case.key(9), Some(unknown_schema.clone())),
            (Some("junk".into()), Some("not avro".into())),
            (Some("junk".into()), None),
            (None, Some(bytes::Bytes::new())),
            (case.key(7), torn.clone()),
        ],
    );
    for (at, id, raw_key, raw_value, reason) in [
        (
            0,
            Some(8),
            case.key(8),
            customer,
            "record bank.public.customers.Envelope is no change event of topic bank.public.accounts",
        ),
        (1, Some(9), case.key(9), Some(unknown_schema), "schema 777"),
        (2, None, Some("junk".into()), Some("not avro".into()), "malformed"),
        (3, None, Some("junk".into()), None, "key: malformed"),
        (4, None, None, Some(bytes::Bytes::new()), "malformed"),
        (5, Some(7), case.key(7), torn, "the bytes end within a value"),
    ] {
        assert_eq!(text(&batch, "_op", at).unwrap(), "undecodable");
        assert_eq!(int(&batch, "id", at), id);
        assert_eq!(raw(&batch, "_raw_key", at), raw_key.map(|bytes| bytes.to_vec()), "{at}");
        assert_eq!(raw(&batch, "_raw", at), raw_value.map(|bytes| bytes.to_vec()), "{at}");
        let error = text(&batch, "_error", at).unwrap();
        assert!(error.contains(reason), "{at}: {error}");
    }
}

#[test]
fn customers_keep_their_texts() {
    let case = Case::new();
    let row = CustomerRow {
        id: 1,
        first_name: Some(" Zoë ".into()),
        email: Some("A@b.C".into()),
        ..CustomerRow::default()
    };
    let value = case.bytes(&envelope(Op::Read, None, Some(row)), "customers");
    let batch = case.rows(table("bronze.customers").as_ref(), vec![(case.key(1), value)]);
    assert_eq!(text(&batch, "first_name", 0).unwrap(), " Zoë ");
    assert_eq!(
        (text(&batch, "email", 0).unwrap(), text(&batch, "last_name", 0)),
        ("A@b.C".to_owned(), None)
    );
    assert_eq!(text(&batch, "_op", 0).unwrap(), "r");
}

#[test]
fn balances_are_versions() {
    let case = Case::new();
    let balance = AccountBalance {
        account_id: AccountId(-2),
        customer_id: CustomerId(1),
        currency: "EUR".parse().unwrap(),
        opening: amount("10").unwrap(),
        booked: amount("-12.30").unwrap(),
        pending: Money::ZERO,
        available: amount("-12.30").unwrap(),
        entry_count: 3,
        last_entry_at: None,
        is_deleted: false,
        source_lsn: 42,
        source_ts: AT,
        commit_number: Some(8_213),
    };
    let huge = AccountBalance {
        account_id: AccountId(-3),
        booked: amount("-100000000000000000000000.00").unwrap(),
        ..balance.clone()
    };
    let key = |id: i64| Some(bytes::Bytes::from(id.to_be_bytes().to_vec()));
    let value = |balance| case.bytes(balance, "balances");
    let batch = case.rows(
        table("gold.account_balances").as_ref(),
        vec![
            (key(-2), value(&balance)),
            (key(-2), None),
            (key(-3), value(&huge)),
            (None, value(&balance)),
            (Some("short".into()), None),
        ],
    );
    let ops: Vec<_> = (0..5).map(|at| text(&batch, "op", at).unwrap()).collect();
    assert_eq!(ops, ["upsert", "delete", "upsert", "undecodable", "undecodable"]);
    assert_eq!(
        (int(&batch, "account_id", 0), money(&batch, "booked", 0)),
        (Some(-2), Some("-12.30".into()))
    );
    assert_eq!(
        (text(&batch, "currency", 0), int(&batch, "entry_count", 0)),
        (Some("EUR".into()), Some(3))
    );
    assert_eq!((int(&batch, "account_id", 1), money(&batch, "booked", 1)), (Some(-2), None));
    assert_eq!(
        (int(&batch, "account_id", 2), money(&batch, "booked", 2)),
        (Some(-3), Some("-100000000000000000000000.00".into()))
    );
    assert!(text(&batch, "_error", 3).unwrap().contains("key"));
    assert!((0..5).all(|at| instant(&batch, "_timestamp", at) == Some(AT)));
}

/// A registry that does not answer.
struct Away;

impl Registry for Away {
    fn register(&self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Err(RegistryError::Unavailable("away".into()))
    }
    fn by_id(&self, _: u32) -> Result<Arc<str>, RegistryError> {
        Err(RegistryError::Unavailable("away".into()))
    }
}

#[test]
fn a_registry_that_is_away_is_not_the_record_s_fault() {
    let case = Case::new();
    let value = case.bytes(&envelope(Op::Read, None, Some(CustomerRow::default())), "customers");
    let record = Message {
        slot: 0,
        offset: 0,
        timestamp_ms: 0,
        key: case.key(1),
        value,
        headers: vec![],
    };
    for table in tables::all() {
        let mut rows = table.rows(Arc::new(Away));
        let refused = rows.push(
            Origin {
                topic: table.topic(),
                partition: 0,
            },
            &record,
        );
        assert!(
            matches!(refused, Err(RowError::Unavailable(_))),
            "{}: {refused:?}",
            table.name()
        );
        assert_eq!(rows.len(), 0);
    }
}

#[test]
fn shapes_are_what_a_warehouse_expects() {
    let mut topics = Vec::new();
    for table in tables::all() {
        let schema = table.schema();
        for field in schema.fields() {
            match field.data_type() {
                // As the source has it; and our own sums, of any currency.
                DataType::Decimal128(precision, scale) => {
                    let expected = if table.name().starts_with("bronze.") {
                        (20, 4)
                    } else {
                        (38, 4)
                    };
                    assert_eq!((*precision, *scale), expected, "{field}");
                }
                DataType::Timestamp(unit, zone) => {
                    assert_eq!((*unit, zone.as_deref()), (TimeUnit::Microsecond, Some("UTC")), "{field}")
                }
                _ => {}
            }
            assert!(!field.name().is_empty());
        }
        topics.push(table.topic().to_owned());
    }
    assert_eq!(topics.len(), 17);
    assert!(
        topics.contains(&topics::CDC_CUSTOMERS.name().to_owned()) && topics.contains(&topics::ACCOUNT_BALANCES.name().to_owned())
    );
}

/// A table's columns as `name TYPE`, with an exclamation mark where there is always a value.
fn shape(name: &str) -> Vec<String> {
    let schema = table(name).schema();
    let line = |field: &Arc<arrow::datatypes::Field>| {
        let always = if field.is_nullable() { "" } else { "!" };
        format!("{} {}{always}", field.name(), field.data_type())
    };
    schema.fields().iter().map(line).collect()
}

/// Another shape needs another `schema_version`: files of both are side by side.
#[test]
fn the_shape_of_files_that_are_there_stays() {
    assert_eq!(table("gold.account_balances").schema_version(), 3);
    assert_eq!(
        shape("gold.account_balances"),
        [
            "account_id Int64",
            "customer_id Int64",
            "currency Utf8",
            "opening Decimal128(38, 4)",
            "booked Decimal128(38, 4)",
            "pending Decimal128(38, 4)",
            "available Decimal128(38, 4)",
            "entry_count Int64",
            "last_entry_at Timestamp(µs, \"UTC\")",
            "is_deleted Boolean",
            "source_lsn Int64",
            "source_ts Timestamp(µs, \"UTC\")",
            "commit_number Int64",
            "op Utf8!",
            "_topic Utf8!",
            "_partition Int32!",
            "_offset Int64!",
            "_timestamp Timestamp(µs, \"UTC\")!",
            "_raw_key Binary",
            "_raw Binary",
            "_error Utf8",
        ]
    );
    assert_eq!(table("silver.postings").schema_version(), 3);
    assert_eq!(
        shape("silver.postings")[9..14],
        [
            "source_lsn Int64",
            "entry_number Int64",
            "balance_after Decimal128(38, 4)",
            "recorded_at Timestamp(µs, \"UTC\")",
            "key_account_id Int64",
        ]
    );
    assert_eq!(table("gold.reconciliation").schema_version(), 1);
    assert_eq!(
        shape("gold.reconciliation")[..8],
        [
            "account_id Int64",
            "currency Utf8",
            "streamed Decimal128(38, 4)",
            "source Decimal128(38, 4)",
            "difference Decimal128(38, 4)",
            "is_complete Boolean",
            "source_lsn Int64",
            "source_ts Timestamp(µs, \"UTC\")",
        ]
    );
    assert_eq!(table("gold.bank_daily").schema_version(), 1);
    assert_eq!(
        shape("gold.bank_daily")[..10],
        [
            "day Date32",
            "account_type Utf8",
            "currency Utf8",
            "net_flow Decimal128(38, 4)",
            "opened_with Decimal128(38, 4)",
            "new_accounts Int64",
            "closed_accounts Int64",
            "active_accounts Int64",
            "active_customers Int64",
            "op Utf8!",
        ]
    );
    assert_eq!(table("gold.transactions").schema_version(), 1);
    assert_eq!(
        shape("gold.transactions")[..15],
        [
            "transaction_id Int64",
            "account_id Int64",
            "account_version Int64",
            "customer_id Int64",
            "account_type Utf8",
            "currency Utf8",
            "txn_type Utf8",
            "amount Decimal128(38, 4)",
            "related_account_id Int64",
            "status Utf8",
            "created_at Timestamp(µs, \"UTC\")",
            "updated_at Timestamp(µs, \"UTC\")",
            "source_lsn Int64",
            "source_ts Timestamp(µs, \"UTC\")",
            "op Utf8!",
        ]
    );
    assert_eq!(table("bronze.customers").schema_version(), 2);
    assert_eq!(
        shape("bronze.customers"),
        [
            "id Int64",
            "first_name Utf8",
            "last_name Utf8",
            "email Utf8",
            "created_at Timestamp(µs, \"UTC\")",
            "updated_at Timestamp(µs, \"UTC\")",
            "_op Utf8!",
            "_lsn Int64",
            "_tx_id Int64",
            "_source_ts Timestamp(µs, \"UTC\")",
            "_snapshot Utf8",
            "_before Utf8",
            "_unparsed Utf8",
            "_topic Utf8!",
            "_partition Int32!",
            "_offset Int64!",
            "_raw_key Binary",
            "_raw Binary",
            "_error Utf8",
        ]
    );
}

#[test]
fn a_declaration_says_what_each_column_is_and_which_are_the_key() {
    for table in tables::all() {
        let name = table.name();
        let is_a_line = |text: &str| text.ends_with('.') && !text.contains('\n');
        assert!(is_a_line(table.description()), "{name}: {}", table.description());
        let mut names = std::collections::BTreeSet::new();
        for column in table.columns().iter().chain([&GENERATION]) {
            assert!(is_a_line(column.doc), "{name}.{}: {}", column.name, column.doc);
            assert!(
                names.insert(column.name.to_lowercase()),
                "{name}.{} is there twice",
                column.name
            );
        }
        assert_eq!(table.is_compacted(), !table.key_columns().is_empty(), "{name}");
        assert!(table.key_columns().iter().all(|key| names.contains(*key)), "{name}");
    }
}
