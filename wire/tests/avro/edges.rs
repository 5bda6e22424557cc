//! Hostile bytes and values that do not fit, one by one.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use wire::{Codec, Decimal, MemoryRegistry, Registry, WireError, decode_avro};

use crate::Subject;
use crate::datum::{Datum, big_endian};

/// Both refuse to read these bytes, or to step over them.
fn refused(schema: &str, datum: &[u8]) {
    let subject = Subject::new(schema);
    for error in [
        subject.decode::<Datum>(datum).map(drop).unwrap_err(),
        subject.decode::<IgnoredAny>(datum).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, WireError::Malformed(_)), "{schema} {datum:?}: {error}");
    }
}

fn refused_when_read(schema: &str, datum: &[u8]) {
    let error = Subject::new(schema).decode::<Datum>(datum).unwrap_err();
    assert!(matches!(error, WireError::Malformed(_)), "{schema} {datum:?}: {error}");
}

#[test]
fn lengths_beyond_the_end() {
    let long = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for schema in [
        "bytes",
        "string",
        r#"{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}"#,
    ] {
        refused(schema, &[]);
        refused(schema, &[4, b'a']);
        refused(schema, &[1]);
        refused(schema, &long);
        refused(schema, &[2, b'a', b'b']);
    }
    refused(r#"{"type": "fixed", "name": "F", "size": 3}"#, &[1, 2]);
    refused(r#"{"type": "fixed", "name": "F", "size": 3}"#, &[1, 2, 3, 4]);
    refused("double", &[0; 7]);
    refused("null", &[0]);
}

#[test]
fn numbers() {
    let subject = Subject::new("long");
    let edges = (0..64).flat_map(|bit| {
        [
            1_i64 << bit,
            (1_i64 << bit).wrapping_sub(1),
            -(1_i64 << bit.min(62)),
            !(1_i64 << bit),
        ]
    });
    for number in edges.chain([0, i64::MIN, i64::MAX]) {
        let datum = subject.encode(&number).unwrap();
        assert_eq!(datum, subject.there(&number.into()));
        for padding in 0..10 {
            // Read with and without bytes behind it: there are two ways of reading it.
            let tuple = Subject::new(&format!(
                r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": "long"}},
                    {{"name": "b", "type": {{"type": "fixed", "name": "F", "size": {padding}}}}}]}}"#
            ));
            #[derive(Deserialize)]
            struct One {
                a: i64,
            }
            let padded = [&datum[..], &vec![0xff; padding]].concat();
            assert_eq!(tuple.decode::<One>(&padded).unwrap().a, number);
            tuple.decode::<IgnoredAny>(&padded).unwrap();
        }
        for end in 0..datum.len() {
            refused("long", &datum[..end]);
        }
    }
    // More than 64 bits, whatever follows.
    refused("long", &[0xff; 10]);
    refused("long", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);
    refused("long", &[0x80; 30]);
    // More bytes than needed are the same number.
    assert_eq!(subject.decode::<i64>(&[0x82, 0x80, 0]).unwrap(), 1);
    refused_when_read("int", &[0x80, 0x80, 0x80, 0x80, 0x10]);
    refused_when_read("boolean", &[2]);
    assert_eq!(Subject::new("int").decode::<i64>(&[1]).unwrap(), -1);
    assert_eq!(Subject::new("int").decode::<f64>(&[1]).unwrap(), -1.0);
}

#[test]
fn choices() {
    refused(r#"["null", "long"]"#, &[4]);
    refused(r#"["null", "long"]"#, &[1, 0]);
    refused(r#"["null", "long", "string"]"#, &[6]);
    refused(
        r#"["null", "long", "string"]"#,
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    );
    refused_when_read(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, &[2]);
    refused_when_read(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, &[1]);
    refused_when_read("string", &[2, 0xff]);
    refused_when_read(r#"{"type": "map", "values": "null"}"#, &[2, 2, 0xff, 0]);
}

#[test]
fn blocks() {
    let longs = r#"{"type": "array", "items": "long"}"#;
    let read = |datum: &[u8]| Subject::new(longs).decode::<Vec<i64>>(datum).unwrap();
    assert_eq!(read(&[4, 2, 4, 2, 6, 0]), [1, 2, 3]);
    assert_eq!(read(&[3, 4, 2, 4, 0]), [1, 2], "a block that says its length");
    for blocks in [&[4_u8, 2, 4][..], &[8, 2, 4, 0], &[3, 200, 1, 2, 4, 0], &[3, 1, 2, 4, 0]] {
        refused(longs, blocks);
    }
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    refused(longs, &[&most[..], &[0, 0]].concat());
    refused(r#"{"type": "map", "values": "long"}"#, &most);

    // Items without bytes: nothing else bounds their number.
    let nothings =
        r#"{"type": "array", "items": {"type": "record", "name": "Nothing", "fields": [{"name": "n", "type": "null"}]}}"#;
    refused(nothings, &[&most[..], &[0, 0]].concat());
    let many = [0xfe, 0xff, 0x07];
    let subject = Subject::new(nothings);
    assert!(subject.decode::<Vec<IgnoredAny>>(&[&many[..], &[0]].concat()).is_ok());
    refused(nothings, &[&many[..], &many, &[0]].concat());
    let nested = format!(r#"{{"type": "array", "items": {nothings}}}"#);
    refused(&nested, &[&[4][..], &many, &[0], &many, &[0, 0]].concat());

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Pair(i64, i64);
    let pairs = Subject::new(longs);
    assert!(pairs.decode::<Pair>(&[4, 2, 4, 0]).is_ok());
    assert!(pairs.decode::<Pair>(&[2, 2, 0]).is_err());
    assert!(pairs.decode::<Pair>(&[6, 2, 4, 6, 0]).is_err(), "no item is dropped");
}

#[test]
fn recursion() {
    let list = r#"{"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}"#;
    let subject = Subject::new(list);
    let nested = |depth| [vec![2; depth], vec![0]].concat();
    subject.decode::<Datum>(&nested(60)).unwrap();
    subject.decode::<IgnoredAny>(&nested(60)).unwrap();
    refused(list, &nested(70));
    refused(list, &nested(10_000_000));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct List {
        next: Option<Box<List>>,
    }
    let two = List {
        next: Some(Box::new(List { next: None })),
    };
    assert_eq!(subject.encode(&two).unwrap(), [2, 0]);
    assert_eq!(subject.decode::<List>(&[2, 0]).unwrap(), two);

    let endless = r#"{"type": "record", "name": "Endless", "fields": [{"name": "next", "type": "Endless"}]}"#;
    let registry = std::sync::Arc::new(MemoryRegistry::default());
    registry.register("subject", endless).unwrap();
    let error = decode_avro::<Datum>(&[0, 0, 0, 0, 1, 0], &Codec::reader(registry)).unwrap_err();
    assert!(matches!(error, WireError::Unresolvable { id: 1, .. }), "{error}");
}

#[test]
fn decimals_are_those_of_java() {
    for fixed in [false, true] {
        let subject = Subject::new(match fixed {
            false => r#"{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 3}"#,
            true => r#"{"type": "fixed", "name": "F", "size": 17, "logicalType": "decimal", "precision": 38, "scale": 3}"#,
        });
        let powers = (0..127).map(|bit| 1_i128 << bit);
        let edges = powers.flat_map(|power| [power - 1, power, -power, !power]);
        for unscaled in edges.chain([i128::MAX, i128::MIN, 9_999_999_999_999_999_999_999_999_999]) {
            let decimal = Decimal { unscaled, scale: 3 };
            let datum = subject.encode(&decimal).unwrap();
            let digits = big_endian(unscaled, fixed.then_some(17));
            let expected = subject.there(&apache_avro::types::Value::Decimal(digits.into()));
            assert_eq!(datum, expected, "{unscaled}");
            assert_eq!(subject.decode::<Decimal>(&datum).unwrap(), decimal);
        }
        assert!(
            subject.encode(&Decimal { unscaled: 1, scale: 2 }).is_err(),
            "another scale is another number"
        );
        assert!(subject.encode(&"0.001").is_err());
    }
    let subject = Subject::new(r#"{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0}"#);
    let read = |digits: &[u8]| {
        let datum = [&[2 * digits.len() as u8][..], digits].concat();
        subject.decode::<Decimal>(&datum).map(|decimal| decimal.unscaled)
    };
    // More bytes than needed are the same number.
    assert_eq!(read(&[0xff, 0xff, 0x85]).unwrap(), -123);
    assert_eq!(read(&[0xff; 40]).unwrap(), -1);
    assert_eq!(read(&[]).unwrap(), 0);
    let too_large = [&[0][..], &[0xff; 16]].concat();
    assert!(read(&too_large).is_err());
    assert!(read(&[&[0xff][..], &[0x7f; 16]].concat()).is_err());
    for other in ["bytes", "long", r#"{"type": "map", "values": "long"}"#] {
        assert!(Subject::new(other).decode::<Decimal>(&[2, 2, b'0', 2, 0]).is_err());
        assert!(Subject::new(other).encode(&Decimal { unscaled: 1, scale: 0 }).is_err());
    }
}

/// What does not fit exactly is not written.
#[test]
fn values_that_do_not_fit() {
    fn refused<T: Serialize>(schema: &str, value: T) {
        let error = Subject::new(schema).encode(&value).unwrap_err();
        assert!(matches!(error, WireError::Unencodable(_)), "{schema}: {error}");
    }
    refused("int", i64::from(i32::MAX) + 1);
    refused("long", u64::MAX);
    refused("long", i128::MIN);
    refused("long", 1.0);
    refused("double", 1);
    refused("float", 0.1_f64);
    refused("boolean", 1);
    refused("null", 1);
    refused("string", ());
    refused("string", [1_u8]);
    refused(r#"{"type": "fixed", "name": "F", "size": 3}"#, "ab");
    refused(r#"{"type": "fixed", "name": "F", "size": 3}"#, [1_u8, 2]);
    refused(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, "B");
    refused(r#"["null", "string"]"#, 1);
    refused(r#"["int", "string"]"#, None::<i32>);
    refused(
        r#"{"type": "map", "values": "int"}"#,
        std::collections::BTreeMap::from([(1, 1)]),
    );
    refused("bytes", vec![256]);
}
