//! Keys: the order of a store's bytes is that of the keys, and a topic's bytes are as Kafka's serializers write them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;

use proptest::prelude::*;
use wire::{Codec, OrderedKey, Wire};

fn ordered<K: OrderedKey>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode_ordered(&mut bytes);
    bytes
}

fn agrees<K: OrderedKey + Wire + Ord + Debug>(a: &K, b: &K) {
    assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(b), "{a:?} {b:?}");
    let bytes = ordered(a);
    let mut rest = &bytes[..];
    assert_eq!(K::decode_ordered(&mut rest).unwrap(), *a);
    assert!(rest.is_empty(), "{a:?} leaves {rest:?}");
    let mut in_topic = Vec::new();
    a.encode(&Codec::plain(), &mut in_topic).unwrap();
    assert!(K::decode(&in_topic, &Codec::plain()).unwrap() == *a);
}

/// Numbers of either size, and those around zero and at the ends.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -3..3_i64, Just(i64::MIN), Just(i64::MAX)]
}

proptest! {
    #[test]
    fn bytes_in_a_store_sort_as_the_keys_do(
        (a, b) in (number(), number()),
        (c, d) in (any::<i32>(), any::<u32>()),
        (s, t) in ("[a\\x00b]{0,3}", "[a\\x00b]{0,3}"),
    ) {
        agrees(&a, &b);
        agrees(&(a as i32), &(b as i32));
        agrees(&(a as u32), &(b as u32));
        agrees(&s, &t);
        agrees(&(a, b), &(b, a));
        agrees(&(c, a), &(c, b));
        agrees(&(s.clone(), a), &(t.clone(), b));
        agrees(&(s, d, a), &(t, d, b));
    }
}

#[test]
fn numbers_in_topics_are_as_other_clients_write_them() {
    let bytes = |key: (i64, i64)| {
        let mut bytes = Vec::new();
        key.encode(&Codec::plain(), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(
        bytes((1, -2)),
        [0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 254]
    );
}
