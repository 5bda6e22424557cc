//! The notifier's work, turn by turn. Times come with the calls, so that tests move the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use object_store::path::Path;

use super::lake::{Lake, LakeError};
use super::ledger::Ledger;
use super::memory::{Batch, Memory, Offer};
use super::metrics::Metrics;
use super::offers::{Offers, TableLag};
use super::reconcile::{Found, Reconciler};
use super::settings::NotifierSettings;
use super::watch::{News, Watch};
use crate::snowflake::snowpipe::Pipes;
use crate::snowflake::{ApiError, PipeName};

/// Footers that are read at once.
const LOOKS: usize = 16;
/// How many failures in a row are trouble; a fault that lasts is from the first one on.
const TROUBLE_AFTER: u32 = 3;
/// How long a range may lack a day before that day's file is looked for, and between two such looks.
const LACKS_AFTER: Duration = Duration::from_secs(30);
/// After how long that is trouble.
const LACKS_MAX: Duration = Duration::from_secs(3600);
/// Ranges that are named as missing.
const NAMED_MAX: usize = 3;

/// What may fail by itself, and is tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Footers,
    Listing,
    Ledger,
    Pipe(PipeName),
    Reports(PipeName),
}

impl Way {
    fn label(&self) -> &'static str {
        match self {
            Self::Footers => "footer",
            Self::Listing => "listing",
            Self::Ledger => "ledger",
            Self::Pipe(_) => "insert_files",
            Self::Reports(_) => "report",
        }
    }
}

/// The faults of a way since it last went well.
#[derive(Debug)]
struct Fault {
    failures: u32,
    until: Timestamp,
    reason: String,
    lasts: bool,
}

/// A notifier's work.
pub struct Worker {
    settings: NotifierSettings,
    lake: Arc<dyn Lake>,
    pipes: Arc<dyn Pipes>,
    ledger: Path,
    offers: Offers,
    metrics: Metrics,
    memory: Memory,
    reconciler: Reconciler,
    watch: Watch,
    faults: BTreeMap<Way, Fault>,
    /// Files whose footers are not theirs.
    damaged: BTreeMap<String, String>,
    has_more_to_list: bool,
    next_listing: Timestamp,
    next_missing: Timestamp,
    next_reports: Timestamp,
    next_save: Timestamp,
    unsaved: bool,
}

impl Worker {
    /// Goes on where the ledger says that an earlier one ended.
    pub async fn open(
        settings: NotifierSettings,
        lake: Arc<dyn Lake>,
        pipes: Arc<dyn Pipes>,
        ledger: Path,
        offers: Offers,
        metrics: Metrics,
    ) -> Result<Self, LakeError> {
        let found = Ledger::load(lake.as_ref(), &ledger).await?;
        settings.pipes.keys().for_each(|table| metrics.introduce(table));
        Ok(Self {
            memory: Memory::new(settings.clone(), found.received()),
            reconciler: Reconciler::new(settings.clone(), found.listed_to),
            watch: Watch::new(found.pipes, found.failures),
            faults: BTreeMap::new(),
            damaged: BTreeMap::new(),
            has_more_to_list: false,
            next_listing: Timestamp::MIN,
            next_missing: Timestamp::MIN,
            next_reports: Timestamp::MIN,
            next_save: Timestamp::MIN,
            unsaved: false,
            settings,
            lake,
            pipes,
            ledger,
            offers,
            metrics,
        })
    }

    /// Does what is due. Returns whether more is to be done at once.
    pub async fn turn(&mut self, now: Timestamp) -> bool {
        self.take_offers(now);
        self.look(now).await;
        self.report(now).await;
        self.list(now).await;
        self.ask(now).await;
        self.save(now).await;
        self.show(now);
        self.has_more_to_list && self.may_list(now) || self.memory.has_named() && self.may(&Way::Footers, now)
    }

    /// Whether there is room for what a listing finds, and the store answers.
    fn may_list(&self, now: Timestamp) -> bool {
        self.memory.files() < self.settings.files_max && self.may(&Way::Listing, now)
    }

    fn take_offers(&mut self, now: Timestamp) {
        let (files, overflowed) = self.offers.take();
        for file in files {
            if self.memory.offer(&file, now) == Offer::Full {
                self.reconciler.overflowed(&file.table);
            }
        }
        overflowed.iter().for_each(|table| self.reconciler.overflowed(table));
        if self.next_missing <= now {
            self.next_missing = now + LACKS_AFTER;
            for file in self.memory.missing_files(now, LACKS_AFTER) {
                self.memory.offer(&file, now);
            }
        }
    }

    /// Reads the footers of files that were named.
    async fn look(&mut self, now: Timestamp) {
        if !self.may(&Way::Footers, now) {
            return;
        }
        let files = self.memory.to_look_at(LOOKS);
        let looks = join_all(files.iter().map(|file| self.lake.look(file))).await;
        let mut result = Ok(());
        for (file, look) in files.into_iter().zip(looks) {
            match look {
                Ok(Some(seen)) => {
                    self.damaged.remove(&file.to_string());
                    self.memory.seen(&file, &seen, now);
                }
                Ok(None) => self.memory.gone(&file),
                Err(LakeError::Damaged { reason, .. }) => {
                    self.memory.gone(&file);
                    tracing::error!(%file, reason, "the file is not what its name says, and is not reported to Snowflake");
                    self.damaged.insert(file.to_string(), reason);
                }
                Err(error) => {
                    self.memory.again(file);
                    result = Err(error.to_string());
                }
            }
        }
        self.went(Way::Footers, result.map_err(|reason| (reason, false)), now);
    }

    /// Reports files to Snowflake.
    async fn report(&mut self, now: Timestamp) {
        let faults = &self.faults;
        let may = |pipe: &PipeName| faults.get(&Way::Pipe(pipe.clone())).is_none_or(|fault| fault.until <= now);
        let batches = self.memory.batches(now, may);
        let requests = batches.iter().map(|batch| {
            let (pipes, staged) = (self.pipes.clone(), batch.staged());
            async move { pipes.insert_files(&batch.pipe, &staged).await }
        });
        let ended = join_all(requests).await;
        for (batch, ended) in batches.into_iter().zip(ended) {
            let way = Way::Pipe(batch.pipe.clone());
            match ended {
                Ok(()) => self.received(&batch, now),
                Err(_) => self.memory.failed(batch),
            }
            self.went(way, ended.map_err(of_api), now);
        }
    }

    fn received(&mut self, batch: &Batch, now: Timestamp) {
        self.memory.accepted(batch);
        self.watch.received(batch, now);
        self.unsaved = true;
        if let Some(table) = batch.files.first().map(|waiting| &waiting.file.table) {
            let files = batch.files.len() as u64;
            self.metrics.notified.with_label_values(&[table]).inc_by(files);
            tracing::debug!(pipe = %batch.pipe, files, "Snowflake has received files");
        }
    }

    /// Lists what no event named.
    async fn list(&mut self, now: Timestamp) {
        let is_due = self.has_more_to_list || self.next_listing <= now;
        if !is_due || !self.may_list(now) {
            return;
        }
        let lake = self.lake.clone();
        let listed = match self.has_more_to_list {
            true => self.reconciler.step(lake.as_ref(), &mut self.memory, now).await,
            false => self.reconciler.begin(lake.as_ref(), &mut self.memory, now).await,
        };
        let result = listed.map(|found| self.listed(found, now));
        self.went(Way::Listing, result.map_err(|error| (error.to_string(), false)), now);
    }

    fn listed(&mut self, found: Found, now: Timestamp) {
        for (table, files) in &found.files {
            self.metrics.listed.with_label_values(&[table]).inc_by(*files);
        }
        self.has_more_to_list = found.has_more;
        self.unsaved |= found.has_more;
        if !found.has_more {
            self.next_listing = now + self.settings.reconcile_interval;
        }
    }

    /// Asks what became of the files.
    async fn ask(&mut self, now: Timestamp) {
        if self.next_reports > now {
            return;
        }
        self.next_reports = now + self.settings.report_interval;
        for pipe in self.watch.open_pipes() {
            let way = Way::Reports(pipe.clone());
            let table = self.settings.pipes.iter().find(|(_, of)| **of == pipe);
            let Some((table, _)) = table.filter(|_| self.may(&way, now)) else {
                continue;
            };
            let table = table.clone();
            let asked = self.watch.ask(self.pipes.as_ref(), &table, &pipe, &self.settings, now).await;
            let result = asked.map(|news| {
                let seconds = now.as_duration().as_secs_f64();
                self.metrics.reported_at.with_label_values(&[&table]).set(seconds);
                self.log_news(&table, &news);
            });
            self.went(way, result.map_err(of_api), now);
        }
    }

    fn log_news(&mut self, table: &str, news: &News) {
        self.metrics.loaded.with_label_values(&[table]).inc_by(news.loaded);
        self.metrics
            .failed_loads
            .with_label_values(&[table])
            .inc_by(news.failed.len() as u64);
        self.unsaved |= *news != News::default();
        for failure in &news.failed {
            tracing::error!(
                table,
                path = failure.path,
                status = ?failure.status,
                rows_inserted = failure.rows_inserted,
                rows_parsed = failure.rows_parsed,
                reason = failure.reason,
                "Snowflake has not loaded a file (docs/runbooks/warehouse.md)"
            );
        }
    }

    async fn save(&mut self, now: Timestamp) {
        if self.next_save > now || !self.may(&Way::Ledger, now) {
            return;
        }
        self.write_ledger(now).await;
    }

    /// Writes what a restart should find, if it is not written yet.
    pub async fn write_ledger(&mut self, now: Timestamp) {
        self.reconciler.note(&self.memory);
        self.unsaved |= self.memory.take_changed();
        if !self.unsaved {
            return;
        }
        let ledger = Ledger::of(&self.memory, self.reconciler.listed_to(), &self.watch);
        let saved = ledger.save(self.lake.as_ref(), &self.ledger).await;
        self.unsaved = saved.is_err();
        self.next_save = now + self.settings.save_interval;
        self.went(Way::Ledger, saved.map_err(|error| (error.to_string(), false)), now);
    }

    fn may(&self, way: &Way, now: Timestamp) -> bool {
        self.faults.get(way).is_none_or(|fault| fault.until <= now)
    }

    /// Takes in how it went: an error is its text, and whether it lasts until somebody acts.
    fn went(&mut self, way: Way, result: Result<(), (String, bool)>, now: Timestamp) {
        let Err((reason, lasts)) = result else {
            self.faults.remove(&way);
            return;
        };
        self.metrics.failures.with_label_values(&[way.label()]).inc();
        let failures = self.faults.get(&way).map_or(0, |fault| fault.failures).saturating_add(1);
        let wait = self.settings.fault_wait.saturating_mul(1 << (failures - 1).min(16));
        let wait = wait.min(self.settings.fault_wait_max);
        tracing::warn!(reason, ?wait, failures, "the Snowpipe notifier tries again");
        let until = now + wait;
        self.faults.insert(
            way,
            Fault {
                failures,
                until,
                reason,
                lasts,
            },
        );
    }

    /// What is wrong, for the operator.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        let is_trouble = |fault: &&Fault| fault.lasts || fault.failures >= TROUBLE_AFTER;
        if let Some(fault) = self.faults.values().find(is_trouble) {
            return Some(fault.reason.clone());
        }
        if let Some((file, reason)) = self.damaged.first_key_value() {
            return Some(format!("{file} is not reported to Snowflake: {reason}"));
        }
        if let Some(file) = self.memory.missing_files(now, LACKS_MAX).first() {
            return Some(format!(
                "{file} is not there, though another file of its range says so: the sink has not come to write it, or it was deleted"
            ));
        }
        let nowhere = self.reconciler.nowhere(&self.memory);
        let named = nowhere.iter().take(NAMED_MAX);
        let named: Vec<_> = named
            .map(|(stream, start, end)| format!("{stream}, offsets {start} to {end}"))
            .collect();
        (!named.is_empty()).then(|| {
            format!(
                "{} ranges of offsets are in no file of the lake, so Snowflake has no rows of them: {} (docs/runbooks/warehouse.md)",
                nowhere.len(),
                named.join("; ")
            )
        })
    }

    /// How far each table is behind.
    pub fn lag(&self, now: Timestamp) -> Vec<TableLag> {
        let of = |(table, pipe): (&String, &PipeName)| {
            let (waiting, oldest_waiting) = self.memory.waiting(table);
            let (awaited, oldest_awaited) = self.watch.awaited(pipe);
            let oldest = oldest_waiting.into_iter().chain(oldest_awaited).min();
            TableLag {
                table: table.clone(),
                waiting,
                awaited,
                age: oldest.map_or(Duration::ZERO, |at| (now - at).unsigned_abs_or_zero()),
            }
        };
        self.settings.pipes.iter().map(of).collect()
    }

    fn show(&self, now: Timestamp) {
        let lag = self.lag(now);
        for table in &lag {
            let label = &[table.table.as_str()];
            self.metrics.waiting.with_label_values(label).set(table.waiting as i64);
            self.metrics.awaited.with_label_values(label).set(table.awaited as i64);
            self.metrics.lag_seconds.with_label_values(label).set(table.age.as_secs_f64());
        }
        self.offers.show(self.trouble(now), lag);
    }
}

/// A span that is negative, by two clocks, is none.
trait UnsignedOrZero {
    fn unsigned_abs_or_zero(self) -> Duration;
}

impl UnsignedOrZero for jiff::Span {
    fn unsigned_abs_or_zero(self) -> Duration {
        Duration::try_from(self).unwrap_or_default()
    }
}

fn of_api(error: ApiError) -> (String, bool) {
    (error.to_string(), !error.is_transient())
}
