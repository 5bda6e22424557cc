//! A bank in this process, whose books are audited, and somebody who writes into them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Outgoing;
use riverbank::audit::{Audit, Check, Kept, Patience, Source};
use riverbank::config::{Purpose, Settings, Sources};
use riverbank::open::log::Log;
use riverbank::open::records;
use riverbank::running::Running;
use simulator::{Pace, Profile, RecordTarget, SimulatedBank, drive};
use system_of_record::InProcess;
use tokio_util::sync::CancellationToken;
use wire::{Codec, Topic, Wire};

pub const READY: Duration = Duration::from_secs(180);
/// Long enough for what is still on its way.
pub const SETTLE: Patience = Patience {
    settle: Duration::from_secs(120),
    arrive: Duration::ZERO,
};
/// For what is known to differ, and goes on differing.
pub const AT_ONCE: Patience = Patience {
    settle: Duration::from_millis(300),
    arrive: Duration::ZERO,
};

/// A bank with some history, in this process.
pub struct Bank {
    _folder: tempfile::TempDir,
    pub settings: Settings,
    pub log: Log,
    records: Arc<InProcess>,
}

impl Bank {
    /// Whose topics have so many partitions.
    pub async fn open(partitions: u32) -> (Self, Running) {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path(), partitions);
        let log = Log::in_process(folder.path().join("schemas")).expect("a log");
        let records = records::in_process(&log).await.expect("a system of record");
        let running = Running::start(&settings, &log, records.clone(), prometheus::Registry::new())
            .await
            .expect("it starts");
        let started = Instant::now();
        while !running.queries().readiness().ready {
            assert!(started.elapsed() < READY, "not ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lanes = SimulatedBank::lanes(7, Profile::default(), 4);
        let pace = Pace {
            rate: None,
            count: Some(600),
            run_for: None,
            stop: CancellationToken::new(),
        };
        drive(lanes, Arc::new(RecordTarget::new(records.clone())), pace)
            .await
            .expect("the simulated bank works");
        let bank = Self {
            _folder: folder,
            settings,
            log,
            records,
        };
        (bank, running)
    }

    /// With all that it keeps from the start.
    pub fn audit(&self) -> Audit {
        self.audit_of(Kept {
            histories_from_start: true,
            ..Kept::default()
        })
    }

    pub fn audit_of(&self, kept: Kept) -> Audit {
        Audit::new(&self.log, Source::InProcess(self.records.clone()), kept).expect("the topics are there")
    }

    /// Writes to a topic's first partition what nobody should have written.
    pub fn emit<K: Wire, V: Wire>(&self, topic: Topic<K, V>, key: K, value: Option<&V>) {
        self.emit_to(topic, 0, key, value);
    }

    /// The same, to a partition.
    pub fn emit_to<K: Wire, V: Wire>(&self, topic: Topic<K, V>, partition: u32, key: K, value: Option<&V>) {
        let registry = self.log.registry.clone();
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        key.encode(&Codec::plain(), &mut key_bytes).expect("a key");
        if let Some(value) = value {
            let codec = Codec::register::<V>(registry, &topic.value_subject()).expect("the value's schema");
            value.encode(&codec, &mut value_bytes).expect("a value");
        }
        let record = Outgoing {
            topic: topic.name(),
            partition: Some(partition),
            key: Some(&key_bytes),
            value: value.map(|_| value_bytes.as_slice()),
            timestamp_ms: 1,
            headers: &[],
        };
        let mut producer = self.log.broker.producer("vandal").expect("a producer");
        producer.send_all(&[record]).expect("it is written");
    }
}

fn settings(folder: &std::path::Path, partitions: u32) -> Settings {
    let path = |name: &str| folder.join(name).display().to_string();
    let flags = [
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("state.dir", path("state")),
        ("sink.url", path("lake")),
        ("sink.age_max", "1s".to_owned()),
        ("engine.threads", "1".to_owned()),
        ("engine.partitions", partitions.to_string()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    Settings::load(&sources, Purpose::Run).expect("the settings are right")
}

pub fn problems(checks: &[Check]) -> Vec<&str> {
    checks.iter().flat_map(|check| &check.problems).map(String::as_str).collect()
}

/// Each of these, and nothing else, is what is wrong.
#[track_caller]
pub fn check(checks: &[Check], expected: &[&str]) {
    let problems = problems(checks);
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for part in expected {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part} in {problems:#?}"
        );
    }
}
