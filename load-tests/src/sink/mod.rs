//! The sink scenario: what a row of the lake costs, beside the bare Parquet writer on the same rows.
//!
//! A simulated bank has been processed, so that Kafka holds the change log, Silver and the balances. Then, in turns:
//! - `bare`: the writer of the `parquet` crate alone. It gets the rows as Arrow batches that are there already, with the sink's
//!   properties; `bare_plain` with those that a user would begin with: the crate's own, and Zstandard.
//! - `sink`: the sink's way from records to a file's bytes, in memory: decoding Avro, the rows, the digest, the file.
//! - `rows`: of that, decoding and the rows alone, which the bare writer has no part in; `sink_less_rows` is what remains.
//! - `file`, `minio`: a whole sink as a process, from Kafka to a folder or a MinIO, committed.

mod memory;
mod process;
mod program;

use std::sync::Arc;

use anyhow::Context as _;
use sinks::Table;
use testbed::Testbed;
use wire::FileRegistry;

pub use program::SinkProgram;

use crate::bank::{Bank, Site};
use crate::report::Report;
use memory::{Held, Properties, Taken};
use process::{Place, Setting};

const BUCKET: &str = "lake";

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Sink {
    /// Operations of the simulated bank after its initial customers and accounts; each is one change event or more.
    #[arg(long, default_value_t = 300_000)]
    operations: u64,
    /// Customers that it opens with, two accounts each.
    #[arg(long, default_value_t = 20_000)]
    customers: u64,
    /// How often everything is measured, in turns; the medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What the bank's operations are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The sets of tables.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Set::Bronze, Set::Silver, Set::Balances])]
    sets: Vec<Set>,
    /// A file of the processes ends at so many rows.
    #[arg(long, default_value_t = 100_000)]
    rows_max: u64,
    /// No processes: what is done in memory only.
    #[arg(long)]
    memory_only: bool,
}

/// Tables that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Set {
    Bronze,
    Silver,
    Balances,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Set::Bronze => "bronze",
            Set::Silver => "silver",
            Set::Balances => "balances",
        }
    }

    fn tables(self) -> Vec<Arc<dyn Table>> {
        let prefix = match self {
            Set::Bronze => "bronze.",
            Set::Silver => "silver.",
            Set::Balances => "gold.account_balances",
        };
        let mut tables = sinks::tables::all();
        tables.retain(|table| table.name().starts_with(prefix));
        tables
    }
}

impl Sink {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut report = Report::new("sink");
        report.setting("operations", self.operations);
        report.setting("customers", self.customers);
        report.setting("rounds", self.rounds);
        report.setting("seed", self.seed);
        report.setting("rows_max", self.rows_max);
        let registry = tempfile::tempdir()?;
        eprintln!("a bank lives for {} operations, and is processed", self.operations);
        let site = Bank::of_size(self.customers, self.operations, self.seed).processed(registry.path())?;
        let schemas = Arc::new(FileRegistry::open(registry.path())?);
        let held = self.held(&site, &schemas, &mut report)?;
        let minio = match self.memory_only {
            true => None,
            false => Some(Testbed::builder().minio().start_blocking().context("starting MinIO")?),
        };
        if let Some(bed) = &minio {
            testbed::block_on(bed.minio().create_bucket(BUCKET))?;
        }
        for round in 1..=self.rounds {
            eprintln!("round {round}");
            for (set, held) in &held {
                in_memory(*set, held, &mut report)?;
                let Some(bed) = &minio else { continue };
                for place in [Place::Folder, Place::Minio(bed.minio(), BUCKET)] {
                    let setting = Setting {
                        kafka: site.kafka(),
                        registry: registry.path(),
                        held,
                        rows_max: self.rows_max,
                        run: format!("{}-{}-{round}", set.name(), place.name()),
                    };
                    setting.drain(&place)?.report_to(&subject(*set, place.name()), &mut report);
                }
            }
        }
        for (set, _) in &held {
            let subject = |name: &str| subject(*set, name);
            for below in ["sink", "sink_less_rows", "file", "minio"] {
                report.ratio("cpu_us_per_row", &subject("bare"), &subject(below));
                report.ratio("cpu_us_per_row", &subject("bare_plain"), &subject(below));
            }
        }
        report.print();
        Ok(())
    }

    /// Each table's records, with the rows that the sink makes of them.
    fn held(&self, site: &Site, schemas: &Arc<FileRegistry>, report: &mut Report) -> anyhow::Result<Vec<(Set, Vec<Held>)>> {
        let mut all = Vec::new();
        for &set in &self.sets {
            let mut held = Vec::new();
            for table in set.tables() {
                let records = site.records(table.topic())?;
                if !records.is_empty() {
                    held.push(Held::new(table, schemas.clone(), records)?);
                }
            }
            let rows: usize = held.iter().map(Held::rows).sum();
            report.fact(&format!("{}_rows", set.name()), rows);
            all.push((set, held));
        }
        Ok(all)
    }
}

fn subject(set: Set, name: &str) -> String {
    format!("{}_{name}", set.name())
}

/// A round of what needs no process.
fn in_memory(set: Set, held: &[Held], report: &mut Report) -> anyhow::Result<()> {
    let sum = |measure: &dyn Fn(&Held) -> anyhow::Result<Taken>| held.iter().map(measure).sum::<anyhow::Result<Taken>>();
    sum(&|held| held.bare(Properties::Ours))?.report_to(&subject(set, "bare"), report);
    let (sink, rows) = (sum(&Held::sink)?, sum(&Held::rows_alone)?);
    sink.report_to(&subject(set, "sink"), report);
    rows.report_to(&subject(set, "rows"), report);
    let rest = sink.cpu.saturating_sub(rows.cpu).as_secs_f64() * 1e6 / sink.rows as f64;
    report.add(&subject(set, "sink_less_rows"), "cpu_us_per_row", rest);
    sum(&|held| held.bare(Properties::Plain))?.report_to(&subject(set, "bare_plain"), report);
    Ok(())
}
