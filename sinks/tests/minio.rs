//! The sink between a real Kafka and a real object store.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, CleanupPolicy, Membership, Outgoing, TopicSpec};
use clock::{Clock, SystemClock};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::lake::{self, Depth};
use sinks::{Probe, S3Options, SinkHandle, SinkRunner, SinkSettings, Step, Table};
use support::{CrashAt, PARTITIONS, Plain, hasty, wait_for};
use testbed::Testbed;
use wire::MemoryRegistry;

/// The lake in a bucket, opened as the program opens it.
fn open(bed: &Testbed, prefix: &str) -> Arc<dyn ObjectStore> {
    let minio = bed.minio();
    let s3 = S3Options {
        endpoint: Some(minio.endpoint().to_owned()),
        access_key: Some(minio.access_key().to_owned()),
        secret_key: Some(minio.secret_key().to_owned()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
    };
    sinks::open(&format!("s3://lake/{prefix}"), &s3).unwrap()
}

#[test]
fn of_many_who_create_an_object_one_does() {
    let bed = Testbed::builder().minio().start_blocking().unwrap();
    testbed::block_on(async {
        bed.minio().create_bucket("lake").await.unwrap();
        let (store, path) = (open(&bed, "some/prefix"), Path::from("t/one.parquet"));
        let create = |content: String| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                let options = PutOptions {
                    mode: PutMode::Create,
                    ..PutOptions::default()
                };
                store.put_opts(&path, content.clone().into(), options).await.map(|_| content)
            }
        };
        let ended = futures::future::join_all((0..16).map(|i| create(format!("content {i}")))).await;
        let created: Vec<_> = ended.iter().filter_map(|end| end.as_ref().ok()).collect();
        assert_eq!(created.len(), 1, "{ended:?}");
        // Requests at the same instant may also be told to come again; none is answered that it succeeded.
        let again = create("late".to_owned()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored, created[0].as_bytes());
    });
}

/// By a multipart upload of one part, which MinIO's and S3's completion takes the condition for.
#[test]
fn of_many_who_copy_onto_a_place_one_does() {
    let bed = Testbed::builder().minio().start_blocking().unwrap();
    testbed::block_on(async {
        bed.minio().create_bucket("lake").await.unwrap();
        let (store, path) = (open(&bed, "some/prefix"), Path::from("t/one.parquet"));
        let copy = |number: usize| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                let own = Path::from(format!("_uploads/{number}"));
                store.put(&own, format!("content {number}").into()).await?;
                store.copy_if_not_exists(&own, &path).await.map(|()| number)
            }
        };
        let ended = futures::future::join_all((0..16).map(copy)).await;
        let copied: Vec<_> = ended.iter().filter_map(|end| end.as_ref().ok()).collect();
        assert_eq!(copied.len(), 1, "{ended:?}");
        let again = copy(99).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored, format!("content {}", copied[0]).as_bytes());
    });
}

/// Files of several parts, by two owners of whom one crashes at each step.
#[test]
fn large_files_are_uploaded_in_parts() {
    let mut bench = Bench::start(3);
    bench.multipart_bytes = 6 << 20;
    // 30 MB that nothing makes smaller: some 10 MB a partition, two parts.
    bench.produce_wide(3_000, 10_000);
    for step in Step::ALL {
        let name = format!("{step:?}");
        let sink = bench.sink(&name, Some(CrashAt::new(step, 1)));
        wait_for("the crash", || sink.is_finished());
        bench.produce_wide(1_000, 10_000);
    }
    let (first, second) = (bench.sink("first", None), bench.sink("second", None));
    bench.prove(&[&first, &second]);
    first.stop().unwrap();
    second.stop().unwrap();
    let listing = testbed::block_on(lake::list(bench.store.as_ref(), "records")).unwrap();
    let large = listing.files.iter().filter(|file| file.bytes > 8 << 20).count();
    assert!(large >= 1, "{:?}", listing.files);
    testbed::block_on(bench.store.head(&Path::from("_riverbank/create-only-copy"))).unwrap();
    // A crash leaves its upload, of which the next start deletes what is a day old.
    let uploads = testbed::block_on(async {
        let objects = bench.store.list(Some(&Path::from("_uploads")));
        objects.try_collect::<Vec<_>>().await.unwrap()
    });
    assert!(uploads.len() <= Step::ALL.len() * PARTITIONS as usize, "{uploads:?}");
}

struct Bench {
    bed: Testbed,
    broker: Arc<KafkaBroker>,
    store: Arc<dyn ObjectStore>,
    table: Arc<Plain>,
    rng: ChaCha8Rng,
    multipart_bytes: u64,
}

impl Bench {
    fn start(seed: u64) -> Self {
        println!("seed {seed}");
        let bed = Testbed::builder().kafka().minio().start_blocking().unwrap();
        testbed::block_on(bed.minio().create_bucket("lake")).unwrap();
        let broker = KafkaBroker::new(KafkaSettings {
            bootstrap: bed.kafka().bootstrap().to_owned(),
            ..KafkaSettings::default()
        });
        let store = open(&bed, "lake");
        let bench = Self {
            bed,
            broker: Arc::new(broker),
            store,
            table: Arc::new(Plain::new("records")),
            rng: ChaCha8Rng::seed_from_u64(seed),
            multipart_bytes: u64::MAX,
        };
        bench.create_topic();
        bench
    }

    fn create_topic(&self) {
        let spec = TopicSpec {
            name: "records".into(),
            partitions: PARTITIONS,
            accept_existing: false,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        self.broker.ensure_topics(&[spec], Duration::from_secs(60)).unwrap();
    }

    fn sink(&self, client: &str, probe: Option<Arc<dyn Probe>>) -> SinkHandle {
        let settings = SinkSettings {
            client_id: client.to_owned(),
            age_max: Duration::from_millis(300),
            put_timeout: Duration::from_secs(2),
            session_timeout: Duration::from_secs(6),
            multipart_bytes: self.multipart_bytes,
            rows_max: match self.multipart_bytes {
                u64::MAX => hasty().rows_max,
                _ => 2_000,
            },
            ..hasty()
        };
        let tables = vec![self.table.clone() as Arc<dyn Table>];
        let runner = SinkRunner::new(
            settings,
            self.broker.clone(),
            Arc::new(MemoryRegistry::default()),
            self.store.clone(),
            tables,
        );
        let runner = match probe {
            Some(probe) => runner.with_probe(probe),
            None => runner,
        };
        runner.start(&prometheus::Registry::new()).unwrap()
    }

    /// Writes records in transactions of random sizes; some are left to their end by a producer that goes away.
    fn produce(&mut self, records: u32) {
        let mut left = records;
        let timeout = Duration::from_secs(60);
        let mut producer = self.broker.transactional_producer("producer", timeout).unwrap();
        while left > 0 {
            let some = self.rng.random_range(1..=left.min(100));
            left -= some;
            producer.begin().unwrap();
            for _ in 0..some {
                let (key, value) = (self.rng.random_range(0..50).to_string(), self.rng.random::<u64>().to_string());
                let record = Outgoing {
                    topic: "records",
                    partition: None,
                    key: Some(key.as_bytes()),
                    value: Some(value.as_bytes()),
                    timestamp_ms: 1_700_000_000_000,
                    headers: &[],
                };
                producer.send(record).unwrap();
            }
            if self.rng.random_bool(0.1) {
                // Its successor aborts what it left open.
                drop(producer);
                producer = self.broker.transactional_producer("producer", timeout).unwrap();
            } else {
                producer.commit(&[], &Membership::NoGroup).unwrap();
            }
        }
    }

    /// Writes records of so many random bytes, as text.
    fn produce_wide(&mut self, records: u32, bytes: usize) {
        let mut producer = self.broker.producer("wide").unwrap();
        for _ in 0..records / 100 {
            let mut text = || (0..bytes).map(|_| char::from(self.rng.random_range(b' '..b'~'))).collect();
            let values: Vec<String> = (0..100).map(|_| text()).collect();
            let all = values.iter().map(|value| Outgoing {
                topic: "records",
                partition: None,
                key: None,
                value: Some(value.as_bytes()),
                timestamp_ms: 1_700_000_000_000,
                headers: &[],
            });
            let all: Vec<_> = all.collect();
            producer.send_all(&all).unwrap();
        }
    }

    fn look(&self) -> (u64, u64, Vec<String>) {
        let report = testbed::block_on(lake::verify(&self.store, "records", Depth::Offsets)).unwrap();
        let compared =
            lake::compare_with_log(self.broker.as_ref(), self.table.as_ref(), &report, Duration::from_secs(120)).unwrap();
        let problems = report
            .problems
            .iter()
            .chain(&compared.problems)
            .map(ToString::to_string)
            .collect();
        let rows = report.rows();
        (
            rows,
            compared.partitions.iter().map(|partition| partition.unwritten).sum(),
            problems,
        )
    }

    fn prove(&self, sinks: &[&SinkHandle]) {
        let mut rows = 0;
        let mut told = Instant::now();
        wait_for("every record is in a file", || {
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                sinks
                    .iter()
                    .for_each(|sink| println!("{:?} {:?}", sink.trouble(), sink.lag()));
            }
            let (written, unwritten, problems) = self.look();
            assert_eq!(problems, Vec::<String>::new());
            rows = written;
            unwritten == 0
        });
        println!("{rows} rows, each offset once");
        assert!(rows > 0);
    }
}

#[test]
fn crashes_and_faults_of_real_servers_are_made_good() {
    let mut bench = Bench::start(1);
    bench.produce(2_000);
    for step in Step::ALL {
        let name = format!("{step:?}");
        let sink = bench.sink(&name, Some(CrashAt::new(step, 3)));
        wait_for("the crash", || sink.is_finished());
        bench.produce(500);
    }
    let (first, second) = (bench.sink("first", None), bench.sink("second", None));
    wait_for("both have partitions", || !first.lag().is_empty() && !second.lag().is_empty());
    bench.prove(&[&first, &second]);

    // The store freezes: connections stay open, and nothing is answered.
    bench.bed.minio().pause();
    bench.produce(500);
    wait_for("trouble is reported", || {
        first
            .trouble()
            .or(second.trouble())
            .is_some_and(|trouble| trouble.contains("the store"))
    });
    assert!(!first.lag().is_empty() && !second.lag().is_empty(), "they stay members");
    bench.bed.minio().resume();
    bench.prove(&[&first, &second]);
    wait_for("trouble is over", || first.trouble().is_none() && second.trouble().is_none());

    // The store and the log die, and come back on their data.
    bench.bed.minio().kill().unwrap();
    bench.produce(500);
    bench.bed.kafka().kill().unwrap();
    let down = Instant::now();
    testbed::block_on(async {
        bench.bed.minio().start().await.unwrap();
        bench.bed.kafka().start().await.unwrap();
    });
    println!("down for {:?}", down.elapsed());
    bench.produce(500);
    bench.prove(&[&first, &second]);
    first.stop().unwrap();
    bench.produce(500);
    bench.prove(&[&second]);
    second.stop().unwrap();
    bench.prove(&[]);
}

/// Kafka deletes the group's offsets with the topic, sooner or later; what is left would be taken for the new topic's.
#[test]
fn a_topic_made_anew_on_a_real_broker_waits_for_an_operator() {
    let mut bench = Bench::start(2);
    bench.produce(500);
    let sink = bench.sink("first", None);
    bench.prove(&[&sink]);
    sink.stop().unwrap();
    let (old, ..) = bench.look();
    let id = |bench: &Bench| bench.broker.topic_ids(&["records"], Duration::from_secs(60)).unwrap()[0];
    let before = id(&bench).unwrap();
    bench
        .bed
        .kafka()
        .tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", "records"])
        .unwrap();
    wait_for("the topic is gone", || id(&bench).is_none());
    bench.create_topic();
    // More than there were: by offsets alone, the sink would go on behind the first of them.
    bench.produce(2_000);
    let after = id(&bench).unwrap();
    assert_ne!(before, after);
    let sink = bench.sink("second", None);
    wait_for("trouble is reported", || {
        sink.trouble()
            .is_some_and(|trouble| trouble.contains(&after.to_string()) && trouble.contains(&before.to_string()))
    });
    let (rows, _, problems) = bench.look();
    assert!(
        rows == old && problems.len() == 1 && problems[0].contains("made anew"),
        "{rows} rows, {problems:?}"
    );
    let broker: Arc<dyn Broker> = bench.broker.clone();
    let table: Arc<dyn Table> = bench.table.clone();
    let accepted = testbed::block_on(lake::accept(
        &bench.store,
        &broker,
        &table,
        SystemClock.now(),
        Duration::from_secs(60),
    ))
    .unwrap();
    assert!(matches!(accepted, lake::Accepted::Next(next) if next.topic_id == Some(after)));
    bench.prove(&[&sink]);
    sink.stop().unwrap();
    bench.produce(100);
    let sink = bench.sink("third", None);
    bench.prove(&[&sink]);
    sink.stop().unwrap();
}
