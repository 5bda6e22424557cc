//! A record is matched by its name, not by its fields alone.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{Codec, MemoryRegistry, Registry, Wire, WireError, avro_wire};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    id: i64,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Customer {
    id: i64,
    email: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct AnyKey {
    id: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Number(i64);

const ACCOUNT: &str = r#"{"type":"record","name":"Envelope","namespace":"bank.accounts","aliases":["Before","old.Name"],"fields":[
    {"name":"id","type":"long"},{"name":"currency","type":["null","string"],"default":null}]}"#;

avro_wire!(Account, ACCOUNT);
avro_wire!(
    Customer,
    r#"{"type":"record","name":"bank.customers.Envelope","fields":[{"name":"id","type":"long"},{"name":"email","type":["null","string"]}]}"#
);
avro_wire!(
    AnyKey,
    r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}"#,
    any_name
);
avro_wire!(Number, "\"long\"");

/// What a writer with this schema would write for the id 7.
fn written(registry: &Arc<dyn Registry>, schema: &str) -> Vec<u8> {
    let codec = Codec::register_schema(registry.clone(), schema, schema).unwrap();
    let mut bytes = Vec::new();
    wire::encode_avro(&AnyKey { id: 7 }, &codec, &mut bytes).unwrap();
    bytes
}

fn record(name: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"id","type":"long"}}]}}"#)
}

fn registry() -> Arc<dyn Registry> {
    Arc::new(MemoryRegistry::default())
}

#[test]
fn another_record_is_refused_with_both_names() {
    let registry = registry();
    let customers = Codec::register::<Customer>(registry.clone(), "customers").unwrap();
    let mut bytes = Vec::new();
    let customer = Customer { id: 7, email: None };
    customer.encode(&customers, &mut bytes).unwrap();
    let codec = Codec::reader(registry);
    // Again and again, and with another type by the same codec.
    for _ in 0..3 {
        let error = Account::decode(&bytes, &codec).unwrap_err();
        assert!(matches!(error, WireError::ForeignSchema { id: 1, .. }), "{error}");
        assert!(!error.is_transient());
        assert_eq!(
            error.to_string(),
            "schema 1 is bank.customers.Envelope, not bank.accounts.Envelope"
        );
        assert_eq!(Customer::decode(&bytes, &codec).unwrap(), customer);
    }
}

#[test]
fn the_name_an_alias_and_a_record_or_null_will_do() {
    let registry = registry();
    let codec = Codec::reader(registry.clone());
    let account = Account { id: 7, currency: None };
    for name in ["bank.accounts.Envelope", "bank.accounts.Before", "old.Name"] {
        let bytes = written(&registry, &record(name));
        assert_eq!(Account::decode(&bytes, &codec).unwrap(), account, "{name}");
    }
    for (name, found) in [("Envelope", "Envelope"), ("old.Before", "old.Before")] {
        let error = Account::decode(&written(&registry, &record(name)), &codec).unwrap_err();
        assert!(
            matches!(&error, WireError::ForeignSchema { found: f, .. } if f == found),
            "{error}"
        );
    }
    let or_null = format!(r#"["null",{}]"#, record("bank.accounts.Envelope"));
    let codec_of_null = Codec::register_schema(registry.clone(), "or null", &or_null).unwrap();
    let mut bytes = Vec::new();
    wire::encode_avro(&Some(AnyKey { id: 7 }), &codec_of_null, &mut bytes).unwrap();
    assert_eq!(Account::decode(&bytes, &codec).unwrap(), account);
}

#[test]
fn what_is_no_record_is_none() {
    let registry = registry();
    let codec = Codec::register::<Number>(registry.clone(), "numbers").unwrap();
    let mut bytes = Vec::new();
    Number(7).encode(&codec, &mut bytes).unwrap();
    let error = Account::decode(&bytes, &Codec::reader(registry)).unwrap_err();
    assert_eq!(error.to_string(), "schema 1 is Long, not bank.accounts.Envelope");
    assert_eq!(Number::decode(&bytes, &codec).unwrap(), Number(7));
}

#[test]
fn any_name_will_do_where_the_type_says_so() {
    let registry = registry();
    let codec = Codec::reader(registry.clone());
    for name in ["bank.accounts.Key", "bank.customers.Key"] {
        assert_eq!(
            AnyKey::decode(&written(&registry, &record(name)), &codec).unwrap(),
            AnyKey { id: 7 }
        );
    }
}
