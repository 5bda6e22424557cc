//! Settings of the scenarios.

use crate::report::Report;

/// What the bank does, and how the engine follows.
#[derive(Debug, Clone, clap::Args)]
pub struct Life {
    /// Operations of the simulated bank after its initial customers and accounts; each is one change event or more.
    #[arg(long, default_value_t = 200_000)]
    pub(super) operations: u64,
    /// Partitions of all topics.
    #[arg(long, default_value_t = 4)]
    pub(super) partitions: u32,
    /// Workers of the engine.
    #[arg(long, default_value_t = 1)]
    pub(super) threads: usize,
    /// The longest transaction, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub(super) commit_interval_ms: u64,
    /// What the bank's operations are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

impl Life {
    pub(super) fn report_to(&self, report: &mut Report) {
        report.setting("operations", self.operations);
        report.setting("partitions", self.partitions);
        report.setting("threads", self.threads);
        report.setting("commit_interval_ms", self.commit_interval_ms);
        report.setting("seed", self.seed);
    }
}

/// How large the bank is, and what is measured of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Bank {
    #[command(flatten)]
    pub(super) life: Life,
    /// Customers that it opens with, two accounts each.
    #[arg(long, default_value_t = 20_000)]
    pub(super) customers: u64,
    /// How often all of it is drained; the medians are reported.
    #[arg(long, default_value_t = 3)]
    pub(super) rounds: usize,
    /// Only the whole, not the stages one by one.
    #[arg(long)]
    pub(super) whole_only: bool,
    /// Hand over legs in memory, as the engine does by default. The stages are drained on copies of what the
    /// topics between them hold.
    #[arg(long, requires = "whole_only")]
    pub(super) repartition_in_memory: bool,
}

impl Bank {
    /// A bank of this size, for scenarios that go on from what it has processed.
    pub(crate) fn of_size(customers: u64, operations: u64, seed: u64) -> Self {
        Self {
            life: Life {
                operations,
                partitions: 1,
                threads: 1,
                commit_interval_ms: 100,
                seed,
            },
            customers,
            rounds: 1,
            whole_only: true,
            repartition_in_memory: false,
        }
    }
}
