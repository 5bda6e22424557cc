//! Random producers on one log, beside a model of it that is a plain list: what readers and the group see must be the same after
//! each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{CommitFault, Epochs, Limits};
use broker::{Broker, BrokerError, Committed, Group, GroupOptions, InProcessBroker, TopicPartition, TransactionalProducer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::conformance::world::{Reading, World, record, seed, text};
use super::list::{IDS, Model, PARTITIONS};
use super::on_hand_moved_clock;

const STEPS: usize = 400;

/// A producer, and what the model knows of it.
struct Producer {
    inner: Box<dyn TransactionalProducer>,
    epoch: u64,
    begun: bool,
    enlisted: bool,
    failed: bool,
    buffer: Vec<(u32, u32)>,
}

impl Producer {
    /// Whether it is not fenced.
    fn flush(&mut self, model: &mut Model, id: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            return model.ids[id].epoch == self.epoch;
        }
        let Some(transaction) = model.enlist(id, self.epoch, &mut self.enlisted) else {
            return false;
        };
        buffer.sort_by_key(|(partition, _)| *partition);
        for (partition, value) in buffer {
            model.logs[partition as usize].push(Some((value, Some(transaction))));
        }
        true
    }

    /// What comes of a commit, and the fault that it meets on its way.
    fn commit(
        &mut self,
        model: &mut Model,
        id: usize,
        offset: Option<i64>,
        fault: Option<CommitFault>,
    ) -> (bool, Option<CommitFault>) {
        if !self.flush(model, id) {
            return (false, None);
        }
        if let Some(offset) = offset {
            let Some(transaction) = model.enlist(id, self.epoch, &mut self.enlisted) else {
                return (false, None);
            };
            model.offsets.push((offset, transaction));
        }
        if !self.enlisted {
            return (true, None);
        }
        if matches!(fault, Some(CommitFault::Late | CommitFault::Repeated)) {
            model.ids[id].late.push(self.epoch);
        }
        if matches!(fault, Some(CommitFault::Lost | CommitFault::Late)) {
            return (false, fault);
        }
        let accepted = model.commit(id, self.epoch, fault == Some(CommitFault::MarkersLate));
        self.epoch = model.ids[id].epoch;
        (accepted && fault != Some(CommitFault::AnswerLost), fault)
    }
}

struct Run {
    rng: ChaCha8Rng,
    broker: InProcessBroker,
    clock: Arc<AtomicU64>,
    world: World,
    topic: String,
    group: Box<dyn Group>,
    reading: Reading,
    model: Model,
    producers: BTreeMap<usize, Producer>,
    next_value: u32,
}

impl Run {
    fn start(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kip890 = rng.random_bool(0.5);
        let epochs = if kip890 { Epochs::Kip890 } else { Epochs::PerProducer };
        let limits = Limits {
            epochs,
            ..Limits::default()
        };
        let (broker, clock) = on_hand_moved_clock(limits);
        let world = World::new(Arc::new(broker.clone()), "model");
        let topic = world.topic("t", PARTITIONS);
        let group = broker.group(GroupOptions {
            group: "group".to_owned(),
            topics: Vec::new(),
            client_id: "member".to_owned(),
            member: None,
            session_timeout: Duration::from_secs(1_000_000),
        });
        let model = Model {
            kip890,
            ..Model::default()
        };
        Self {
            rng,
            broker,
            clock,
            reading: world.reader_of(&[(&topic, PARTITIONS)]),
            world,
            topic,
            group: group.unwrap(),
            model,
            producers: BTreeMap::new(),
            next_value: 0,
        }
    }

    fn step(&mut self) {
        let id = self.rng.random_range(0..IDS);
        match self.rng.random_range(0..20) {
            0 => self.plain(),
            1 => self.pass(),
            2 => self.deliver(id),
            3 => self.crash(id),
            4 => self.write_markers(id),
            5..=7 => self.service(id),
            8..=11 => self.commit(id),
            _ => self.send(id),
        }
    }

    fn value(&mut self) -> u32 {
        self.next_value += 1;
        self.next_value
    }

    fn name(&self, id: usize) -> String {
        self.world.name(&id.to_string())
    }

    fn plain(&mut self) {
        let (partition, value) = (self.rng.random_range(0..PARTITIONS), self.value());
        let text = value.to_string();
        let mut producer = self.broker.producer("plain").unwrap();
        producer.send_all(&[record(&self.topic, partition, "k", &text)]).unwrap();
        self.model.logs[partition as usize].push(Some((value, None)));
    }

    fn pass(&mut self) {
        self.model.pass(self.rng.random_range(0..8_000));
        self.clock.store(self.model.now_ms, Ordering::SeqCst);
        self.broker.tick();
    }

    fn deliver(&mut self, id: usize) {
        let late = std::mem::take(&mut self.model.ids[id].late);
        let expected: Vec<_> = late.into_iter().map(|epoch| self.model.commit(id, epoch, false)).collect();
        let answers = self.broker.transaction_faults().deliver(&self.name(id));
        let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(accepted, expected, "{answers:?}");
    }

    fn write_markers(&mut self, id: usize) {
        if self.model.ids[id].open.is_some_and(|(.., decided)| decided) {
            self.model.end(id);
        }
        self.broker.transaction_faults().write_markers(&self.name(id));
    }

    fn crash(&mut self, id: usize) {
        if let Some(mut crashed) = self.producers.remove(&id) {
            crashed.flush(&mut self.model, id);
        }
    }

    fn producer(&mut self, id: usize) -> &mut Producer {
        // Who has failed is replaced at once or later.
        let failed = self.producers.get(&id).is_some_and(|producer| producer.failed);
        if failed && self.rng.random_bool(0.5) {
            self.crash(id);
        }
        if !self.producers.contains_key(&id) {
            let inner = self.broker.transactional_producer(&self.name(id), Duration::ZERO);
            let producer = Producer {
                inner: inner.unwrap(),
                epoch: self.model.init(id),
                begun: false,
                enlisted: false,
                failed: false,
                buffer: Vec::new(),
            };
            self.producers.insert(id, producer);
        }
        self.producers.get_mut(&id).unwrap()
    }

    fn send(&mut self, id: usize) {
        let (topic, partition) = (self.topic.clone(), self.rng.random_range(0..PARTITIONS));
        let (value, epoch) = (self.value(), self.producer(id).epoch);
        let fenced = epoch != self.model.ids[id].epoch;
        let producer = self.producers.get_mut(&id).unwrap();
        if !producer.begun && !producer.failed {
            assert_eq!(producer.inner.begin().is_err(), fenced);
            (producer.begun, producer.failed) = (true, fenced);
        }
        let sent = producer.inner.send(record(&topic, partition, "k", &value.to_string()));
        assert_eq!(sent.is_ok(), !producer.failed, "{sent:?}");
        if sent.is_ok() {
            producer.buffer.push((partition, value));
        }
    }

    fn service(&mut self, id: usize) {
        let Some(producer) = self
            .producers
            .get_mut(&id)
            .filter(|producer| producer.begun && !producer.failed)
        else {
            return;
        };
        if !producer.buffer.is_empty() {
            producer.failed = !producer.flush(&mut self.model, id);
        }
        let served = producer.inner.service();
        assert_eq!(served.is_ok(), !producer.failed, "{served:?}");
    }

    fn commit(&mut self, id: usize) {
        let fault = match self.rng.random_range(0..10) {
            0 => Some(CommitFault::Lost),
            1 => Some(CommitFault::AnswerLost),
            2 => Some(CommitFault::Late),
            3 => Some(CommitFault::Repeated),
            4 => Some(CommitFault::MarkersLate),
            _ => None,
        };
        let offset = self.rng.random_bool(0.6).then(|| i64::from(self.value()));
        let (name, membership) = (self.name(id), self.group.membership().unwrap());
        let Some(producer) = self
            .producers
            .get_mut(&id)
            .filter(|producer| producer.begun && !producer.failed)
        else {
            return;
        };
        let (accepted, fault) = producer.commit(&mut self.model, id, offset, fault);
        if let Some(fault) = fault {
            self.broker.transaction_faults().next_commit(&name, fault);
        }
        let metadata = String::new();
        let offsets = offset.map(|offset| (TopicPartition::new("input", 0), Committed { offset, metadata }));
        let committed = producer.inner.commit(offsets.as_slice(), &membership);
        assert_eq!(committed.is_ok(), accepted, "{fault:?}: {committed:?}");
        (producer.begun, producer.enlisted, producer.failed) = (false, false, !accepted);
    }

    fn compare(&mut self) {
        while {
            let before = self.reading.polled.messages.len();
            self.reading.reader.poll(7, Duration::ZERO, &mut self.reading.polled).unwrap();
            self.reading.polled.messages.len() > before
        } {}
        for partition in 0..PARTITIONS {
            let (place, index) = (TopicPartition::new(self.topic.as_str(), partition), partition as usize);
            let seen = self.reading.of_slot(partition).into_iter();
            let seen: Vec<_> = seen.map(|message| (message.offset, text(&message.value))).collect();
            assert_eq!(seen, self.model.visible(index), "partition {partition}");
            let (stable, end) = (self.model.stable_end(index), self.model.logs[index].len());
            let bounds = self.reading.reader.bounds(&place, Duration::ZERO).unwrap();
            assert_eq!(bounds, (0, stable as i64));
            let ends = self.reading.polled.ends.iter();
            let reported = ends.rev().find(|(slot, _)| *slot == partition).map(|(_, end)| *end);
            if stable == end {
                assert_eq!(reported, Some(end as i64));
            } else {
                assert!(reported.is_none_or(|reported| reported <= stable as i64));
            }
        }
        let found = match self.group.committed(&[TopicPartition::new("input", 0)], Duration::ZERO) {
            Ok(found) => Some(found[0].as_ref().map(|committed| committed.offset)),
            Err(BrokerError::Unavailable(_)) => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, self.model.committed());
    }
}

#[test]
fn the_log_is_what_a_plain_list_is() {
    let first = seed();
    for seed in (0..60).map(|round| first.wrapping_add(round)) {
        let mut run = Run::start(seed);
        for step in 0..STEPS {
            let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.step();
                run.compare();
            }));
            assert!(stepped.is_ok(), "SEED={seed}, step {step}");
        }
        let open = run.model.ids.iter().filter(|id| id.open.is_some()).count();
        assert_eq!(run.broker.open_transactions(), open, "SEED={seed}");
    }
}
