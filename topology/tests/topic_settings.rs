//! What the topics of a topology are made with.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, InProcessBroker, TopicSpec};
use topology::dsl::Builder;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;
use topology::{EngineError, EngineSettings, Topic, TopicSettings, Topology};

const LINES: Topic<i64, String> = Topic::new("lines");
const COUNTS: Topic<String, i64> = Topic::new("counts");
const CHANGELOG: &str = "words-count-changelog";

fn words() -> Topology {
    let b = Builder::new("words");
    let words = b.stream(LINES).group_by(|_, word| word.clone(), "by-word");
    words.count("count").to_stream().to_compacted(COUNTS);
    b.build().unwrap()
}

fn settings(topics: &[(&str, &str)]) -> EngineSettings {
    EngineSettings {
        partitions: 2,
        topics: TopicSettings::new(topics.iter().copied()).unwrap(),
        ..EngineSettings::default()
    }
}

/// A topic as it would have to be.
fn spec(name: &str, cleanup: CleanupPolicy, settings: &[(&str, &str)]) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: 2,
        accept_existing: false,
        cleanup,
        settings: TopicSettings::new(settings.iter().copied()).unwrap(),
    }
}

fn start(topology: Topology, settings: EngineSettings, log: &InProcessBroker) -> Result<TestDriver, EngineError> {
    let log = log.clone();
    TestDriver::through(topology, settings, Arc::new(MemoryBackends::default()), |_| Arc::new(log))
}

#[test]
fn topics_are_made_with_the_engines_settings() {
    let log = InProcessBroker::new();
    let given = [("replication.factor", "3"), ("segment.bytes", "1000000")];
    start(words(), settings(&given), &log).unwrap();
    for (topic, cleanup) in [
        (LINES.name(), CleanupPolicy::Delete(None)),
        (COUNTS.name(), CleanupPolicy::Compact),
        (CHANGELOG, CleanupPolicy::Compact),
        ("words-by-word-repartition", CleanupPolicy::Delete(None)),
        ("words-dead-letters", CleanupPolicy::Delete(None)),
    ] {
        log.ensure_topics(&[spec(topic, cleanup, &given)], Duration::ZERO).unwrap();
    }
}

#[test]
fn its_own_topics_must_have_them_and_those_of_others_need_not() {
    let log = InProcessBroker::new();
    let theirs = spec(COUNTS.name(), CleanupPolicy::Compact, &[("segment.ms", "5")]);
    log.ensure_topics(&[theirs], Duration::ZERO).unwrap();
    start(words(), settings(&[("segment.ms", "1000")]), &log).unwrap();
    start(words(), settings(&[]), &log).unwrap();
    let refused = start(words(), settings(&[("segment.ms", "2000")]), &log)
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("segment.ms") && refused.contains("2000"), "{refused}");
}
