use std::collections::HashMap;
use std::sync::Arc;

use broker::{Broker, Membership};
use rand::{RngExt, SeedableRng};

use super::world::{World, record, seed, text};

const PARTITIONS: u32 = 3;
const PRODUCERS: u32 = 4;
const TRANSFERS: u32 = 40;

/// Several producers move money between accounts, two records per transfer, many transfers per transaction; some die amid
/// theirs. While they do, a reader follows. In the end every transfer is there as a whole or not at all, once, in its
/// producer's order, and those that were reported as committed are there.
pub fn money_is_conserved(broker: Arc<dyn Broker>) {
    let seed = seed();
    let world = World::new(broker, "hammer");
    let topic = world.topic("t", PARTITIONS);
    let mut reading = world.reader_of(&[(&topic, PARTITIONS)]);
    let committed: Vec<String> = std::thread::scope(|scope| {
        let (world, topic) = (&world, topic.as_str());
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| scope.spawn(move || transfer(world, topic, number, seed)))
            .collect();
        while !producers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            reading
                .reader
                .poll(7, std::time::Duration::from_millis(20), &mut reading.polled)
                .unwrap();
        }
        producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect()
    });
    reading.until_count(2 * committed.len());
    reading.until_ends();

    let mut parts: HashMap<String, (i64, u32)> = HashMap::new();
    let mut last: HashMap<(u32, String), u32> = HashMap::new();
    for message in &reading.polled.messages {
        let (name, amount) = (text(&message.key), text(&message.value).parse::<i64>().unwrap());
        let (producer, number) = name.split_once('#').unwrap();
        let entry = parts.entry(name.clone()).or_default();
        *entry = (entry.0 + amount, entry.1 + 1);
        let number = number.parse::<u32>().unwrap();
        let before = last.insert((message.slot, producer.to_owned()), number);
        assert!(
            before.is_none_or(|before| before <= number),
            "SEED={seed}: {name} came after {before:?}"
        );
    }
    for (name, (sum, count)) in &parts {
        assert_eq!((*sum, *count), (0, 2), "SEED={seed}: {name} is not whole");
    }
    let mut seen: Vec<_> = parts.into_keys().collect();
    let mut committed = committed;
    seen.sort();
    committed.sort();
    assert_eq!(seen, committed, "SEED={seed}");
}

/// Returns the names of the transfers whose transactions committed.
fn transfer(world: &World, topic: &str, producer: u32, seed: u64) -> Vec<String> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ u64::from(producer));
    let mut committed = Vec::new();
    let mut writer = world.transactions(&format!("writer-{producer}"));
    let mut number = 0;
    for _ in 0..TRANSFERS {
        writer.begin().unwrap();
        let mut names = Vec::new();
        for _ in 0..rng.random_range(1..20) {
            let (name, amount) = (format!("{producer}#{number}"), rng.random_range(1..1_000_000_i64));
            number += 1;
            for amount in [amount, -amount] {
                let partition = rng.random_range(0..PARTITIONS);
                writer.send(record(topic, partition, &name, &amount.to_string())).unwrap();
            }
            // So that the transactions of several producers lie between each other.
            if rng.random_bool(0.3) {
                writer.service().unwrap();
            }
            names.push(name);
        }
        if rng.random_bool(0.1) {
            writer.service().unwrap();
            writer = world.transactions(&format!("writer-{producer}"));
        } else {
            writer.commit(&[], &Membership::NoGroup).unwrap();
            committed.extend(names);
        }
    }
    committed
}
