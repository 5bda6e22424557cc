//! Gold tables beside a plain recomputation over the source's rows: random histories of accounts and transactions, which come late, twice, in
//! any interleaving, and with crashes between them. At each quiet point each table has exactly the rows that the source says.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says its seed")]

#[path = "../support/mod.rs"]
mod support;

mod facts;
mod model;
mod world;

use world::World;

const SEEDS: u64 = 8;
const QUIET_POINTS: usize = 20;
const STEPS: usize = 25;

#[test]
fn gold_is_what_the_source_says() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = given.map_or_else(|| (0..SEEDS).map(|_| rand::random()).collect(), |seed| vec![seed]);
    let mut rows = 0;
    for seed in seeds {
        println!("SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..QUIET_POINTS {
            for _ in 0..STEPS {
                world.step();
            }
            rows += world.check();
        }
        world.empty();
        assert_eq!(world.check(), 0, "an empty bank has no rows");
    }
    assert!(rows > 4_000, "only {rows} rows were compared");
}
