//! Topics that come and go while they are read.

use std::time::Duration;

use broker::{Broker, TopicPartition};
use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::testing::TestDriver;
use topology::{EngineSettings, OffsetReset, QueryError, Topic, TopicPattern};

use crate::operator::set_offset;
use crate::support::{ORDERS, SEEN, Sum, TOTAL, look, look_twice, orders, reasons, start, start_beside, sums, topics_read};

#[test]
fn an_application_without_a_topic_starts_and_waits() {
    let mut driver = start(sums(ORDERS), &[]);
    assert!(driver.queries().readiness().ready, "{:?}", reasons(&driver));
    let queries = driver.queries();
    let answer = queries.get(TOTAL, &1);
    assert!(
        matches!(answer, Err(QueryError::NotReady { store: "total", .. })),
        "{answer:?}"
    );
    assert_eq!(queries.page(TOTAL, None, 9, |_, _| true).unwrap().value, []);
    look(&mut driver);
    driver.restart().unwrap();
    assert!(driver.queries().readiness().ready, "{:?}", reasons(&driver));

    // What was written before it is found is read, and there are as many tasks as it has partitions.
    driver.make_topic(orders("a"), 3);
    for key in 0..30 {
        driver.queue(orders("a"), 1, &key, Some(&1));
    }
    look(&mut driver);
    assert_eq!(driver.view(TOTAL), (0..30).map(|key| (key, 1)).collect::<Vec<_>>());
    let queries = driver.queries();
    assert_eq!(queries.get(TOTAL, &7).unwrap().value, Some(1));
    assert_eq!(queries.page(TOTAL, None, 99, |_, _| true).unwrap().value.len(), 30);
    // As many as the settings say, whatever comes: the fourth has no task.
    assert_eq!((queries.groups(), queries.groups_total()), (vec![0, 1, 2, 3], 4));
    for restart in 1..3 {
        driver.restart().unwrap();
        driver.send(orders("a"), 1, &7, Some(&1));
        assert_eq!(driver.queries().get(TOTAL, &7).unwrap().value, Some(1 + restart));
    }
}

#[test]
fn two_that_come_at_once_agree_on_the_number_of_tasks() {
    let mut driver = start(sums(ORDERS), &[]);
    driver.make_topic(orders("b"), 3);
    driver.make_topic(orders("c"), 2);
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["orders-b"]);
    // Whatever comes later: the changelog has three.
    assert!(driver.broker().delete_topic("orders-b"));
    look_twice(&mut driver);
    assert_eq!(topics_read(&mut driver), [] as [String; 0]);
    assert!(reasons(&driver).join("; ").contains("orders, which keeps state, has 3 tasks"));
    driver.make_topic(orders("d"), 3);
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["orders-d"]);
}

#[test]
fn a_topic_that_comes_is_taken_up_and_what_is_under_way_counts_once() {
    let mut driver = start(sums(ORDERS), &[("orders-a", 2)]);
    for round in 0..50 {
        let (a, new) = (orders("a"), orders(&"z".repeat(round + 1)));
        driver.queue(a, 1, &1, Some(&1));
        driver.queue(a, 1, &2, Some(&1));
        // However far these are when the plan changes.
        driver.turns(0, round % 7);
        driver.make_topic(new, 2);
        driver.queue(new, 1, &1, Some(&1_000));
        look(&mut driver);
        let rounds = round as i64 + 1;
        assert_eq!(driver.view(TOTAL), [(1, 1_001 * rounds), (2, rounds)], "round {round}");
    }
    driver.crash().unwrap();
    look(&mut driver);
    assert_eq!(driver.view(TOTAL), [(1, 50_050), (2, 50)]);
    assert_eq!(reasons(&driver), [] as [String; 0]);
}

#[test]
fn other_sub_topologies_go_on_undisturbed() {
    let b = Builder::new("beside");
    let other = KeyValue::<i64, i64>::new("other");
    let numbers = Topic::<i64, i64>::new("numbers");
    b.stream(numbers).process("other", other, || Sum).rekeyed().for_each(|_| {});
    b.stream_matching(ORDERS)
        .process("sum", TOTAL, || Sum)
        .rekeyed()
        .for_each(|_| {});
    let mut driver = start(b.build().unwrap(), &[]);
    driver.send(numbers, 1, &1, Some(&1));
    driver.queue(numbers, 1, &1, Some(&1));
    driver.make_topic(orders("a"), 4);
    driver.queue(orders("a"), 1, &1, Some(&7));
    look(&mut driver);
    assert_eq!((driver.view(other), driver.view(TOTAL)), (vec![(1, 2)], vec![(1, 7)]));
}

#[test]
fn a_named_source_decides_on_the_tasks_that_it_shares() {
    let b = Builder::new("joined");
    let names = Topic::<i64, i64>::new("names");
    let factors = b.table(names, "names");
    b.stream_matching(ORDERS)
        .join(&factors, |_, order, factor| order * factor)
        .process("sum", TOTAL, || Sum)
        .rekeyed()
        .for_each(|_| {});
    let settings = EngineSettings {
        partitions: 3,
        ..EngineSettings::default()
    };
    let mut driver = start_beside(b.build().unwrap(), settings, &[], |_| {}).unwrap();
    driver.send(names, 1, &1, Some(&10));
    for (of, partitions) in [("a", 3), ("b", 4)] {
        driver.make_topic(orders(of), partitions);
        driver.queue(orders(of), 2, &1, Some(&7));
    }
    look(&mut driver);
    assert_eq!(driver.view(TOTAL), [(1, 70)]);
    assert!(
        reasons(&driver)
            .join("; ")
            .contains("topic orders-b matches, and is not read")
    );
}

#[test]
fn each_topic_begins_where_the_pattern_says() {
    let before = |reset| {
        let mut driver = start(sums(ORDERS.offset_reset(reset)), &[("orders-a", 1)]);
        let new = orders("b");
        driver.make_topic(new, 1);
        // The driver's clock begins at 1,700,000,000,000.
        for (hours_ago, value) in [(3, 1), (1, 10), (0, 100)] {
            driver.queue(new, 1_700_000_000_000 - hours_ago * 3_600_000, &1, Some(&value));
        }
        look(&mut driver);
        driver.send(new, 1, &1, Some(&1_000));
        driver.restart().unwrap();
        driver.send(new, 1, &1, Some(&10_000));
        look(&mut driver);
        driver.view(TOTAL)
    };
    let two_hours = Duration::from_secs(2 * 3_600);
    assert_eq!(before(OffsetReset::Earliest), [(1, 11_111)]);
    assert_eq!(before(OffsetReset::ByDuration(two_hours)), [(1, 11_110)]);
    assert_eq!(before(OffsetReset::Latest), [(1, 11_000)]);
}

#[test]
fn a_topic_that_goes_is_let_go() {
    let mut driver = start(sums(ORDERS), &[("orders-a", 2), ("orders-b", 2)]);
    for of in ["a", "b"] {
        driver.send(orders(of), 1, &1, Some(&1));
    }
    assert!(driver.broker().delete_topic("orders-b"));
    driver.watch_topics().unwrap();
    // Once is no proof.
    driver.turns(0, 20);
    assert_eq!(driver.queries().lag().len(), 4);
    look(&mut driver);
    assert_eq!(topics_read(&mut driver), ["orders-a"]);
    driver.send(orders("a"), 1, &1, Some(&1));
    driver.crash().unwrap();
    assert_eq!(driver.view(TOTAL), [(1, 3)]);
    assert_eq!(reasons(&driver), [] as [String; 0]);

    // All of them go. The state waits in its changelog.
    assert!(driver.broker().delete_topic("orders-a"));
    look_twice(&mut driver);
    assert_eq!(topics_read(&mut driver), [] as [String; 0]);
    assert!(driver.queries().readiness().ready, "{:?}", reasons(&driver));
    driver.make_topic(orders("d"), 2);
    look(&mut driver);
    driver.send(orders("d"), 1, &1, Some(&1));
    assert_eq!(driver.view(TOTAL), [(1, 4)]);
}

#[test]
fn a_topic_that_no_longer_matches_keeps_its_offset() {
    let wide = ORDERS;
    let narrow = TopicPattern::new("orders", "orders-a");
    let mut driver = start(sums(wide), &[("orders-a", 2), ("orders-b", 2)]);
    for of in ["a", "b"] {
        driver.send(orders(of), 1, &1, Some(&1));
    }
    driver.deploy(sums(narrow)).unwrap();
    assert_eq!(topics_read(&mut driver), ["orders-a"]);
    for of in ["a", "b"] {
        driver.send(orders(of), 1, &1, Some(&10));
    }
    assert_eq!(driver.view(TOTAL), [(1, 12)]);
    driver.crash().unwrap();
    assert_eq!(reasons(&driver), [] as [String; 0]);
    // It goes on where it was left.
    driver.deploy(sums(wide)).unwrap();
    assert_eq!(driver.view(TOTAL), [(1, 22)]);
    assert_eq!(reasons(&driver), [] as [String; 0]);
}

#[test]
fn partitions_that_come_to_a_topic_stop_its_sub_topology_until_a_restart() {
    let mut driver = start(sums(ORDERS), &[("orders-a", 2)]);
    driver.make_topic(orders("b"), 2);
    look(&mut driver);
    driver.broker().add_partitions("orders-b", 3, Duration::ZERO).unwrap();
    let why = driver.watch_partitions().unwrap().join("; ");
    assert!(
        why.contains("topic orders-b has 3 partitions, and had 2 at the start"),
        "{why}"
    );
    // It stays so, whatever else comes.
    driver.make_topic(orders("c"), 2);
    look(&mut driver);
    driver.send(orders("a"), 1, &1, Some(&1));
    assert_eq!(driver.view(TOTAL), []);
}

#[test]
fn the_position_of_an_answer_names_each_topic() {
    let mut driver = start(sums(ORDERS), &[("orders-a", 1), ("orders-b", 1)]);
    driver.send(orders("a"), 1, &1, Some(&1));
    driver.send(orders("b"), 1, &1, Some(&1));
    driver.send(orders("b"), 1, &1, Some(&1));
    let answer = driver.queries().get(TOTAL, &1).unwrap();
    let offsets: Vec<(&str, i64)> = answer
        .position
        .offsets
        .iter()
        .map(|(topic, offset)| (&**topic, *offset))
        .collect();
    assert_eq!((answer.value, offsets), (Some(3), vec![("orders-a", 1), ("orders-b", 2)]));
}

#[test]
fn a_topic_that_is_made_anew_is_another() {
    let mut driver = start(sums(ORDERS), &[("orders-a", 2), ("orders-b", 2)]);
    for (looks, value) in [(0, 1), (1, 10), (2, 100)] {
        for of in ["a", "b"] {
            driver.send(orders(of), 1, &1, Some(&value));
        }
        // Before anybody looks, between two looks, and after it was let go.
        assert!(driver.broker().delete_topic("orders-b"));
        (0..looks).for_each(|_| driver.watch_topics().unwrap());
        driver.make_topic(orders("b"), 2);
        driver.queue(orders("b"), 1, &1, Some(&(5 * value)));
        look_twice(&mut driver);
        assert_eq!(reasons(&driver), [] as [String; 0], "after {looks} looks");
        let total = 7 * (1..=looks).fold(1, |sum, power| sum + 10_i64.pow(power));
        assert_eq!(driver.view(TOTAL), [(1, total)], "after {looks} looks");
    }
    driver.crash().unwrap();
    driver.settle();
    assert_eq!(driver.view(TOTAL), [(1, 777)]);
}

/// Between its deletion and the next look, what was read may be committed under its name, which is another's by then.
#[test]
fn what_is_committed_of_a_topic_that_is_gone_says_nothing_of_its_successor() {
    const B: &str = "orders-b";
    let mut in_doubt = 0;
    for turns in 0..12 {
        let mut driver = start(sums(ORDERS), &[("orders-a", 1), (B, 1)]);
        driver.send(orders("b"), 1, &1, Some(&1));
        for _ in 0..5 {
            driver.queue(orders("b"), 1, &1, Some(&1));
        }
        driver.turns(0, turns);
        assert!(driver.broker().delete_topic(B));
        driver.make_topic(orders("b"), 1);
        let new = |driver: &TestDriver| {
            driver
                .view(TOTAL)
                .iter()
                .find(|(key, _)| *key == 2)
                .map_or(0, |(_, total)| *total)
        };
        let counted =
            |driver: &mut TestDriver| driver.drain(SEEN).into_iter().filter(|seen| seen.value == Some(7)).count() as i64;
        for round in 0..2 {
            (0..9).for_each(|_| driver.queue(orders("b"), 1, &2, Some(&7)));
            // In some rounds what is read goes by the name, into the new one.
            driver.turns(0, turns % 3 * (1 + round));
        }
        for _ in 0..2 {
            driver.watch_topics().unwrap();
        }
        driver.turns(0, 50);
        let mut expected = 18 * 7;
        let why = reasons(&driver).join("; ");
        if !why.is_empty() {
            assert!(
                why.contains("topic orders-b was made anew while it was read"),
                "after {turns} turns: {why}"
            );
            in_doubt += 1;
            expected += counted(&mut driver) * 7;
            set_offset(driver.broker(), "sums", TopicPartition::new(B, 0), 0);
            driver.restart().unwrap();
        }
        driver.settle();
        assert_eq!(reasons(&driver), [] as [String; 0], "after {turns} turns");
        assert_eq!(new(&driver), expected, "after {turns} turns: {why}");
        driver.restart().unwrap();
        driver.settle();
        assert_eq!(new(&driver), expected, "after {turns} turns and a restart: {why}");
    }
    assert!((1..12).contains(&in_doubt), "{in_doubt} of 12");
}

/// One that waits for its topic holds up no other, and the topic is let go whatever is wrong with others.
#[test]
fn while_a_topic_is_gone_the_others_are_read() {
    let b = Builder::new("sums");
    b.stream_matching(ORDERS).for_each(|_| {});
    let numbers = Topic::<i64, i64>::new("numbers");
    b.stream(numbers).process("sum", TOTAL, || Sum).to(SEEN);
    let mut driver = start(b.build().unwrap(), &[("orders-a", 2), ("orders-b", 2)]);
    driver.send(orders("b"), 1, &1, Some(&1));
    driver.queue(orders("b"), 1, &1, Some(&1));
    driver.turns(0, 1);
    assert!(driver.broker().delete_topic("orders-b"));
    for value in 1..=20 {
        driver.queue(numbers, 1, &1, Some(&value));
        driver.turns(0, 20);
    }
    assert_eq!(driver.view(TOTAL), [(1, 210)]);
    assert!(driver.broker().delete_topic("seen"));
    look_twice(&mut driver);
    assert_eq!(topics_read(&mut driver), ["numbers", "orders-a"]);
}
