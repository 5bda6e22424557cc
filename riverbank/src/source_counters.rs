//! What the processors report, as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use processors::counters::{
    ACCOUNTS_DIFFERENT, HOLDS_RELEASED, ROWS_SWEPT, SOURCE_OUTDATED, SOURCE_REGRESSIONS, SOURCE_REPEATED, SOURCE_TRUNCATES,
    held_rows,
};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

struct SourceCounters {
    counters: Vec<(&'static AtomicU64, IntCounter)>,
    duplicates: IntCounterVec,
    gauges: Vec<(&'static AtomicU64, IntGauge)>,
    held: IntGaugeVec,
    different: IntGaugeVec,
}

/// Registers `riverbank_source_regressions_total`, `riverbank_source_truncates_total`, `riverbank_rows_swept_total`,
/// `riverbank_source_duplicates_total`, `riverbank_sweep_held_rows`, `riverbank_holds_released_total` and
/// `riverbank_reconciliation_differences`.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(SourceCounters::new()?))
}

impl SourceCounters {
    fn new() -> prometheus::Result<Self> {
        let plain = [
            (
                &SOURCE_REGRESSIONS,
                "riverbank_source_regressions_total",
                "Events with a lower LSN and a later commit time than what was applied: the source was restored or promoted",
            ),
            (
                &SOURCE_TRUNCATES,
                "riverbank_source_truncates_total",
                "Tables that the source truncated",
            ),
            (
                &ROWS_SWEPT,
                "riverbank_rows_swept_total",
                "Rows that were deleted because a snapshot did not show them, or a truncate took them",
            ),
            (
                &HOLDS_RELEASED,
                "riverbank_holds_released_total",
                "Holds of pending transactions that were released since they had expired",
            ),
        ];
        let made = plain
            .into_iter()
            .map(|(count, name, help)| Ok((count, IntCounter::new(name, help)?)));
        let counters = made.collect::<prometheus::Result<_>>()?;
        let duplicates = IntCounterVec::new(
            Opts::new(
                "riverbank_source_duplicates_total",
                "Changes that were dropped since the row's newest one is the same, or an older one was sent again",
            ),
            &["position"],
        )?;
        let held = IntGaugeVec::new(
            Opts::new(
                "riverbank_sweep_held_rows",
                "Rows that a snapshot did not show, and that are deleted only if another one does not show them either",
            ),
            &["table"],
        )?;
        let different = IntGaugeVec::new(
            Opts::new(
                "riverbank_reconciliation_differences",
                "Accounts whose streamed balance differs from the source's own as of the same commit",
            ),
            &["complete"],
        )?;
        Ok(Self {
            different,
            counters,
            gauges: held_rows()
                .into_iter()
                .map(|(table, rows)| (rows, held.with_label_values(&[table])))
                .collect(),
            held,
            duplicates,
        })
    }
}

/// Only grows, and only here.
fn follow(counter: &IntCounter, count: &AtomicU64) {
    counter.inc_by(count.load(Ordering::Relaxed).saturating_sub(counter.get()));
}

impl Collector for SourceCounters {
    fn desc(&self) -> Vec<&Desc> {
        let counters = self.counters.iter().flat_map(|(_, counter)| counter.desc());
        let rest = self
            .duplicates
            .desc()
            .into_iter()
            .chain(self.held.desc())
            .chain(self.different.desc());
        counters.chain(rest).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (position, count) in [("same", &SOURCE_REPEATED), ("older", &SOURCE_OUTDATED)] {
            follow(&self.duplicates.with_label_values(&[position]), count);
        }
        for (rows, gauge) in &self.gauges {
            gauge.set(rows.load(Ordering::Relaxed) as i64);
        }
        for (complete, count) in ["true", "false"].into_iter().zip(&ACCOUNTS_DIFFERENT) {
            self.different
                .with_label_values(&[complete])
                .set(count.load(Ordering::Relaxed) as i64);
        }
        let counters = self.counters.iter().flat_map(|(count, counter)| {
            follow(counter, count);
            counter.collect()
        });
        let rest = self.duplicates.collect().into_iter().chain(self.held.collect());
        counters.chain(rest).chain(self.different.collect()).collect()
    }
}
