//! The bank scenario: the whole line of flow from change events to balances, and what each of its stages costs.

mod growth;
mod program;
mod settings;
mod site;
mod source;
mod stages;

use schemas::topics::{CDC_TRANSACTIONS, LEGS, SILVER_ACCOUNTS};

pub use growth::BankGrowth;
pub use program::BankEngine;
pub use settings::Bank;

use crate::report::Report;
pub(crate) use site::Site;
use source::{ENDS, Records, TOPICS};

impl Bank {
    /// A Kafka whose topics hold all of its records, in one partition each. The schemas are in the folder.
    pub(crate) fn processed(&self, registry: &std::path::Path) -> anyhow::Result<Site> {
        let events = source::events(registry, self.life.seed, self.customers, self.life.operations)?;
        let inputs: Vec<(&str, &Records)> = TOPICS.into_iter().chain([ENDS]).zip(&events).collect();
        let site = Site::new(registry, self)?;
        site.drain(&inputs)?;
        Ok(site)
    }

    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let registry = tempfile::tempdir()?;
        let mut report = Report::new("bank");
        self.life.report_to(&mut report);
        report.setting("customers", self.customers);
        report.setting("repartition_in_memory", self.repartition_in_memory);
        report.setting("rounds", self.rounds);
        eprintln!("a bank lives for {} operations", self.life.operations);
        let events = source::events(registry.path(), self.life.seed, self.customers, self.life.operations)?;
        let [customers, accounts, transactions, ends] = &events[..] else {
            anyhow::bail!("there are three change topics, and the ends");
        };
        let site = || Site::new(registry.path(), self);
        for round in 0..self.rounds {
            eprintln!("round {}: the whole", round + 1);
            let whole = site()?;
            let inputs: Vec<(&str, &Records)> = TOPICS.into_iter().chain([ENDS]).zip(&events).collect();
            let drained = whole.drain(&inputs)?;
            // Tombstones are in the topic, and are no records to the engine.
            let given: f64 = TOPICS.iter().map(|topic| drained.of(topic)).sum();
            report.fact("source_events", given);
            report.add("whole", "records", drained.processed.values().sum());
            report.add("whole", "cpu_us_per_source_event", drained.cpu_us_per_input);
            report.add("whole", "source_events_per_s", drained.inputs_per_s);
            report.add("whole", "memory_mib_max", drained.memory_mib_max);
            if self.whole_only {
                continue;
            }
            let (rows, legs) = (whole.records(SILVER_ACCOUNTS.name())?, whole.records(LEGS.name())?);
            drop(whole);
            let parts = stages::Parts {
                customers,
                accounts,
                transactions: [(CDC_TRANSACTIONS.name(), transactions), (ENDS, ends)],
                rows: &rows,
                legs: &legs,
            };
            let alone = parts.drain(site)?;
            stages::report_to(&alone, &drained, &mut report);
        }
        report.print();
        Ok(())
    }
}
