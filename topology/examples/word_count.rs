//! How often has each word come? `cargo run --example word_count`. README.md has this program, and a test runs it as a user's own.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use topology::dsl::Builder;
use topology::testing::Client;
use topology::{EngineError, InProcessBroker, Streams, Topic};

const LINES: Topic<i64, String> = Topic::new("lines");
const COUNTS: Topic<String, i64> = Topic::new("counts");

fn main() -> Result<(), EngineError> {
    let b = Builder::new("word-count");
    b.stream(LINES)
        .flat_map_values(|_, line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|_, word| word.clone(), "words")
        .count("counts")
        .to_stream()
        .to_compacted(COUNTS);
    // On Kafka: Streams::new(b.build()?).kafka("localhost:9092").state_dir("/var/lib/word-count").run()
    let log = Arc::new(InProcessBroker::new());
    let engine = Streams::new(b.build()?).broker(log.clone()).start()?;

    let client = Client::new(log);
    client.send(LINES, 0, &1, Some(&"To be or not to be".to_owned()))?;
    for count in client.read(COUNTS, 6, Duration::from_secs(30))? {
        println!("{}: {}", count.key, count.value.unwrap_or(0));
    }
    engine.stop();
    Ok(())
}
