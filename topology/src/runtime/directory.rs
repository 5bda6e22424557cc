//! Who has which tasks: instances announce themselves in a compacted topic of one partition, so that its order is everyone's.
//!
//! The same topic keeps two processes from running under one name, where each would fence the other's members and producers
//! without end. Each process is a run with a random name of its own. Before its workers join, a run looks whether the last one of
//! its instance's name is still there, and claims the name: the record's offset says who came first. The first stays, and the
//! other reports an error. Only a run that gave no sign of life for long, and so was taken for dead, finds a later claim: it ends.
//!
//! The same thread asks the broker where the inputs end, for the lag, and has it drop what is done from repartition topics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::{BrokerError, Outgoing, Polled, Producer, Reader, Start, TopicPartition};
use clock::Millis;
use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::instance::{Instance, Token};
use super::matching::watch_matching;
use super::parts::Parts;
use super::shared::Shared;
use super::state::clean_up;
use super::watch::watch_partitions;
use crate::error::EngineError;

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Announcement {
    address: String,
    /// Task groups that it serves.
    groups: Vec<u32>,
    at_ms: Millis,
    /// What it wants to see of other instances; none in announcements of versions that wanted nothing.
    #[serde(default)]
    token: Option<Token>,
    /// The process; none in announcements of versions that did not say.
    #[serde(default)]
    run: Option<String>,
    /// Where its state lies, see [`Backends::claim`](crate::store::Backends::claim).
    #[serde(default)]
    folder: Option<String>,
    /// The offset of the claim of its name.
    #[serde(default)]
    claim: Option<i64>,
    #[serde(default)]
    stage: Stage,
    /// The topics that it reads by pattern; none where it has no such source, and in announcements of versions that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matched: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Stage {
    /// It claims its name, and has nothing yet.
    Claims,
    #[default]
    Runs,
    /// It said goodbye.
    Ended,
}

const HEARTBEAT: Duration = Duration::from_secs(2);
/// A run of this name that does not announce itself within this, and a session, is dead: more than the heartbeat of every version.
const SIGN_OF_LIFE: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(100);
/// An instance that was silent for so long is not asked.
const SILENCE: Duration = Duration::from_secs(20);
const PURGE_PATIENCE: Duration = Duration::from_secs(5);
/// How often the inputs' partitions are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
const BOUNDS_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct Directory {
    parts: Parts,
    shared: Arc<Shared>,
    address: String,
    topic: String,
    reader: Box<dyn Reader>,
    producer: Box<dyn Producer>,
    known: HashMap<String, (i64, Announcement)>,
    /// The last announcement under this name that another run made.
    namesake: Option<(i64, Announcement)>,
    run: String,
    folder: Option<String>,
    claim: Option<i64>,
    said: Option<Announcement>,
    agreement: Agreement,
    said_at: Instant,
    bounds_at: Instant,
    counted_at: Instant,
    purged_at: Instant,
    cleaned_at: Instant,
}

impl Directory {
    /// Claims the name of this instance, unless another process runs under it.
    pub fn join(parts: Parts, shared: Arc<Shared>, address: String, folder: Option<String>) -> Result<Self, EngineError> {
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
            namesake: None,
            run: uuid::Uuid::new_v4().simple().to_string(),
            folder,
            claim: None,
            said: None,
            agreement: Agreement::default(),
            said_at: now,
            bounds_at: now,
            counted_at: now,
            purged_at: now,
            cleaned_at: now,
        };
        let patience = directory.parts.settings.broker_timeout;
        directory.read_until(patience, |_, at_end| at_end)?;
        let last = directory.namesake.take();
        if let Some((_, said)) = last.filter(|(_, said)| may_run(said, directory.folder.as_deref())) {
            tracing::warn!(
                instance = directory.parts.settings.instance,
                address = said.address,
                "a process of this name has said no goodbye, and its state is elsewhere: looking whether it still runs"
            );
            let heard = |directory: &Self| directory.namesake.as_ref().is_some_and(|(_, now)| now.run == said.run);
            // A process that sleeps answers from its state for as long as its session, should it wake.
            directory.read_for(SIGN_OF_LIFE.max(directory.parts.settings.session_timeout), heard)?;
            directory.refuse_if_taken()?;
        }
        directory.send(Vec::new(), Stage::Claims)?;
        directory.read_until(patience, |directory, _| directory.claim.is_some())?;
        // Claimed while this run looked: by one that starts at the same time, and was sooner.
        directory.refuse_if_taken()?;
        Ok(directory)
    }

    /// Announces this instance from now on, on a thread of its own: until it is to `stop`, and none of its workers
    /// runs any more. The name is free then, and not before.
    pub fn start(
        mut self,
        stop: Arc<AtomicBool>,
        any_runs: impl Fn() -> bool + Send + 'static,
    ) -> Result<JoinHandle<()>, EngineError> {
        let run = move || {
            while !stop.load(Ordering::Relaxed) || any_runs() {
                self.listen();
                if let Some(later) = self.later() {
                    // No goodbye: the name is the other's.
                    tracing::error!("{later}");
                    *self.shared.ended.lock() = Some(later);
                    stop.store(true, Ordering::Relaxed);
                    self.shared.lifecycle.has_ended();
                    return;
                }
                self.turn();
            }
            self.announce(Vec::new(), Stage::Ended);
        };
        std::thread::Builder::new()
            .name("directory".to_owned())
            .spawn(run)
            .map_err(EngineError::thread)
    }

    /// An error if another run of this name has been heard, and has claimed the name first.
    fn refuse_if_taken(&self) -> Result<(), EngineError> {
        let mut other = self.namesake.iter();
        let is_first = |(offset, said): &&(i64, Announcement)| {
            may_run(said, self.folder.as_deref()) && self.claim.is_none_or(|own| said.claim.unwrap_or(*offset) < own)
        };
        match other.find(is_first) {
            Some((_, said)) => Err(EngineError::NameTaken {
                instance: self.parts.settings.instance.clone(),
                address: said.address.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What to report if another run has taken over the name of this one.
    fn later(&self) -> Option<String> {
        let (_, said) = self.namesake.as_ref()?;
        // One that only claims the name will hear that it is taken.
        let took_over = said.stage == Stage::Runs && said.claim.is_none_or(|claim| self.claim < Some(claim));
        took_over.then(|| {
            format!(
                "the instance at {} has taken over the name {}, as this process gave no sign of life: this one ends; each instance \
                 needs a name and a state folder of its own",
                said.address, self.parts.settings.instance
            )
        })
    }

    /// Reads announcements until this is so, or fails after `patience`: the broker is away.
    fn read_until(&mut self, patience: Duration, is_so: impl Fn(&Self, bool) -> bool) -> Result<(), EngineError> {
        let until = Instant::now() + patience;
        let mut at_end = false;
        loop {
            at_end |= self.read()?;
            if is_so(self, at_end) {
                return Ok(());
            }
            if Instant::now() > until {
                let trouble = self.reader.trouble().unwrap_or_default();
                let reason = format!("the end of {} does not come {trouble}", self.topic);
                return Err(BrokerError::Unavailable(reason.trim_end().to_owned()).into());
            }
        }
    }

    /// Reads announcements for so long, or until this is so.
    fn read_for(&mut self, time: Duration, is_so: impl Fn(&Self) -> bool) -> Result<(), EngineError> {
        let until = Instant::now() + time;
        while Instant::now() < until && !is_so(self) {
            self.read()?;
        }
        Ok(())
    }

    /// Takes in announcements, waiting a moment for the first. Returns whether the end was reached.
    fn read(&mut self) -> Result<bool, BrokerError> {
        let mut polled = Polled::default();
        self.reader.poll(1000, POLL, &mut polled)?;
        for message in &polled.messages {
            let (Some(key), Some(value)) = (&message.key, &message.value) else {
                continue;
            };
            match serde_json::from_slice::<Announcement>(value) {
                Ok(said) => self.hear(String::from_utf8_lossy(key).into_owned(), message.offset, said),
                Err(error) => tracing::warn!(offset = message.offset, %error, "an announcement cannot be read"),
            }
        }
        Ok(!polled.ends.is_empty())
    }

    fn hear(&mut self, instance: String, offset: i64, said: Announcement) {
        if instance == self.parts.settings.instance {
            if said.run.as_ref() != Some(&self.run) {
                // It must hear at once that this one is here.
                self.said = None;
                self.namesake = Some((offset, said));
                return;
            }
            if said.stage == Stage::Claims {
                self.claim = Some(offset);
            }
        }
        if said.stage != Stage::Claims {
            self.known.insert(instance, (offset, said));
        }
    }

    fn listen(&mut self) {
        if let Err(error) = self.read() {
            tracing::warn!(%error, "the announcements cannot be read");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn turn(&mut self) {
        let serves = self.shared.running_groups();
        if self.said.as_ref().is_none_or(|said| said.groups != serves) || self.said_at.elapsed() > HEARTBEAT {
            self.announce(serves, Stage::Runs);
        }
        self.publish();
        if self.bounds_at.elapsed() > BOUNDS_EVERY {
            self.ask_ends();
            self.bounds_at = Instant::now();
        }
        if self.counted_at.elapsed() > COUNT_EVERY {
            if let Err(error) = watch_partitions(&self.parts, &self.shared) {
                tracing::debug!(%error, "the inputs' partitions are not known now");
            }
            self.look_for_topics();
            self.counted_at = Instant::now();
        }
        if self.cleaned_at.elapsed() > CLEAN_EVERY {
            if let Err(error) = clean_up(&self.parts, &self.shared) {
                tracing::warn!(%error, "state that is too old could not be removed; trying again");
            }
            self.cleaned_at = Instant::now();
        }
        if self.purged_at.elapsed() > self.parts.settings.repartition_purge_interval {
            self.purge();
            self.purged_at = Instant::now();
        }
    }

    /// Topics that match a source's pattern come and go.
    fn look_for_topics(&mut self) {
        if let Err(error) = watch_matching(&self.parts, &self.shared) {
            tracing::debug!(%error, "which topics match is not known now");
        }
        self.parts.plan = self.shared.plans.newest(&self.parts.plan);
        let own = self.parts.plan.matched(&self.parts.topology);
        let now_ms = self.parts.clock.now_ms();
        let name = &self.parts.settings.instance;
        let is_there = |said: &Announcement| said.stage == Stage::Runs && now_ms.since(said.at_ms) <= SILENCE;
        let others = self
            .known
            .iter()
            .filter(|(instance, (_, said))| *instance != name && is_there(said));
        let others = others.filter_map(|(instance, (_, said))| Some((instance.as_str(), said.matched.as_ref()?)));
        for how in self.agreement.look(&own.into_keys().collect(), others) {
            tracing::warn!("{how}");
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

    fn announce(&mut self, groups: Vec<u32>, stage: Stage) {
        if let Err(error) = self.send(groups, stage) {
            tracing::warn!(%error, "could not announce this instance; trying again");
        }
    }

    fn send(&mut self, groups: Vec<u32>, stage: Stage) -> Result<(), BrokerError> {
        let at_ms = self.parts.clock.now_ms();
        let said = Announcement {
            address: self.address.clone(),
            groups,
            at_ms,
            token: Some(self.shared.token.clone()),
            run: Some(self.run.clone()),
            folder: self.folder.clone(),
            claim: self.claim,
            stage,
            matched: self.matched(),
        };
        let value = serde_json::to_vec(&said).expect("plain data becomes JSON");
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(0),
            key: Some(self.parts.settings.instance.as_bytes()),
            value: Some(&value),
            timestamp_ms: at_ms.0,
            headers: &[],
        };
        self.producer.send_all(&[record])?;
        if stage == Stage::Runs {
            self.said = Some(said);
            self.said_at = Instant::now();
        }
        Ok(())
    }

    fn matched(&self) -> Option<BTreeSet<String>> {
        if self.parts.topology.patterns.is_empty() {
            return None;
        }
        let matched = self.parts.plan.matched(&self.parts.topology);
        Some(matched.into_keys().map(str::to_owned).collect())
    }

    /// The newest announcement that names a group has it.
    fn publish(&self) {
        let now_ms = self.parts.clock.now_ms();
        let mut newest: BTreeMap<u32, (i64, &Announcement)> = BTreeMap::new();
        let mut others = Vec::new();
        for (instance, (offset, said)) in &self.known {
            if now_ms.since(said.at_ms) > SILENCE {
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

/// Whether the run of this instance's name that announced itself last may still be there, as far as its words go.
fn may_run(said: &Announcement, folder: Option<&str>) -> bool {
    // The folder's lock is this process's, so whoever had it before is dead.
    let is_dead = folder.is_some() && said.folder.as_deref() == folder;
    said.stage != Stage::Ended && !is_dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_said_no_goodbye_and_has_another_folder_is_waited_for() {
        let said = |stage, folder: Option<&str>| Announcement {
            address: String::new(),
            groups: vec![1],
            at_ms: Millis(0),
            token: None,
            run: Some("r".to_owned()),
            folder: folder.map(str::to_owned),
            claim: Some(0),
            stage,
            matched: None,
        };
        let cases = [
            (Stage::Runs, Some("here"), Some("here"), false),
            (Stage::Claims, Some("here"), Some("here"), false),
            (Stage::Runs, Some("there"), Some("here"), true),
            (Stage::Claims, Some("there"), Some("here"), true),
            (Stage::Runs, None, Some("here"), true),
            (Stage::Runs, Some("there"), None, true),
            (Stage::Runs, None, None, true),
            (Stage::Ended, Some("there"), Some("here"), false),
            (Stage::Ended, None, None, false),
        ];
        for (stage, its, ours, expected) in cases {
            assert_eq!(may_run(&said(stage, its), ours), expected, "{stage:?} {its:?} {ours:?}");
        }
    }

    #[test]
    fn announcements_of_earlier_versions_are_those_of_runs_that_may_be_there() {
        let text = r#"{"address":"http://a","groups":[],"at_ms":7,"token":"t"}"#;
        let said: Announcement = serde_json::from_str(text).unwrap();
        assert_eq!((said.stage, said.run.as_ref(), said.claim), (Stage::Runs, None, None));
        assert!(may_run(&said, Some("here")));
    }
}
