//! The watch's metrics, made at each scrape from what is known then.

use std::sync::Arc;

use connect::{ProblemKind, Sighting};
use parking_lot::Mutex;
use prometheus::core::{Collector as Collects, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts};

use super::watched::{Known, MISSING, Slot, Watched, count};

/// A connector's or a task's states, as the metrics name them.
const STATES: [&str; 8] = [
    "running",
    "failed",
    "paused",
    "stopped",
    "unassigned",
    "restarting",
    "absent",
    "unreachable",
];
const WAL_STATUSES: [&str; 5] = ["reserved", "extended", "unreserved", "lost", MISSING];

/// Serves them.
pub(super) struct Collector {
    watched: Arc<Watched>,
    /// Two scrapes at once would mix their figures.
    turn: Mutex<()>,
    silence: Gauge,
    heard_lsn: Gauge,
    connector: GaugeVec,
    task: GaugeVec,
    slot_active: GaugeVec,
    slot_wal_status: GaugeVec,
    slot_retained: GaugeVec,
    slot_safe: GaugeVec,
    problems: GaugeVec,
}

impl Collector {
    pub(super) fn new(watched: Arc<Watched>) -> Result<Self, prometheus::Error> {
        let labelled = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            watched,
            turn: Mutex::default(),
            silence: Gauge::new(
                "riverbank_source_silence_seconds",
                "Seconds since the source was last heard through the whole way; absent until it was.",
            )?,
            heard_lsn: Gauge::new(
                "riverbank_source_heard_lsn",
                "Position in the source's log of the newest heartbeat that was heard.",
            )?,
            connector: labelled(
                "riverbank_connector_state",
                "1 for the connector's state in Kafka Connect, 0 for the others.",
                &["connector", "state"],
            )?,
            task: labelled(
                "riverbank_connector_task_state",
                "1 for the state of a task of the connector, 0 for the others.",
                &["connector", "task", "state"],
            )?,
            slot_active: labelled(
                "riverbank_slot_active",
                "Whether the connector reads its replication slot now.",
                &["slot"],
            )?,
            slot_wal_status: labelled(
                "riverbank_slot_wal_status",
                "1 for the replication slot's wal_status, 0 for the others.",
                &["slot", "status"],
            )?,
            slot_retained: labelled(
                "riverbank_slot_retained_bytes",
                "Bytes of log that the source database keeps for the slot.",
                &["slot"],
            )?,
            slot_safe: labelled(
                "riverbank_slot_safe_bytes",
                "Bytes of log that may still be written before the slot is lost; absent where nothing limits it.",
                &["slot"],
            )?,
            problems: labelled(
                "riverbank_source_problems",
                "What is not as it should be in the source database, by kind.",
                &["problem"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collects; 9] {
        [
            &self.silence,
            &self.heard_lsn,
            &self.connector,
            &self.task,
            &self.slot_active,
            &self.slot_wal_status,
            &self.slot_retained,
            &self.slot_safe,
            &self.problems,
        ]
    }

    fn fill_connector(&self, known: &Known) {
        self.connector.reset();
        self.task.reset();
        let name = self.watched.connector.as_str();
        let state = match &known.connector {
            None => return,
            Some(Sighting::Absent) => "absent".to_owned(),
            Some(Sighting::Unreachable(_)) => "unreachable".to_owned(),
            Some(Sighting::Known(status)) => status.connector.state.to_lowercase(),
        };
        one_of(&state, &STATES, |state, value| {
            self.connector.with_label_values(&[name, state]).set(value);
        });
        if let Some(Sighting::Known(status)) = &known.connector {
            for task in &status.tasks {
                let id = task.id.unwrap_or(0).to_string();
                one_of(&task.state.to_lowercase(), &STATES[..6], |state, value| {
                    self.task.with_label_values(&[name, id.as_str(), state]).set(value);
                });
            }
        }
    }

    fn fill_slot(&self, known: &Known) {
        for gauge in [&self.slot_active, &self.slot_wal_status, &self.slot_retained, &self.slot_safe] {
            gauge.reset();
        }
        let name = self.watched.slot.as_str();
        let (is_active, status) = match &known.slot {
            Slot::Unknown => return,
            Slot::Missing => (false, MISSING),
            Slot::Known(slot) => {
                if let Some(bytes) = slot.retained_bytes {
                    self.slot_retained.with_label_values(&[name]).set(bytes as f64);
                }
                if let Some(bytes) = slot.safe_bytes {
                    self.slot_safe.with_label_values(&[name]).set(bytes as f64);
                }
                (slot.is_active, slot.wal_status.as_str())
            }
        };
        self.slot_active
            .with_label_values(&[name])
            .set(f64::from(u8::from(is_active)));
        one_of(status, &WAL_STATUSES, |status, value| {
            self.slot_wal_status.with_label_values(&[name, status]).set(value);
        });
    }
}

impl Collects for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(|part| part.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock();
        let known = self.watched.known();
        self.fill_connector(&known);
        self.fill_slot(&known);
        if let Some(problems) = &known.problems {
            for kind in ProblemKind::ALL {
                let found = count(problems, kind) as f64;
                self.problems.with_label_values(&[kind.as_str()]).set(found);
            }
        }
        let mut families: Vec<MetricFamily> = self.all()[2..].iter().flat_map(|part| part.collect()).collect();
        // A silence of 0 would be a lie where nothing was ever heard.
        if let Some(silence) = self.watched.silence(&known) {
            self.silence.set(silence.as_secs_f64());
            families.extend(self.silence.collect());
        }
        if let Some(lsn) = known.heard.and_then(|heard| heard.lsn) {
            self.heard_lsn.set(lsn as f64);
            families.extend(self.heard_lsn.collect());
        }
        // A family without a series is no family to the text format.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// Sets the one that holds to 1 and the others to 0; an unknown state is reported, too.
fn one_of(holds: &str, all: &[&str], set: impl Fn(&str, f64)) {
    for state in all {
        set(state, f64::from(u8::from(*state == holds)));
    }
    if !all.contains(&holds) {
        set(holds, 1.0);
    }
}
