//! State that an earlier version wrote is taken over: rows, deletes and postings go on where they were.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::in_process::InProcessBroker;
use broker::{Broker, CleanupPolicy, Committed, GroupOptions, Outgoing, TopicPartition, TopicSpec};
use processors::{BankSettings, SourcePartitions, bank, stores};
use riverbank::open::log::Log;
use riverbank::upgrade::{check_gold, take_over};
use schemas::bronze::{CdcKey, Envelope, Op, Source, TransactionRow};
use schemas::silver::TransactionStatus;
use schemas::topics::*;
use schemas::{AccountId, TransactionId};
use serde_json::{Value, json};
use topology::clock::{ManualClock, SystemClock};
use topology::store::MemoryBackends;
use topology::{Engine, EngineParts, EngineSettings, Metrics, Micros};
use wire::{Codec, MemoryRegistry, Registry, Wire};

const BOUND: Duration = Duration::from_secs(30);
/// When the state was written, in microseconds since the epoch.
const WRITTEN: i64 = 1_700_000_000_000_000;

fn topic(name: &str, partitions: u32, cleanup: CleanupPolicy) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        accept_existing: true,
        cleanup,
        settings: broker::TopicSettings::default(),
    }
}

/// What an earlier version left, on four partitions.
struct Old {
    broker: InProcessBroker,
    registry: Arc<dyn Registry>,
}

impl Old {
    fn write(&self, topic: &str, partition: u32, key: i64, value: Option<&[u8]>) {
        let record = Outgoing {
            topic,
            partition: Some(partition),
            key: Some(&key.to_be_bytes()),
            value,
            timestamp_ms: WRITTEN / 1000,
            headers: &[],
        };
        self.broker.producer("old").unwrap().send_all(&[record]).unwrap();
    }

    /// Another library writes by the schema of that version.
    fn avro(&self, topic: &str, schema: &str, value: Value) -> Vec<u8> {
        let id = self.registry.register(&format!("{topic}-value"), schema).unwrap();
        let schema = apache_avro::Schema::parse_str(schema).unwrap();
        let Value::Object(fields) = value else { panic!("a record") };
        let fields = fields.into_iter().map(|(name, value)| {
            // JSON has no bytes: a list of numbers stands for a decimal's digits.
            let value = match value {
                Value::Array(digits) => {
                    let digits: Vec<u8> = digits.iter().map(|digit| digit.as_u64().unwrap() as u8).collect();
                    // The library wants as many bytes as the precision may need.
                    apache_avro::types::Value::Bytes([vec![0; 12 - digits.len()], digits].concat())
                }
                other => apache_avro::types::Value::try_from(other).unwrap(),
            };
            (name, value)
        });
        let value = apache_avro::types::Value::Map(fields.collect()).resolve(&schema).unwrap();
        #[allow(deprecated, reason = "one call says all there is to say")]
        let datum = apache_avro::to_avro_datum(&schema, value).unwrap();
        [&[0], &id.to_be_bytes()[..], &datum].concat()
    }

    fn leave() -> Self {
        let old = Self {
            broker: InProcessBroker::default(),
            registry: Arc::new(MemoryRegistry::default()),
        };
        let changelogs = [
            "customers",
            "accounts",
            "transactions",
            "deleted-customers",
            "deleted-accounts",
            "deleted-transactions",
            "posted",
        ]
        .map(|store| topic(&format!("riverbank-{store}-changelog"), 4, CleanupPolicy::Compact));
        let sources = [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()]
            .map(|name| topic(name, 4, CleanupPolicy::Delete(None)));
        old.broker.ensure_topics(&changelogs, BOUND).unwrap();
        old.broker.ensure_topics(&sources, BOUND).unwrap();
        old.broker
            .ensure_topics(&[topic(ACCOUNT_BALANCES.name(), 4, CleanupPolicy::Compact)], BOUND)
            .unwrap();

        let transaction = include_str!("../../schemas/avro/history/silver/transaction/1.avsc");
        let row = |id: i64| {
            json!({"id": id, "account_id": 1, "txn_type": "DEPOSIT", "amount": [1, 244], "related_account_id": null,
                "status": "COMPLETED", "created_at": WRITTEN, "updated_at": WRITTEN, "source_lsn": 1000 + id, "source_ts": WRITTEN})
        };
        let rows = "riverbank-transactions-changelog";
        // 1 and 2 are there, 3 came and went.
        for (id, partition) in [(1, 0), (2, 3), (3, 2)] {
            let value = old.avro(rows, transaction, row(id));
            old.write(rows, partition, id, Some(&value));
            old.write("riverbank-posted-changelog", partition, id, Some(&(1000 + id).to_be_bytes()));
        }
        old.write(rows, 2, 3, None);
        old.write("riverbank-posted-changelog", 2, 3, None);
        old.write(
            "riverbank-deleted-transactions-changelog",
            2,
            3,
            Some(&2_000_i64.to_be_bytes()),
        );
        // 2 had been deleted once and made anew.
        old.write("riverbank-deleted-transactions-changelog", 3, 2, Some(&900_i64.to_be_bytes()));
        old.write("riverbank-deleted-transactions-changelog", 3, 2, None);

        // 4 lay in two partitions, since its key's schema had changed: the postings are of the row in partition 1.
        for (partition, status) in [(1, "COMPLETED"), (3, "REVERSED")] {
            let mut row = row(4);
            row["status"] = status.into();
            let value = old.avro(rows, transaction, row);
            old.write(rows, partition, 4, Some(&value));
        }
        old.write("riverbank-posted-changelog", 1, 4, Some(&1_004_i64.to_be_bytes()));
        old.write("riverbank-deleted-transactions-changelog", 0, 4, Some(&500_i64.to_be_bytes()));

        let balance = include_str!("../../schemas/avro/history/gold/account_balance/1.avsc");
        let value = json!({"account_id": 1, "customer_id": 1, "currency": "EUR", "opening": [0], "booked": [5, 220], "pending": [0],
            "available": [5, 220], "entry_count": 3, "last_entry_at": WRITTEN, "is_deleted": false, "source_lsn": 1002, "source_ts": WRITTEN});
        let value = old.avro(ACCOUNT_BALANCES.name(), balance, value);
        let partition = broker::partition_for_key(&1_i64.to_be_bytes(), 4);
        old.write(ACCOUNT_BALANCES.name(), partition, 1, Some(&value));
        old
    }

    /// Where the group of the earlier version stood: nothing that is in the topics now was there for it.
    fn commit_offsets(&self) {
        let options = GroupOptions {
            group: "riverbank".to_owned(),
            topics: Vec::new(),
            client_id: "earlier".to_owned(),
            member: None,
            session_timeout: Duration::from_secs(60),
        };
        let mut group = self.broker.group(options).unwrap();
        let start = Committed {
            offset: 0,
            metadata: String::new(),
        };
        let topics = [
            CDC_CUSTOMERS.name(),
            CDC_ACCOUNTS.name(),
            CDC_TRANSACTIONS.name(),
            SILVER_ACCOUNTS.name(),
        ];
        let places = topics
            .iter()
            .flat_map(|topic| (0..4).map(|partition| TopicPartition::new(*topic, partition)));
        let offsets: Vec<_> = places.map(|place| (place, start.clone())).collect();
        group.commit(&offsets).unwrap();
        group.leave().unwrap();
    }

    /// A change of a transaction, under an Avro key, in a partition of its own choice.
    fn change(&self, partition: u32, op: Op, id: i64, amount: &str, lsn: i64, at_us: i64) {
        let codec =
            Codec::register::<Envelope<TransactionRow>>(self.registry.clone(), &CDC_TRANSACTIONS.value_subject()).unwrap();
        let event = Envelope {
            before: None,
            after: Some(TransactionRow {
                id,
                account_id: Some(1),
                txn_type: Some("DEPOSIT".into()),
                amount: Some(amount.parse().unwrap()),
                status: Some("COMPLETED".into()),
                ..TransactionRow::default()
            }),
            source: Source {
                lsn: Some(lsn),
                ts_ms: at_us / 1000,
                ..Source::default()
            },
            transaction: None,
            op,
            ts_ms: None,
            ts_us: None,
            ts_ns: None,
        };
        let mut value = Vec::new();
        event.encode(&codec, &mut value).unwrap();
        let mut key = Vec::new();
        CdcKey { id }.encode(&codec, &mut key).unwrap();
        let record = Outgoing {
            topic: CDC_TRANSACTIONS.name(),
            partition: Some(partition),
            key: Some(&key),
            value: Some(&value),
            timestamp_ms: at_us / 1000,
            headers: &[],
        };
        self.broker.producer("connector").unwrap().send_all(&[record]).unwrap();
    }
}

#[test]
fn rows_deletes_and_postings_go_on_where_they_were() {
    let old = Old::leave();
    let log = Log {
        broker: Arc::new(old.broker.clone()),
        registry: old.registry.clone(),
    };
    let now_us = WRITTEN + 60_000_000;
    let clock = ManualClock::at(Micros(now_us).to_millis());
    take_over(&log, &clock).unwrap();
    // A second instance, or the next start.
    take_over(&log, &clock).unwrap();

    old.commit_offsets();
    let partitions = SourcePartitions {
        customers: 4,
        accounts: 4,
        transactions: 4,
        ..SourcePartitions::default()
    };
    let bank_settings = BankSettings {
        partitions,
        ..BankSettings::default()
    };
    let parts = EngineParts {
        broker: log.broker.clone(),
        backends: Arc::new(MemoryBackends::default()),
        registry: log.registry.clone(),
        clock: Arc::new(SystemClock),
        metrics: Metrics::register("test", &prometheus::Registry::new()).unwrap(),
    };
    let engine = Engine::start(bank(bank_settings).unwrap(), EngineSettings::default(), parts, "http://test").unwrap();
    let queries = engine.queries();
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < BOUND, "{what}; trouble: {:?}", engine.trouble());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let booked = || {
        let answer = queries.get(stores::BALANCES, &AccountId(1)).ok()?.value?;
        Some(answer.booked.to_string())
    };
    eventually("the balance is there", &|| booked().as_deref() == Some("15.00"));
    let applied = |id| queries.get(stores::TRANSACTIONS, &TransactionId(id)).ok()?.value;
    eventually("the rows are there", &|| {
        applied(1).is_some_and(|applied| applied.row.is_some())
    });
    assert!(applied(2).unwrap().row.is_some(), "made anew after its delete");
    assert!(applied(3).unwrap().row.is_none(), "deleted");
    let status = applied(4).unwrap().row.unwrap().status;
    assert_eq!(status, TransactionStatus::Completed, "the row whose postings stand");

    // What was applied comes again and counts for nothing; what is new takes back what stands.
    old.change(1, Op::Create, 1, "5.00", 1001, WRITTEN);
    old.change(1, Op::Create, 3, "5.00", 1003, WRITTEN);
    old.change(2, Op::Update, 2, "7.00", 3000, now_us + 1_000_000);
    eventually("the change is booked", &|| booked().as_deref() == Some("17.00"));
    engine.stop();
}

#[test]
fn tables_that_add_up_do_not_begin_in_the_middle_unless_they_are_to() {
    let fresh = InProcessBroker::default();
    check_gold(&fresh, false).unwrap();
    let balances = topic(ACCOUNT_BALANCES.name(), 1, CleanupPolicy::Compact);
    fresh.ensure_topics(&[balances], BOUND).unwrap();
    check_gold(&fresh, false).unwrap();
    let old = Old {
        broker: fresh,
        registry: Arc::new(MemoryRegistry::default()),
    };
    old.write(ACCOUNT_BALANCES.name(), 0, 1, Some(b"a balance"));
    let refused = check_gold(&old.broker, false).unwrap_err().to_string();
    assert!(
        refused.contains("gold.account_daily") && refused.contains("docs/runbooks/gold.md"),
        "{refused}"
    );
    check_gold(&old.broker, true).unwrap();
    let topics = [
        CUSTOMER_POSITIONS.name(),
        ACCOUNT_DAILY.name(),
        BANK_DAILY.name(),
        TRANSACTION_FACTS.name(),
        TRANSACTION_MINUTES.name(),
    ];
    let topics = topics.map(|name| topic(name, 1, CleanupPolicy::Compact));
    old.broker.ensure_topics(&topics, BOUND).unwrap();
    check_gold(&old.broker, false).unwrap();
}
