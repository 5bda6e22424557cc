//! Schemas that are not what they should be: framed in another way, of another name, unknown for a moment or for good, or of another
//! registry.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use broker::Outgoing;
use serde::{Deserialize, Serialize};
use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::testing::TestDriver;
use topology::*;
use wire::{Codec, HEADER_LEN, MemoryRegistry, Registry, RegistryError, Topic, VALUE_SCHEMA_HEADER, Wire, avro_wire};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    id: i64,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Customer {
    id: i64,
}

avro_wire!(
    Account,
    r#"{"type":"record","name":"bank.Account","fields":[{"name":"id","type":"long"},{"name":"currency","type":["null","string"],"default":null}]}"#
);
avro_wire!(
    Customer,
    r#"{"type":"record","name":"bank.Customer","fields":[{"name":"id","type":"long"}]}"#
);

const ACCOUNTS: Topic<i64, Account> = Topic::new("accounts");
const DEAD: &str = "foreign-dead-letters";
const LAST: KeyValue<i64, Account> = KeyValue::new("last");

/// Keeps the last account of each key.
struct Keep;

impl Processor for Keep {
    type KeyIn = i64;
    type In = Account;
    type KeyOut = i64;
    type Out = Account;
    type Stores = KeyValue<i64, Account>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, Account>) -> Result<(), ProcessError> {
        cx.stores.put(record.key, record.value.clone());
        Ok(())
    }
}

fn topology() -> Topology {
    let builder = Builder::new("foreign");
    builder.stream(ACCOUNTS).process("keep", LAST, || Keep);
    builder.build().unwrap()
}

fn driver() -> TestDriver {
    TestDriver::new(topology()).unwrap()
}

fn account(id: i64) -> Account {
    Account {
        id,
        currency: Some("EUR".to_owned()),
    }
}

/// The framed bytes of an account.
fn bytes_of(driver: &TestDriver, id: i64) -> Vec<u8> {
    let codec = Codec::register::<Account>(driver.registry(), &ACCOUNTS.value_subject()).unwrap();
    let mut bytes = Vec::new();
    account(id).encode(&codec, &mut bytes).unwrap();
    bytes
}

fn queue(driver: &mut TestDriver, key: i64, value: &[u8], headers: &[(&str, &[u8])]) {
    let headers: Vec<_> = headers.iter().map(|&(name, value)| (name, Some(value))).collect();
    driver.queue_record(Outgoing {
        topic: ACCOUNTS.name(),
        partition: None,
        key: Some(&key.to_be_bytes()),
        value: Some(value),
        timestamp_ms: 1_000,
        headers: &headers,
    });
}

fn header<'a>(message: &'a broker::Message, name: &str) -> Option<&'a [u8]> {
    let found = message.headers.iter().find(|(known, _)| known == name)?;
    found.1.as_deref()
}

/// Why records went to the dead-letter topic, sorted.
fn reasons(driver: &mut TestDriver) -> Vec<String> {
    let letters = driver.drain_bytes(DEAD).into_iter();
    let text = |letter: broker::Message| {
        let reason = header(&letter, "__streams.errors.message").unwrap();
        String::from_utf8(reason.to_vec()).unwrap()
    };
    let mut reasons: Vec<String> = letters.map(text).collect();
    reasons.sort();
    reasons
}

fn kept(driver: &TestDriver) -> Vec<i64> {
    driver.view(LAST).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_record_of_another_name_is_a_dead_letter() {
    let mut driver = driver();
    driver.send(ACCOUNTS, 1_000, &1, Some(&account(1)));
    let codec = Codec::register::<Customer>(driver.registry(), "customers-value").unwrap();
    let mut bytes = Vec::new();
    Customer { id: 1 }.encode(&codec, &mut bytes).unwrap();
    queue(&mut driver, 1, &bytes, &[]);
    driver.send(ACCOUNTS, 1_000, &2, Some(&account(2)));
    assert_eq!(driver.view(LAST), [(1, account(1)), (2, account(2))]);
    let reasons = reasons(&mut driver);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("is bank.Customer, not bank.Account"), "{reasons:?}");
}

#[test]
fn a_header_may_name_the_schema() {
    let mut driver = driver();
    let framed = bytes_of(&driver, 7);
    let (prefix, datum) = framed.split_at(HEADER_LEN);
    queue(&mut driver, 7, datum, &[("other", b"x"), (VALUE_SCHEMA_HEADER, prefix)]);
    // Without it, the prefix says it.
    queue(&mut driver, 8, &framed, &[("other", b"x")]);
    driver.settle();
    assert_eq!(driver.view(LAST), [(7, account(7)), (8, account(7))]);
    assert_eq!(reasons(&mut driver), Vec::<String>::new());
}

#[test]
fn a_header_that_cannot_be_followed_is_told_and_kept() {
    let mut driver = driver();
    let framed = bytes_of(&driver, 7);
    let guid = [&[1][..], &[0xab; 16]].concat();
    queue(&mut driver, 1, &framed[HEADER_LEN..], &[(VALUE_SCHEMA_HEADER, &guid)]);
    queue(&mut driver, 2, &framed[HEADER_LEN..], &[(VALUE_SCHEMA_HEADER, b"7")]);
    queue(&mut driver, 3, &framed, &[]);
    driver.settle();
    assert_eq!(kept(&driver), [3]);
    let letters = driver.drain_bytes(DEAD);
    let mut told: Vec<(Vec<u8>, String)> = letters
        .iter()
        .map(|letter| {
            let reason = header(letter, "__streams.errors.message").unwrap();
            let own = header(letter, VALUE_SCHEMA_HEADER).unwrap();
            (own.to_vec(), String::from_utf8(reason.to_vec()).unwrap())
        })
        .collect();
    told.sort();
    assert_eq!((told.len(), &told[0].0, &told[1].0), (2, &guid, &b"7".to_vec()));
    assert!(told[0].1.contains("abababab-abab-abab-abab-abababababab"), "{told:?}");
    assert!(told[1].1.contains("has 1 bytes"), "{told:?}");
}

#[test]
fn poison_of_each_kind_is_told_and_the_next_goes_on() {
    let mut driver = driver();
    let framed = bytes_of(&driver, 7);
    let poison: [(&[u8], &str); 6] = [
        (br#"{"op":"c"}"#, "JSON?"),
        (b"", "nothing where a schema's id"),
        (b"\0\0\0", "3 bytes are too few"),
        (&framed[..framed.len() - 1], "malformed"),
        (b"\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "malformed"),
        (&[0xff, 0xfe], "it starts with 0xff"),
    ];
    for (number, (bytes, says)) in poison.into_iter().enumerate() {
        queue(&mut driver, 1, bytes, &[]);
        driver.queue_bytes(ACCOUNTS.name(), 1_000, None, Some(&framed));
        let next = 100 + number as i64;
        driver.send(ACCOUNTS, 1_000, &next, Some(&account(next)));
        let reasons = reasons(&mut driver);
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains(says)), "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason == "the record has no key"), "{reasons:?}");
        assert_eq!(kept(&driver).last(), Some(&next));
    }
}

/// A registry that does not know an id, or is away, for its first answers.
struct Late {
    inner: Arc<dyn Registry>,
    id: u32,
    answer: fn(u32) -> RegistryError,
    left: AtomicU32,
    asked: AtomicU32,
}

impl Registry for Late {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.inner.register(subject, schema)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        if id == self.id {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let left = self.left.load(Ordering::Relaxed);
            if left > 0 {
                self.left.store(left - 1, Ordering::Relaxed);
                return Err((self.answer)(id));
            }
        }
        self.inner.by_id(id)
    }
}

/// A driver whose registry answers so often about the schema that a writer has just registered.
fn late(answer: fn(u32) -> RegistryError, times: u32) -> (TestDriver, Arc<Late>, Vec<u8>) {
    let mut driver = driver();
    // Another version than the engine's own, which it knows without asking.
    let newer = r#"{"type":"record","name":"bank.Account","fields":[{"name":"id","type":"long"}]}"#;
    let codec = Codec::register_schema(driver.registry(), "newer-value", newer).unwrap();
    let mut bytes = Vec::new();
    wire::encode_avro(&Customer { id: 5 }, &codec, &mut bytes).unwrap();
    let registry = Arc::new(Late {
        inner: driver.registry(),
        id: u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]),
        answer,
        left: AtomicU32::new(times),
        asked: AtomicU32::new(0),
    });
    driver.set_registry(registry.clone());
    driver.deploy(topology()).unwrap();
    (driver, registry, bytes)
}

#[test]
fn a_schema_that_the_registry_does_not_know_yet_is_waited_for() {
    let (mut driver, registry, bytes) = late(RegistryError::NotFound, 2);
    queue(&mut driver, 5, &bytes, &[]);
    driver.settle();
    assert_eq!(kept(&driver), [5]);
    assert_eq!(reasons(&mut driver), Vec::<String>::new());
    assert_eq!(registry.asked.load(Ordering::Relaxed), 3);
}

#[test]
fn a_registry_that_is_away_is_waited_for_however_long() {
    let (mut driver, _, bytes) = late(|_| RegistryError::Unavailable("HTTP 500".to_owned()), 50);
    queue(&mut driver, 5, &bytes, &[]);
    driver.settle();
    assert_eq!(kept(&driver), [5]);
    assert_eq!(reasons(&mut driver), Vec::<String>::new());
}

#[test]
fn a_schema_that_it_never_knows_is_a_dead_letter_after_three_answers() {
    let (mut driver, registry, bytes) = late(RegistryError::NotFound, 1_000);
    let next = bytes_of(&driver, 6);
    queue(&mut driver, 5, &bytes, &[]);
    queue(&mut driver, 6, &next, &[]);
    driver.settle();
    assert_eq!(kept(&driver), [6]);
    assert_eq!(reasons(&mut driver), [format!("the registry has no schema {}", registry.id)]);
    let asked = registry.asked.load(Ordering::Relaxed);
    assert!((3..=10).contains(&asked), "{asked}");
    // Another one waits no more, but is asked for all the same.
    queue(&mut driver, 5, &bytes, &[]);
    driver.settle();
    assert_eq!(registry.asked.load(Ordering::Relaxed), asked + 1);
    assert_eq!(reasons(&mut driver).len(), 1);
    registry.left.store(0, Ordering::Relaxed);
    queue(&mut driver, 5, &bytes, &[]);
    driver.settle();
    assert_eq!(kept(&driver), [5, 6]);
}

#[test]
fn another_registry_is_refused_and_the_old_one_is_taken_back() {
    let mut driver = driver();
    driver.send(ACCOUNTS, 1_000, &1, Some(&account(1)));
    let ours = driver.registry();
    driver.deploy(topology()).unwrap();

    // It lost its storage, and others came first.
    let lost: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    Codec::register::<Customer>(lost.clone(), "customers-value").unwrap();
    driver.set_registry(lost);
    for _ in 0..2 {
        let error = driver.deploy(topology()).unwrap_err();
        assert!(matches!(&error, EngineError::AnotherRegistry { id: 1, .. }), "{error}");
        let text = error.to_string();
        for part in [
            "is bank.Customer, and was bank.Account (foreign-last-changelog-value)",
            "another registry",
            "docs/runbooks/registry.md",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    driver.set_registry(ours);
    driver.deploy(topology()).unwrap();
    assert_eq!(driver.view(LAST), [(1, account(1))]);
    driver.send(ACCOUNTS, 1_000, &2, Some(&account(2)));
    assert_eq!(kept(&driver), [1, 2]);
}

/// Somebody deleted one schema for good, and then registered it again under its id.
#[test]
fn an_id_that_is_unknown_is_refused_until_it_is_registered_again() {
    let mut driver = driver();
    driver.send(ACCOUNTS, 1_000, &1, Some(&account(1)));
    let (ours, value) = (driver.registry(), bytes_of(&driver, 1));
    let registry = Arc::new(Late {
        inner: ours,
        id: u32::from_be_bytes([value[1], value[2], value[3], value[4]]),
        answer: RegistryError::NotFound,
        left: AtomicU32::new(1_000),
        asked: AtomicU32::new(0),
    });
    driver.set_registry(registry.clone());
    let error = driver.deploy(topology()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is unknown, and was bank.Account"), "{text}");
    assert_eq!(registry.asked.load(Ordering::Relaxed), 3);

    registry.left.store(0, Ordering::Relaxed);
    driver.deploy(topology()).unwrap();
    assert_eq!(driver.view(LAST), [(1, account(1))]);
}

#[test]
fn a_registry_that_gives_the_same_ids_is_as_good() {
    let mut driver = driver();
    driver.send(ACCOUNTS, 1_000, &1, Some(&account(1)));
    driver.set_registry(Arc::new(MemoryRegistry::default()));
    driver.deploy(topology()).unwrap();
    assert_eq!(driver.view(LAST), [(1, account(1))]);
}
