//! Workers that come and go, pause and go on, and what a listener hears of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{Broker, InProcessBroker};
use topology::dsl::Builder;
use topology::store::{KeyValue, Timestamped};
use topology::testing::{Client, TestDriver};
use topology::{Engine, EngineSettings, EngineState, Millis, Streams, Topology};
use wire::Topic;

const WORDS: Topic<i64, String> = Topic::new("words");
const COUNTS: Topic<String, i64> = Topic::new("counts");
const COUNTED: KeyValue<String, Timestamped<i64>> = KeyValue::new("counts");
const SOON: Duration = Duration::from_secs(30);

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn topology() -> Topology {
    let b = Builder::new("count");
    b.stream(WORDS)
        .group_by(|_, word: &String| word.clone(), "words")
        .count("counts")
        .to_stream()
        .to(COUNTS);
    b.build().expect("the topology is right")
}

fn count_words(broker: &Arc<dyn Broker>) -> Engine {
    let settings = EngineSettings {
        partitions: 4,
        ..EngineSettings::default()
    };
    let streams = Streams::new(topology()).broker(broker.clone()).settings(settings);
    streams.start().expect("the log is in this process")
}

#[test]
fn a_paused_engine_processes_nothing_answers_and_goes_on() {
    let mut driver = TestDriver::new(topology()).unwrap();
    let word = "river".to_owned();
    let send = |driver: &mut TestDriver, at_ms| {
        driver.send(WORDS, at_ms, &1, Some(&word));
        driver.drain(COUNTS).len()
    };
    assert_eq!(send(&mut driver, 1), 1);
    driver.pause(true);
    assert_eq!(send(&mut driver, 2), 0);
    driver.advance_wall_clock(Duration::from_secs(60));
    assert_eq!(send(&mut driver, 3), 0);
    assert_eq!(
        driver.view(COUNTED),
        [(word.clone(), Timestamped::new(1, Millis(1)))],
        "it answers"
    );
    driver.restart().unwrap();
    driver.settle();
    assert_eq!(driver.drain(COUNTS).len(), 2, "a new process has not heard of the pause");
    driver.pause(true);
    driver.queue(WORDS, 4, &1, Some(&word));
    driver.settle();
    assert_eq!(driver.drain(COUNTS).len(), 0);
    driver.pause(false);
    driver.settle();
    assert_eq!(driver.drain(COUNTS).len(), 1);
}

#[test]
fn workers_come_and_go_and_a_listener_hears_of_it() {
    let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
    let engine = count_words(&broker);
    let heard: Arc<Mutex<Vec<EngineState>>> = Arc::default();
    let to = heard.clone();
    engine.on_state_change(move |now, _| to.lock().unwrap().push(now));
    until("it runs", || engine.state() == EngineState::Running);
    let client = Client::new(broker.clone());
    let send = |n: i64| client.send(WORDS, n, &n, Some(&format!("word {n}"))).unwrap();
    let counted = |count| client.read(COUNTS, count, SOON).unwrap().len() == count;
    assert_eq!(engine.add_worker().unwrap(), 1);
    until("the second worker has its share", || engine.state() == EngineState::Running);
    (0..100).for_each(send);
    assert!(counted(100), "both count");
    assert_eq!(engine.remove_worker(), Some(1));
    until("the first has all again", || engine.state() == EngineState::Running);
    (100..200).for_each(send);
    assert!(counted(200), "the first counts the rest");
    assert_eq!(engine.trouble(), Vec::<String>::new());
    engine.stop();
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.last(), Some(&EngineState::NotRunning), "{heard:?}");
    assert!(heard.contains(&EngineState::Rebalancing), "{heard:?}");
    assert!(heard.windows(2).all(|pair| pair[0] != pair[1]), "{heard:?}");
}
