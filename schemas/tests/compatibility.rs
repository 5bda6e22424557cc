//! Another Avro library as the judge: what it writes by the schemas that Debezium registered is read here, what is written here
//! is read there, and no bytes make a reader panic.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(deprecated, reason = "one call each way says all there is to say")]

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use proptest::prelude::*;
use schemas::bronze::{AccountRow, CustomerRow, Envelope, Op, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::{Account, Customer, ForAccounts, Leg, Posting, Rejected, Transaction};
use schemas::{AccountId, CustomerId, Money};
use wire::{Codec, HEADER_LEN, MemoryRegistry, Registry, Wire};

/// 12.34 as an Avro decimal of scale 2, 0.1234 as one of scale 4: the batch stack's columns have two places, the bank's four.
const AMOUNT: [u8; 2] = [0x04, 0xd2];

fn amount(full: bool) -> Money {
    if full {
        Money::from_ten_thousandths(1234)
    } else {
        Money::from_hundredths(1234)
    }
}

/// A value that fills every field of the schema.
fn sample(schema: &Schema, field: &str, named: &mut HashMap<String, Schema>) -> Value {
    match schema {
        Schema::Record(record) => {
            named.insert(record.name.to_string(), schema.clone());
            let fields = record.fields.iter();
            Value::Record(fields.map(|f| (f.name.clone(), sample(&f.schema, &f.name, named))).collect())
        }
        Schema::Ref { name } => sample(&named[&name.to_string()].clone(), field, named),
        Schema::Union(union) => {
            let (index, variant) = union
                .variants()
                .iter()
                .enumerate()
                .find(|(_, v)| **v != Schema::Null)
                .unwrap();
            Value::Union(index as u32, Box::new(sample(variant, field, named)))
        }
        Schema::Decimal(_) => Value::Decimal(AMOUNT.into()),
        Schema::Int => Value::Int(7),
        Schema::Long => Value::Long(7),
        Schema::TimestampMicros => Value::TimestampMicros(7),
        Schema::String if field == "op" => Value::String("u".into()),
        Schema::String if field.ends_with("_at") => Value::String("1970-01-01T00:00:00.000007Z".into()),
        Schema::String => Value::String("text".into()),
        other => panic!("Debezium sends no {other:?} for {field}"),
    }
}

/// Reads what the other library wrote by a schema that Debezium registered.
fn check_debezium<R>(text: &str) -> R
where
    Envelope<R>: Wire,
{
    // A connector of another prefix: its topics are read under the names of ours.
    let text = text.replace("\"batch.", "\"bank.");
    let schema = Schema::parse_str(&text).unwrap();
    let registry = Arc::new(MemoryRegistry::default());
    let id = registry.register("cdc-value", &text).unwrap();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend(to_avro_datum(&schema, sample(&schema, "", &mut HashMap::new())).unwrap());
    let read = Envelope::<R>::decode(&bytes, &Codec::reader(registry)).unwrap();
    assert_eq!((read.op, read.source.lsn, read.source.tx_id), (Op::Update, Some(7), Some(7)));
    assert!(read.before.is_some());
    read.after.unwrap()
}

#[test]
fn what_debezium_registers_is_read() {
    for (text, full) in [
        (include_str!("data/debezium/bank.public.customers-value.json"), true),
        (include_str!("data/debezium/batch.public.customers-value.json"), false),
    ] {
        let row: CustomerRow = check_debezium(text);
        assert_eq!((row.id, row.email.as_deref(), row.created_at), (7, Some("text"), Some(7)));
        assert_eq!(row.updated_at.is_some(), full);
    }
    for (text, full) in [
        (include_str!("data/debezium/bank.public.accounts-value.json"), true),
        (include_str!("data/debezium/batch.public.accounts-value.json"), false),
    ] {
        let row: AccountRow = check_debezium(text);
        let amount = Some(amount(full));
        assert_eq!(
            (row.id, row.customer_id, row.balance, row.created_at),
            (7, Some(7), amount, Some(7))
        );
        assert_eq!(row.opening_balance, amount.filter(|_| full));
        assert_eq!((row.status.is_some(), row.closed_at.is_some()), (full, full));
    }
    for (text, full) in [
        (include_str!("data/debezium/bank.public.transactions-value.json"), true),
        (include_str!("data/debezium/batch.public.transactions-value.json"), false),
    ] {
        let row: TransactionRow = check_debezium(text);
        assert_eq!((row.amount, row.account_id), (Some(amount(full)), Some(7)));
        assert_eq!((row.related_account_id, row.created_at), (Some(7), Some(7)));
        assert_eq!(row.updated_at.is_some(), full);
    }
}

/// Writes here, reads and writes again there, and reads here: nothing may change on the way.
fn check_oracle<T: Wire + PartialEq + Debug>(value: &T) {
    let codec = Codec::register::<T>(Arc::new(MemoryRegistry::default()), "subject-value").unwrap();
    let schema = Schema::parse_str(T::SCHEMA.unwrap()).unwrap();
    let mut ours = Vec::new();
    value.encode(&codec, &mut ours).unwrap();
    let (header, mut datum) = ours.split_at(HEADER_LEN);
    let there = from_avro_datum(&schema, &mut datum, None).unwrap();
    assert!(datum.is_empty(), "the other library reads all of it");
    let theirs = [header, &to_avro_datum(&schema, there).unwrap()].concat();
    assert_eq!(&T::decode(&theirs, &codec).unwrap(), value);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_libraries_read_each_other(
        ids in any::<(i64, i64, i64)>(),
        amount in -9_999_999_999_999_999_999_999_999_999_i128..=9_999_999_999_999_999_999_999_999_999,
        micros in 0_i64..4_102_444_800_000_000,
        last in proptest::option::of(any::<i64>()),
        text in ".{0,20}",
    ) {
        let money = Money::from_ten_thousandths(amount);
        check_oracle(&AccountBalance {
            account_id: AccountId(ids.0),
            customer_id: CustomerId(ids.1),
            currency: "JPY".parse().unwrap(),
            opening: money,
            booked: money.negated(),
            pending: Money::ZERO,
            available: Money::from_ten_thousandths(amount / 1000),
            entry_count: ids.2,
            last_entry_at: last,
            is_deleted: amount > 0,
            source_lsn: ids.2,
            source_ts: micros,
            commit_number: last.map(|last| last / 2),
        });
        check_oracle(&CustomerRowChange(&text, micros).envelope());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(datum in proptest::collection::vec(any::<u8>(), 0..200)) {
        fn read<T: Wire>(datum: &[u8]) {
            let codec = Codec::register::<T>(Arc::new(MemoryRegistry::default()), "subject-value").unwrap();
            let framed = [&[0, 0, 0, 0, 1], datum].concat();
            let _ = T::decode(&framed, &codec);
            let _ = T::decode(datum, &codec);
        }
        read::<Envelope<CustomerRow>>(&datum);
        read::<Envelope<AccountRow>>(&datum);
        read::<Envelope<TransactionRow>>(&datum);
        read::<Customer>(&datum);
        read::<Account>(&datum);
        read::<Transaction>(&datum);
        read::<Leg>(&datum);
        read::<ForAccounts>(&datum);
        read::<Posting>(&datum);
        read::<Rejected>(&datum);
        read::<AccountBalance>(&datum);
    }
}

/// A customer's insert with this name, at this instant.
struct CustomerRowChange<'a>(&'a str, i64);

impl CustomerRowChange<'_> {
    fn envelope(&self) -> Envelope<CustomerRow> {
        Envelope {
            before: None,
            after: Some(CustomerRow {
                id: 1,
                first_name: Some(self.0.to_owned()),
                created_at: Some(self.1),
                ..CustomerRow::default()
            }),
            source: Default::default(),
            transaction: None,
            op: Op::Create,
            ts_ms: Some(self.1 / 1000),
            ts_us: None,
            ts_ns: None,
        }
    }
}
