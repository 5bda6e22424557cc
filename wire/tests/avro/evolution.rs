//! Types that are not quite the writer's: fields more and less, in another order, by another name; Rust's enums.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Subject;

const WRITER: &str = r#"{"type": "record", "name": "Writer", "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["FIRST", "SECOND"]}, "default": "SECOND"},
    {"name": "flags", "type": {"type": "array", "items": "boolean"}, "default": [true]},
    {"name": "inner", "type": {"type": "record", "name": "Inner", "fields": [
        {"name": "count", "type": "int", "default": 3}, {"name": "raw", "type": "bytes", "default": "\u00ff"}]}, "default": {}},
    {"name": "last", "type": ["null", "Inner"]}]}"#;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    First,
    Second,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Inner {
    count: i32,
    raw: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Whole {
    id: i64,
    note: Option<String>,
    kind: Kind,
    flags: Vec<bool>,
    inner: Inner,
    last: Option<Inner>,
}

fn whole() -> Whole {
    let inner = |count| Inner {
        count,
        raw: vec![1, 2, 255],
    };
    Whole {
        id: -5,
        note: Some("note".to_owned()),
        kind: Kind::First,
        flags: vec![true, false],
        inner: inner(300),
        last: Some(inner(-300)),
    }
}

/// Reads what a whole one was written as.
fn read<T: DeserializeOwned>() -> Result<T, wire::WireError> {
    let subject = Subject::new(WRITER);
    subject.decode(&subject.encode(&whole())?)
}

/// Writes a part, and reads it as a whole one.
fn completed<T: Serialize>(part: &T) -> Result<Whole, wire::WireError> {
    let subject = Subject::new(WRITER);
    subject.decode(&subject.encode(part)?)
}

#[test]
fn fields_are_matched_by_name() {
    assert_eq!(read::<Whole>().unwrap(), whole());

    #[derive(Debug, PartialEq, Deserialize)]
    struct Reordered {
        last: Option<Inner>,
        id: i32,
        kind: String,
    }
    let expected = Reordered {
        last: whole().last,
        id: -5,
        kind: "FIRST".to_owned(),
    };
    assert_eq!(read::<Reordered>().unwrap(), expected);
}

#[test]
fn what_the_writer_lacks() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct More {
        id: i64,
        optional: Option<String>,
        #[serde(default)]
        defaulted: u32,
    }
    let expected = More {
        id: -5,
        optional: None,
        defaulted: 0,
    };
    assert_eq!(read::<More>().unwrap(), expected);

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "never made")]
    struct Demanding {
        id: i64,
        demanded: String,
    }
    let error = read::<Demanding>().unwrap_err().to_string();
    assert!(error.contains("demanded"), "{error}");
}

#[test]
fn aliases() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Aliased {
        #[serde(alias = "id")]
        number: i64,
        #[serde(alias = "kind", alias = "sort")]
        species: Kind,
    }
    let expected = Aliased {
        number: -5,
        species: Kind::First,
    };
    assert_eq!(read::<Aliased>().unwrap(), expected);

    // All names are there, and in order; but a name and its alias are both fields, which no struct can hold.
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "never made")]
    struct Twice {
        #[serde(alias = "b")]
        a: i64,
        c: i64,
    }
    let long = |name: &str| format!(r#"{{"name": "{name}", "type": "long"}}"#);
    let fields = ["a", "b", "c"].map(long).join(",");
    let subject = Subject::new(&format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#));
    assert!(subject.decode::<Twice>(&[2, 4, 6]).is_err());
}

#[test]
fn flattened_and_generic() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Head {
        id: i64,
        note: Option<String>,
        kind: Kind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        flags: Vec<bool>,
        #[serde(flatten)]
        head: Head,
        inner: Inner,
        last: Option<Inner>,
    }
    let flat: Flat = read().unwrap();
    assert_eq!((flat.head.id, &flat.head.kind), (-5, &Kind::First));
    assert_eq!(completed(&flat).unwrap(), whole());
}

#[test]
fn missing_fields_are_written_as_their_defaults() {
    #[derive(Serialize)]
    struct Part {
        last: Option<Inner>,
        id: i64,
    }
    let written = completed(&Part {
        last: whole().last,
        id: -5,
    });
    let expected = Whole {
        note: None,
        kind: Kind::Second,
        flags: vec![true],
        inner: Inner {
            count: 3,
            raw: vec![255],
        },
        ..whole()
    };
    assert_eq!(written.unwrap(), expected);
    #[derive(Serialize)]
    struct First {
        id: i64,
    }
    assert_eq!(completed(&First { id: -5 }).unwrap(), Whole { last: None, ..expected });

    #[derive(Serialize)]
    struct WithoutId {
        note: Option<String>,
    }
    #[derive(Serialize)]
    struct Unknown {
        id: i64,
        unknown: i64,
    }
    assert!(completed(&WithoutId { note: None }).is_err());
    assert!(completed(&Unknown { id: 1, unknown: 1 }).is_err());
}

#[test]
fn unions_are_enums() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Any {
        Null,
        Long(i64),
        String(String),
        Array(Vec<i32>),
        Inner { count: i32 },
    }
    let subject = Subject::new(
        r#"["null", "long", "string", {"type": "array", "items": "int"},
            {"type": "record", "name": "Inner", "fields": [{"name": "count", "type": "int"}]}]"#,
    );
    let values = [
        Any::Null,
        Any::Long(-1),
        Any::String("text".to_owned()),
        Any::Array(vec![1, 2]),
        Any::Inner { count: 7 },
    ];
    for (index, value) in values.iter().enumerate() {
        let datum = subject.encode(value).unwrap();
        assert_eq!(usize::from(datum[0]), 2 * index);
        assert_eq!(&subject.decode::<Any>(&datum).unwrap(), value);
    }
    assert_eq!(subject.decode::<Option<String>>(&[4, 2, b'a']).unwrap().as_deref(), Some("a"));
    assert_eq!(subject.decode::<Option<String>>(&[0]).unwrap(), None);
    // A value goes in as what it fits best.
    assert_eq!(subject.encode(&Some("a")).unwrap(), [4, 2, b'a']);
    assert_eq!(subject.encode(&7_i64).unwrap(), [2, 14]);
    assert_eq!(subject.encode(&vec![7]).unwrap(), [6, 2, 14, 0]);
    assert!(subject.encode(&7.0).is_err());
}
