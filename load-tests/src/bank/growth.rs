//! The bank's growth: what a source event costs with more and more accounts.

use std::sync::Arc;

use super::Site;
use super::settings::{Bank, Life};
use super::source::{ENDS, Source, TOPICS};
use crate::report::Report;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct BankGrowth {
    /// Customers that the bank opens with, two accounts each; one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [50_000, 500_000, 5_000_000])]
    customers: Vec<u64>,
    #[command(flatten)]
    life: Life,
}

impl BankGrowth {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut report = Report::new("bank-growth");
        self.life.report_to(&mut report);
        for &customers in &self.customers {
            self.one(&mut report, customers)?;
        }
        if let (Some(&most), Some(&least)) = (self.customers.iter().max(), self.customers.iter().min()) {
            for figure in ["cpu_us_per_source_event", "memory_mib_max"] {
                report.ratio(figure, &subject(most), &subject(least));
            }
        }
        report.print();
        Ok(())
    }

    /// Opens a bank while its events are processed, then drains what it does next.
    fn one(&self, report: &mut Report, customers: u64) -> anyhow::Result<()> {
        let registry = tempfile::tempdir()?;
        let Life { operations, seed, .. } = self.life;
        let settings = Bank {
            life: self.life.clone(),
            ..Bank::of_size(customers, operations, seed)
        };
        let site = Site::new(registry.path(), &settings)?;
        let source = Source::new(Arc::new(site.kafka().broker()), registry.path(), seed, customers)?;
        let mut running = site.ready()?;
        let topics: Vec<&str> = TOPICS.into_iter().chain([ENDS]).collect();
        let subject = subject(customers);
        eprintln!("{subject}: the bank opens");
        source.open()?;
        let opening_us = site.finished(&mut running, &topics)?;
        report.add(&subject, "opening_cpu_us_per_source_event", opening_us);
        let drained = site.measured(&mut running, &topics, || source.live(operations))?;
        report.add(&subject, "cpu_us_per_source_event", drained.cpu_us_per_input);
        report.add(&subject, "source_events_per_s", drained.inputs_per_s);
        report.add(&subject, "memory_mib_max", drained.memory_mib_max);
        report.add(&subject, "state_mib", site.state_mib());
        running.stop()
    }
}

fn subject(customers: u64) -> String {
    format!("accounts_{}", 2 * customers)
}
