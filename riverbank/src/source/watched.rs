//! What the watch knows, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use api::model::instant;
use api::{Affects, ConnectorReport, SlotReport, SourceReport, TaskReport, Trouble};
use connect::{ProblemKind, Sighting, SlotState, SourceProblem, TaskStatus};
use parking_lot::Mutex;
use topology::clock::{Clock, Micros, Millis};

use crate::config::SourceSettings;

/// A slot's state where there is no such slot.
pub(super) const MISSING: &str = "missing";

/// The newest heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub committed_at_us: Micros,
    pub lsn: Option<i64>,
    received_at_ms: Millis,
}

/// The replication slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Slot {
    /// The database was not asked, or did not answer.
    #[default]
    Unknown,
    Missing,
    Known(SlotState),
}

/// What is known; nothing at first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub heard: Option<Heard>,
    pub connector: Option<Sighting>,
    pub slot: Slot,
    /// Why the database could not be asked last.
    unanswered: Option<String>,
    /// `None` until the tables were checked.
    pub problems: Option<Vec<SourceProblem>>,
}

/// The source, as it was seen last.
pub struct Watched {
    pub(super) connector: String,
    pub(super) slot: String,
    silence_max: Duration,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

impl Watched {
    /// Knows nothing yet.
    pub fn new(settings: &SourceSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            connector: settings.connector.clone(),
            slot: settings.slot.clone(),
            silence_max: settings.silence_max,
            clock,
            known: Mutex::default(),
        }
    }

    /// A heartbeat arrived. One that is sent again after a restart is not news.
    pub fn hear(&self, committed_at_us: Micros, lsn: Option<i64>) {
        let received_at_ms = self.clock.now_ms();
        let mut known = self.known.lock();
        if known.heard.is_none_or(|heard| heard.committed_at_us < committed_at_us) {
            known.heard = Some(Heard {
                committed_at_us,
                lsn,
                received_at_ms,
            });
        }
    }

    /// The connector was looked at.
    pub fn saw_connector(&self, sighting: Sighting) {
        let mut known = self.known.lock();
        let before = known.connector.replace(sighting);
        if before != known.connector {
            let troubles = self.connector_troubles(&known);
            drop(known);
            match &troubles[..] {
                [] => tracing::info!(connector = self.connector, "the connector runs"),
                troubles => tracing::warn!(connector = self.connector, "{}", troubles.join("; ")),
            }
        }
    }

    /// The slot was looked at.
    pub fn saw_slot(&self, slot: Option<SlotState>) {
        let mut known = self.known.lock();
        known.slot = slot.map_or(Slot::Missing, Slot::Known);
        known.unanswered = None;
    }

    /// The tables were checked.
    pub fn found(&self, problems: Vec<SourceProblem>) {
        let mut known = self.known.lock();
        if known.problems.as_ref() != Some(&problems) {
            for problem in &problems {
                tracing::warn!(problem = problem.kind.as_str(), "the source: {problem}");
            }
        }
        known.problems = Some(problems);
    }

    /// The database did not answer: what was known of the slot may no longer hold.
    pub fn could_not_ask(&self, reason: &str) {
        let mut known = self.known.lock();
        known.slot = Slot::Unknown;
        if known.unanswered.as_deref() != Some(reason) {
            tracing::warn!(reason, "the source database cannot be looked at");
            known.unanswered = Some(reason.to_owned());
        }
    }

    /// What is wrong, for the readiness probe.
    pub fn troubles(&self) -> Vec<Trouble> {
        let reasons = self.reasons(&self.known());
        reasons
            .into_iter()
            .map(|reason| Trouble::new(Affects::Source, reason))
            .collect()
    }

    pub(super) fn known(&self) -> Known {
        self.known.lock().clone()
    }

    /// Since when the source was not heard. By its commit, so that a backlog counts; and by our own clock, in case the
    /// source's is ahead of it.
    pub(super) fn silence(&self, known: &Known) -> Option<Duration> {
        let heard = known.heard?;
        let now_ms = self.clock.now_ms();
        let since_commit = now_ms.since(heard.committed_at_us.to_millis());
        Some(since_commit.max(now_ms.since(heard.received_at_ms)))
    }

    fn reasons(&self, known: &Known) -> Vec<String> {
        let mut reasons = Vec::new();
        if let (Some(heard), Some(silence)) = (known.heard, self.silence(known))
            && silence > self.silence_max
        {
            reasons.push(format!(
                "the source was last heard {} s ago, at {}: what it committed since is missing",
                silence.as_secs(),
                instant(heard.committed_at_us)
            ));
        }
        reasons.extend(self.connector_troubles(known));
        reasons.extend(self.slot_trouble(known));
        let problems = known.problems.iter().flatten().filter(|problem| !problem.kind.is_advice());
        reasons.extend(problems.map(|problem| problem.reason.clone()));
        reasons.extend(held_back());
        reasons
    }

    fn connector_troubles(&self, known: &Known) -> Vec<String> {
        let name = &self.connector;
        let status = match &known.connector {
            None => return Vec::new(),
            Some(Sighting::Known(status)) => status,
            Some(Sighting::Absent) => return vec![format!("Kafka Connect knows no connector {name}")],
            Some(Sighting::Unreachable(reason)) => {
                return vec![format!("Kafka Connect cannot be asked for the connector {name}: {reason}")];
            }
        };
        let mut troubles = Vec::new();
        let mut add = |what: String, part: &TaskStatus| {
            if part.state != "RUNNING" {
                let cause = part.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
                troubles.push(format!("{what} is {}{cause}", part.state));
            }
        };
        add(format!("the connector {name}"), &status.connector);
        for task in &status.tasks {
            add(format!("task {} of the connector {name}", task.id.unwrap_or(0)), task);
        }
        if troubles.is_empty() && status.tasks.is_empty() {
            troubles.push(format!("the connector {name} has no task"));
        }
        troubles
    }

    fn slot_trouble(&self, known: &Known) -> Option<String> {
        let name = &self.slot;
        match &known.slot {
            Slot::Unknown => None,
            Slot::Missing => Some(format!("there is no replication slot {name}")),
            Slot::Known(slot) if slot.is_lost() => Some(format!(
                "the replication slot {name} is lost: what was not captured yet never will be"
            )),
            Slot::Known(slot) if !slot.is_active => Some(format!(
                "nobody reads the replication slot {name}; the database keeps {} bytes of log for it",
                slot.retained_bytes.unwrap_or(0)
            )),
            Slot::Known(_) => None,
        }
    }

    fn connector_report(&self, sighting: &Sighting) -> ConnectorReport {
        let report = |state: &str, cause: Option<&str>, tasks| ConnectorReport {
            name: self.connector.clone(),
            state: state.to_owned(),
            cause: cause.map(str::to_owned),
            tasks,
        };
        match sighting {
            Sighting::Absent => report("ABSENT", None, Vec::new()),
            Sighting::Unreachable(reason) => report("UNREACHABLE", Some(reason.as_str()), Vec::new()),
            Sighting::Known(status) => {
                let tasks = status.tasks.iter().map(|task| TaskReport {
                    id: task.id.unwrap_or(0),
                    state: task.state.clone(),
                    cause: task.cause().map(str::to_owned),
                });
                report(&status.connector.state, status.connector.cause(), tasks.collect())
            }
        }
    }

    fn slot_report(&self, slot: &Slot) -> Option<SlotReport> {
        let name = self.slot.clone();
        match slot {
            Slot::Unknown => None,
            Slot::Missing => Some(SlotReport {
                name,
                active: false,
                wal_status: MISSING.to_owned(),
                retained_bytes: None,
                safe_bytes: None,
            }),
            Slot::Known(slot) => Some(SlotReport {
                name,
                active: slot.is_active,
                wal_status: slot.wal_status.clone(),
                retained_bytes: slot.retained_bytes,
                safe_bytes: slot.safe_bytes,
            }),
        }
    }
}

impl api::SourceWatch for Watched {
    fn heard_at_us(&self) -> Option<Micros> {
        self.known.lock().heard.map(|heard| heard.committed_at_us)
    }

    fn report(&self) -> SourceReport {
        let known = self.known();
        let advice = known.problems.iter().flatten().filter(|problem| problem.kind.is_advice());
        SourceReport {
            silence_seconds: self.silence(&known).map(seconds),
            heard_at: known.heard.map(|heard| instant(heard.committed_at_us)),
            heard_lsn: known.heard.and_then(|heard| heard.lsn),
            connector: known.connector.as_ref().map(|sighting| self.connector_report(sighting)),
            slot: self.slot_report(&known.slot),
            troubles: self.reasons(&known),
            advice: advice.map(|problem| problem.reason.clone()).collect(),
        }
    }
}

/// Whole milliseconds as the nearest number to them: Duration's own conversion adds two parts, and prints 0.30000000000000004.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// Rows of this instance's tables that are shown though the last snapshot did not show them.
fn held_back() -> impl Iterator<Item = String> {
    let tables = processors::counters::held_rows().into_iter();
    let rows = tables.map(|(table, rows)| (table, rows.load(std::sync::atomic::Ordering::Relaxed)));
    rows.filter(|(_, rows)| *rows > 0).map(|(table, rows)| {
        format!(
            "the last snapshot did not show {rows} rows of {table}: they stay until another whole snapshot of the table is taken, which \
             shows them or takes them away"
        )
    })
}

/// How many problems of each kind were found.
pub(super) fn count(problems: &[SourceProblem], kind: ProblemKind) -> usize {
    problems.iter().filter(|problem| problem.kind == kind).count()
}

#[cfg(test)]
mod tests {
    use api::SourceWatch as _;
    use connect::ConnectorStatus;
    use topology::clock::ManualClock;

    use super::*;

    const NOON_MS: i64 = 1_700_000_000_000;

    fn watched() -> (Watched, ManualClock) {
        let clock = ManualClock::at(Millis(NOON_MS));
        let settings = SourceSettings {
            connector: "riverbank".to_owned(),
            slot: "riverbank".to_owned(),
            publication: "riverbank".to_owned(),
            silence_max: Duration::from_secs(60),
            look_interval: Duration::from_secs(5),
            check_interval: Duration::from_secs(60),
        };
        (Watched::new(&settings, Arc::new(clock.clone())), clock)
    }

    /// Sees that what is wrong is exactly this, by a part of each reason.
    #[track_caller]
    fn check(watched: &Watched, expected: &[&str]) {
        let reasons = watched.report().troubles;
        assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
        for (reason, part) in reasons.iter().zip(expected) {
            assert!(reason.contains(part), "{part} in {reason}");
        }
    }

    fn part(id: Option<u32>, state: &str, trace: Option<&str>) -> TaskStatus {
        TaskStatus {
            id,
            state: state.to_owned(),
            trace: trace.map(str::to_owned),
        }
    }

    #[test]
    fn silence_is_counted_from_the_commit_that_was_heard_last() {
        let (watched, clock) = watched();
        assert_eq!((watched.report().silence_seconds, watched.heard_at_us()), (None, None));
        check(&watched, &[]);
        // A commit of ten seconds ago arrives.
        watched.hear(Millis(NOON_MS - 10_000).to_micros(), Some(7));
        assert_eq!(watched.report().silence_seconds, Some(10.0));
        clock.advance(Duration::from_secs(50));
        check(&watched, &[]);
        clock.advance(Duration::from_secs(1));
        check(&watched, &["last heard 61 s ago, at 2023-11-14T22:13:10Z"]);
        // One that is sent again is no news; a new one is.
        watched.hear(Millis(NOON_MS - 10_000).to_micros(), Some(7));
        watched.hear(Millis(NOON_MS - 20_000).to_micros(), Some(5));
        assert_eq!(watched.report().silence_seconds, Some(61.0));
        watched.hear(Millis(NOON_MS + 50_000).to_micros(), Some(9));
        let report = watched.report();
        assert_eq!((report.silence_seconds, report.heard_lsn), (Some(1.0), Some(9)));
        check(&watched, &[]);
    }

    #[test]
    fn a_silence_is_printed_to_the_millisecond_at_most() {
        for millis in (0..200_000).step_by(7) {
            let printed = serde_json::json!(seconds(Duration::from_millis(millis))).to_string();
            let places = printed.split_once('.').map_or(0, |(_, places)| places.len());
            assert!(places <= 3, "{printed}");
        }
    }

    #[test]
    fn a_source_whose_clock_is_ahead_falls_silent_all_the_same() {
        let (watched, clock) = watched();
        watched.hear(Millis(NOON_MS + 3_600_000).to_micros(), None);
        assert_eq!(watched.report().silence_seconds, Some(0.0));
        clock.advance(Duration::from_secs(61));
        check(&watched, &["last heard 61 s ago"]);
    }

    #[test]
    fn a_task_that_failed_under_a_running_connector_is_told_with_its_cause() {
        let (watched, _) = watched();
        let status = |task| ConnectorStatus {
            connector: part(None, "RUNNING", None),
            tasks: vec![task],
        };
        watched.saw_connector(Sighting::Known(status(part(Some(0), "RUNNING", None))));
        check(&watched, &[]);
        let trace = "a.Outer: wrapped\n\tat x\nCaused by: b.Inner: too large\n\tat y";
        watched.saw_connector(Sighting::Known(status(part(Some(0), "FAILED", Some(trace)))));
        check(&watched, &["task 0 of the connector riverbank is FAILED: b.Inner: too large"]);
        let report = watched.report().connector.expect("a connector");
        assert_eq!((report.state.as_str(), report.cause), ("RUNNING", None));
        assert_eq!(report.tasks[0].cause.as_deref(), Some("b.Inner: too large"));

        watched.saw_connector(Sighting::Known(ConnectorStatus {
            connector: part(None, "RUNNING", None),
            tasks: Vec::new(),
        }));
        check(&watched, &["has no task"]);
        watched.saw_connector(Sighting::Absent);
        check(&watched, &["knows no connector riverbank"]);
        watched.saw_connector(Sighting::Unreachable("connection refused".to_owned()));
        check(&watched, &["cannot be asked for the connector riverbank: connection refused"]);
    }

    #[test]
    fn slot_and_tables_are_told_and_advice_is_no_trouble() {
        let (watched, _) = watched();
        let slot = |is_active, wal_status: &str| SlotState {
            is_active,
            wal_status: wal_status.to_owned(),
            retained_bytes: Some(4096),
            safe_bytes: None,
        };
        watched.saw_slot(Some(slot(true, "extended")));
        check(&watched, &[]);
        watched.saw_slot(Some(slot(false, "reserved")));
        check(
            &watched,
            &["nobody reads the replication slot riverbank; the database keeps 4096 bytes"],
        );
        watched.saw_slot(Some(slot(false, "lost")));
        check(&watched, &["riverbank is lost"]);
        watched.saw_slot(None);
        check(&watched, &["there is no replication slot riverbank"]);
        watched.could_not_ask("away");
        check(&watched, &[]);
        assert_eq!(watched.report().slot, None);

        let problem = |kind, reason: &str| SourceProblem {
            kind,
            reason: reason.to_owned(),
        };
        watched.found(vec![
            problem(ProblemKind::NotPublished, "customers is not published"),
            problem(ProblemKind::NanPossible, "amount can hold NaN"),
        ]);
        check(&watched, &["customers is not published"]);
        assert_eq!(watched.report().advice, ["amount can hold NaN"]);
        assert!(watched.troubles().iter().all(|trouble| trouble.affects == Affects::Source));
    }
}
