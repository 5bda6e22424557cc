//! Which topics are read.

use topology::dsl::Builder;
use topology::testing::{Client, TestDriver};
use topology::{EngineSettings, Millis, Topic, TopicPattern};

use crate::support::{ORDERS, SEEN, Sum, TOTAL, look, metric, orders, read, reasons, start, start_beside, sums, topics_read};

#[test]
fn one_source_reads_all_that_match_each_partition_by_its_task() {
    let topics = [
        ("orders-a", 2),
        ("orders-b", 2),
        ("orders", 2),
        ("orders-", 2),
        ("old-orders-a", 2),
        ("orders-a1", 2),
    ];
    let mut driver = start(sums(ORDERS), &topics);
    let places = ["orders-a", "orders-b"].map(|topic| [(topic.to_owned(), 0), (topic.to_owned(), 1)]);
    assert_eq!(read(&mut driver), places.concat());
    for key in 0..20 {
        driver.queue(orders("a"), key, &key, Some(&1));
        driver.queue(orders("b"), key, &key, Some(&10));
        driver.queue(Topic::<i64, i64>::new("orders"), key, &key, Some(&100));
    }
    driver.settle();
    // Equal keys of both meet.
    assert_eq!(driver.view(TOTAL), (0..20).map(|key| (key, 11)).collect::<Vec<_>>());
    let mut seen: Vec<String> = driver.drain(SEEN).into_iter().map(|record| record.key).collect();
    assert_eq!(seen.len(), 40);
    seen.sort();
    let first = |of: &str| seen.iter().find(|place| place.starts_with(of)).map(String::as_str);
    assert_eq!(
        ["orders-a-0", "orders-a-1", "orders-b-0", "orders-b-1"].map(first),
        ["orders-a-0@0", "orders-a-1@0", "orders-b-0@0", "orders-b-1@0"].map(Some)
    );
    // What is no order is a dead letter of its own topic.
    driver.send_bytes("orders-b", 9, Some(b"junk"), Some(b"junk"));
    let letters = metric(&driver, "test_dead_letter_records_total");
    assert_eq!(letters, [("orders-b".to_owned(), 1.0)]);
}

#[test]
fn records_of_all_of_them_come_in_the_order_of_their_extracted_times() {
    let b = Builder::new("times");
    b.stream_matching_at(ORDERS, |_, value, _| Millis(*value))
        .process("sum", TOTAL, || Sum)
        .to(SEEN);
    let settings = EngineSettings::default();
    let topics = [("orders-a", 1), ("orders-b", 1), ("orders-c", 1)];
    let mut driver = start_beside(b.build().unwrap(), settings, &topics, |log| {
        let client = Client::new(log);
        for (of, times) in [("a", [1, 5, 7]), ("b", [2, 3, 9]), ("c", [4, 6, 8])] {
            for at_ms in times {
                client.send(orders(of), 100, &1, Some(&at_ms)).unwrap();
            }
        }
    })
    .unwrap();
    let mut seen: Vec<_> = driver.drain_bytes(SEEN.name());
    seen.sort_by_key(|message| message.timestamp_ms);
    let seen = seen.iter().map(|message| {
        let value = i64::from_be_bytes(message.value.as_deref().unwrap().try_into().unwrap());
        let place = String::from_utf8(message.key.as_deref().unwrap().to_vec()).unwrap();
        (message.timestamp_ms, value, place.replace("orders-", ""))
    });
    let place = |at_ms: i64, of: &str, offset: usize| (at_ms, at_ms, format!("{of}-0@{offset}"));
    let expected = [
        place(1, "a", 0),
        place(2, "b", 0),
        place(3, "b", 1),
        place(4, "c", 0),
        place(5, "a", 1),
        place(6, "c", 1),
        place(7, "a", 2),
        place(8, "c", 2),
        place(9, "b", 2),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    // Stream time never went back.
    assert!(driver.view(TOTAL) == [(1, 45)]);
}

#[test]
fn what_is_the_applications_own_is_never_read() {
    let everything = TopicPattern::<i64, i64>::new("everything", ".*");
    let b = Builder::new("own");
    b.stream_matching(everything)
        .group_by(|key, _| key % 3, "by-three")
        .count("counts");
    let mut driver = start(b.build().unwrap(), &[("a", 2), ("own-orders", 2)]);
    driver.send_bytes("a", 1, Some(b"junk"), Some(b"junk"));
    driver.send(Topic::<i64, i64>::new("own-orders"), 1, &1, Some(&1));
    look(&mut driver);
    driver.restart().unwrap();
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["a", "own-by-three-repartition", "own-orders"]);
    let letters = driver.drain_bytes("own-dead-letters").len();
    assert_eq!(letters, 1);
    // Those of another application are somebody's topics.
    driver.make_topic(Topic::<i64, i64>::new("other-counts-changelog"), 2);
    look(&mut driver);
    assert_eq!(
        topics_read(&mut driver),
        ["a", "other-counts-changelog", "own-by-three-repartition", "own-orders"]
    );
}

#[test]
fn a_topic_is_read_by_one_source_or_refused() {
    let refused = |other: &dyn Fn(&Builder)| {
        let b = Builder::new("twice");
        b.stream_matching(ORDERS).for_each(|_| {});
        other(&b);
        b.build().err().map(|error| error.to_string()).unwrap_or_default()
    };
    let named = refused(&|b| b.stream(orders("a")).for_each(|_| {}));
    assert!(
        named.contains("topic orders-a is read by its name, and matches the pattern of orders"),
        "{named}"
    );
    let same_name = refused(&|b| b.stream(Topic::<i64, i64>::new("orders")).for_each(|_| {}));
    assert!(same_name.contains("two nodes are named orders.source"), "{same_name}");
    let none = refused(&|b| b.stream_matching(TopicPattern::<i64, i64>::new("x", "a(")).for_each(|_| {}));
    assert!(none.contains("the pattern of x is none"), "{none}");

    // Whether two patterns overlap, only the topics show.
    let two = || {
        let b = Builder::new("twice");
        b.stream_matching(ORDERS).for_each(|_| {});
        b.stream_matching(TopicPattern::<i64, i64>::new("north", ".*-north"))
            .for_each(|_| {});
        b.build().unwrap()
    };
    let mut driver = start(two(), &[("orders-a", 2), ("x-north", 2)]);
    driver.make_topic(orders("north"), 2);
    driver.make_topic(orders("south"), 2);
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["orders-a", "orders-south", "x-north"]);
    let why = "topic orders-north matches the patterns of orders and of north";
    assert_eq!(reasons(&driver), [why]);
    assert_eq!(metric(&driver, "test_matching_topics_refused"), [(String::new(), 1.0)]);
    let error = driver.deploy(two()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn the_topology_shows_the_pattern() {
    let text = sums(ORDERS).to_string();
    assert!(text.contains("Sub-topology: 0 (orders)"), "{text}");
    assert!(text.contains("Source: orders.source (topics: orders-[a-z]+)"), "{text}");
    assert!(sums(ORDERS).to_dot().contains(r#""orders.source" [shape=cds]"#));
}

#[test]
fn topics_of_unequal_partitions_meet_nowhere_without_state_and_are_refused_with() {
    let topics = [("orders-a", 2), ("orders-b", 3)];
    let b = Builder::new("stateless");
    b.stream_matching(ORDERS).rekeyed().to(Topic::<i64, i64>::new("out"));
    let mut driver = start(b.build().unwrap(), &topics);
    assert_eq!(read(&mut driver).len(), 5);
    // The group is to have more to share.
    driver.make_topic(orders("c"), 7);
    look(&mut driver);
    assert_eq!(read(&mut driver).len(), 12);
    assert_eq!(driver.queries().groups(), (0..7).collect::<Vec<_>>());
    for key in 0..40 {
        driver.queue(orders("c"), 1, &key, Some(&key));
    }
    driver.settle();
    assert_eq!(driver.drain(Topic::<i64, i64>::new("out")).len(), 40);

    let error = start_beside(sums(ORDERS), EngineSettings::default(), &topics, |_| {}).err();
    let error = error.unwrap().to_string();
    assert!(error.contains(r#"{"orders-a": 2, "orders-b": 3}"#), "{error}");
    // While it runs, what is read goes on.
    let mut driver: TestDriver = start(sums(ORDERS), &topics[..1]);
    driver.make_topic(orders("b"), 3);
    driver.make_topic(orders("c"), 2);
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["orders-a", "orders-c"]);
    let why = reasons(&driver).join("; ");
    assert!(
        why.contains("topic orders-b matches, and is not read: it has 3 partitions, and orders, which keeps state, has 2 tasks"),
        "{why}"
    );
    driver.send(orders("a"), 1, &1, Some(&1));
    driver.send(orders("c"), 1, &1, Some(&1));
    assert_eq!(driver.view(TOTAL), [(1, 2)]);
    assert!(driver.broker().delete_topic("orders-b"));
    look(&mut driver);
    assert_eq!(reasons(&driver), [] as [String; 0]);
    assert_eq!(metric(&driver, "test_matching_topics_refused"), [(String::new(), 0.0)]);
}
