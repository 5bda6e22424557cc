//! Who has which tasks: instances announce themselves in a compacted topic of one partition, so that its order is everyone's.
//!
//! The same thread asks the broker where the inputs end, for the lag, and has it drop what is done from repartition topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::{Outgoing, Polled, Producer, Reader, Start, TopicPartition};
use serde::{Deserialize, Serialize};

use super::instance::{Instance, Token};
use super::shared::Shared;
use super::worker::Parts;
use crate::error::EngineError;

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Announcement {
    address: String,
    /// Task groups that it serves.
    groups: Vec<u32>,
    at_ms: i64,
    /// What it wants to see of other instances; none in announcements of versions that wanted nothing.
    #[serde(default)]
    token: Option<Token>,
}

const HEARTBEAT: Duration = Duration::from_secs(5);
/// An instance that was silent for so long is not asked.
const SILENCE_MS: i64 = 20_000;
const PURGE_PATIENCE: Duration = Duration::from_secs(5);
const BOUNDS_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct Directory {
    parts: Parts,
    shared: Arc<Shared>,
    address: String,
    topic: String,
    reader: Box<dyn Reader>,
    producer: Box<dyn Producer>,
    known: HashMap<String, (i64, Announcement)>,
    said: Option<Announcement>,
    said_at: Instant,
    bounds_at: Instant,
    purged_at: Instant,
}

impl Directory {
    pub fn start(
        parts: Parts,
        shared: Arc<Shared>,
        address: String,
        stop: Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, EngineError> {
        let topic = parts.topology.instances_topic();
        let client = format!("{}-{}-directory", parts.topology.application(), parts.settings.instance);
        let mut reader = parts.broker.reader(&client)?;
        reader.assign(&TopicPartition::new(topic.as_str(), 0), Start::Earliest)?;
        let producer = parts.broker.producer(&client)?;
        let now = Instant::now();
        let mut directory = Self {
            parts,
            shared,
            address,
            topic,
            reader,
            producer,
            known: HashMap::new(),
            said: None,
            said_at: now,
            bounds_at: now,
            purged_at: now,
        };
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                directory.turn();
            }
            directory.announce(Vec::new());
        };
        std::thread::Builder::new()
            .name("directory".to_owned())
            .spawn(run)
            .map_err(|e| EngineError::Topology(e.to_string()))
    }

    fn turn(&mut self) {
        let mut polled = Polled::default();
        if let Err(error) = self.reader.poll(1000, Duration::from_millis(100), &mut polled) {
            tracing::warn!(%error, "the announcements cannot be read");
            std::thread::sleep(Duration::from_millis(200));
        }
        for message in &polled.messages {
            let (Some(key), Some(value)) = (&message.key, &message.value) else {
                continue;
            };
            match serde_json::from_slice::<Announcement>(value) {
                Ok(said) => {
                    self.known
                        .insert(String::from_utf8_lossy(key).into_owned(), (message.offset, said));
                }
                Err(error) => tracing::warn!(offset = message.offset, %error, "an announcement cannot be read"),
            }
        }
        let serves = self.shared.running_groups();
        if self.said.as_ref().is_none_or(|said| said.groups != serves) || self.said_at.elapsed() > HEARTBEAT {
            self.announce(serves);
        }
        self.publish();
        if self.bounds_at.elapsed() > BOUNDS_EVERY {
            self.ask_ends();
            self.bounds_at = Instant::now();
        }
        if self.purged_at.elapsed() > self.parts.settings.repartition_purge_interval {
            self.purge();
            self.purged_at = Instant::now();
        }
    }

    /// Only this engine reads a repartition topic, so what its group has committed is done.
    fn purge(&self) {
        let inputs = self.shared.inputs.lock();
        let done = inputs
            .iter()
            .filter(|(place, status)| status.committed > 0 && self.parts.topology.is_repartition(&place.topic));
        let done: Vec<_> = done.map(|(place, status)| (place.clone(), status.committed)).collect();
        drop(inputs);
        if !done.is_empty()
            && let Err(error) = self.parts.broker.delete_records(&done, PURGE_PATIENCE)
        {
            tracing::warn!(%error, "what is done could not be deleted from the repartition topics; trying again");
        }
    }

    fn announce(&mut self, groups: Vec<u32>) {
        let at_ms = self.parts.clock.now_ms();
        let said = Announcement {
            address: self.address.clone(),
            groups,
            at_ms,
            token: Some(self.shared.token.clone()),
        };
        let value = serde_json::to_vec(&said).expect("plain data becomes JSON");
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(0),
            key: Some(self.parts.settings.instance.as_bytes()),
            value: Some(&value),
            timestamp_ms: at_ms,
            headers: &[],
        };
        match self.producer.send_all(&[record]) {
            Ok(()) => {
                self.said = Some(said);
                self.said_at = Instant::now();
            }
            Err(error) => tracing::warn!(%error, "could not announce this instance; trying again"),
        }
    }

    /// The newest announcement that names a group has it.
    fn publish(&self) {
        let now_ms = self.parts.clock.now_ms();
        let mut newest: BTreeMap<u32, (i64, &Announcement)> = BTreeMap::new();
        let mut others = Vec::new();
        for (instance, (offset, said)) in &self.known {
            if now_ms - said.at_ms > SILENCE_MS {
                continue;
            }
            if *instance != self.parts.settings.instance && !said.groups.is_empty() {
                others.push(said.address.clone());
            }
            for group in &said.groups {
                let held = newest.entry(*group).or_insert((*offset, said));
                if held.0 <= *offset {
                    *held = (*offset, said);
                }
            }
        }
        others.sort();
        others.dedup();
        // Who announced no token cannot be asked: the group counts as nobody's.
        let owner = |said: &Announcement| {
            let token = said.token.clone()?;
            let address = said.address.clone();
            Some(Instance { address, token })
        };
        *self.shared.owners.write() = newest
            .into_iter()
            .filter_map(|(group, (_, said))| Some((group, owner(said)?)))
            .collect();
        *self.shared.others.write() = others;
    }

    fn ask_ends(&mut self) {
        let inputs: Vec<TopicPartition> = self.shared.inputs.lock().keys().cloned().collect();
        for input in inputs {
            match self.reader.bounds(&input, Duration::from_secs(2)) {
                Ok((_, end)) => {
                    if let Some(status) = self.shared.inputs.lock().get_mut(&input) {
                        status.end = status.end.max(end);
                    }
                }
                Err(error) => {
                    tracing::debug!(%input, %error, "its end is not known");
                    return;
                }
            }
        }
    }
}
