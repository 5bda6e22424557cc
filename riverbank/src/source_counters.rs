//! The processors' counters as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use processors::counters::{ROWS_SWEPT, SOURCE_REGRESSIONS, SOURCE_TRUNCATES};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};

struct SourceCounters(Vec<(&'static AtomicU64, IntCounter)>);

/// Registers `riverbank_source_regressions_total`, `riverbank_source_truncates_total` and `riverbank_rows_swept_total`.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let counters = [
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
    ];
    let made = counters
        .into_iter()
        .map(|(count, name, help)| Ok((count, IntCounter::new(name, help)?)));
    registry.register(Box::new(SourceCounters(made.collect::<prometheus::Result<_>>()?)))
}

impl Collector for SourceCounters {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().flat_map(|(_, counter)| counter.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |(count, counter): &(&AtomicU64, IntCounter)| {
            // Only grows, and only here.
            counter.inc_by(count.load(Ordering::Relaxed).saturating_sub(counter.get()));
            counter.collect()
        };
        self.0.iter().flat_map(read).collect()
    }
}
