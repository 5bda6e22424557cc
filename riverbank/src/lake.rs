//! `riverbank lake ls`, `verify`, `describe` and `accept`: what is in the lake, how far it is behind Kafka, that nothing is missing or
//! doubled, what its tables' columns are, and that a topic which was made anew goes on there.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::kafka::KafkaBroker;
use broker::{Broker, TopicId, TopicPartition};
use object_store::ObjectStore;
use sinks::lake::{self, Accepted, Depth, Generation, Problem, TableReport};
use sinks::{S3Options, Table};

use crate::config::Settings;
use crate::log::kafka;
use crate::process::runtime;

/// How long Kafka may take to answer, or to show another record.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints every table's partitions: files, rows, bytes, the range of offsets, and how many offsets Kafka is ahead.
pub fn ls(settings: Settings) -> anyhow::Result<ExitCode> {
    let store = open(&settings)?;
    let kafka = kafka(&settings);
    let runtime = runtime()?;
    let mut text = format!(
        "{:<22} {:>9} {:>10} {:>7} {:>12} {:>14} {:>24} {:>13}\n",
        "table", "partition", "generation", "files", "rows", "bytes", "offsets", "behind"
    );
    for table in sinks::tables::all() {
        let report = runtime.block_on(lake::verify(&store, table.name(), Depth::Footers))?;
        let log = kafka.as_ref().map(|kafka| Log::ask(kafka, table.as_ref())).transpose()?;
        rows(&report, log.as_ref(), &mut text);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks every table; exit code 1 if a file is wrong, or an offset is in none or in two.
pub fn verify(settings: Settings, depth: Depth) -> anyhow::Result<ExitCode> {
    let store = open(&settings)?;
    let kafka = kafka(&settings);
    let runtime = runtime()?;
    let mut problems: Vec<Problem> = Vec::new();
    let mut text = String::new();
    for table in sinks::tables::all() {
        let report = runtime.block_on(lake::verify(&store, table.name(), depth))?;
        let files: usize = report.partitions.iter().map(|partition| partition.files.len()).sum();
        let in_files: u64 = report.partitions.iter().map(|partition| partition.rows()).sum();
        write!(text, "{:<22} {files:>7} files {in_files:>12} rows", report.table)?;
        if let Some(kafka) = &kafka {
            let beside = lake::compare_with_log(kafka, table.as_ref(), &report, PATIENCE)?;
            let (records, unwritten) = beside
                .partitions
                .iter()
                .fold((0, 0), |(all, rest), at| (all + at.records, rest + at.unwritten));
            write!(text, " {records:>12} records in Kafka, {unwritten} not yet in a file")?;
            problems.extend(beside.problems);
        }
        text.push('\n');
        for noted in report.generations.iter().filter(|_| report.generations.len() > 1) {
            let Generation {
                generation, accepted_at, ..
            } = noted;
            writeln!(
                text,
                "  generation {generation}: topic {}, accepted at {accepted_at}",
                noted.id_text()
            )?;
        }
        problems.extend(report.problems);
    }
    for problem in &problems {
        writeln!(text, "wrong: {problem}")?;
    }
    match problems.len() {
        0 => text.push_str("every offset is in exactly one file\n"),
        n => writeln!(text, "{n} problems")?,
    }
    print(&text)?;
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what every table holds, column by column.
pub fn describe() -> anyhow::Result<ExitCode> {
    print(&sinks::tables::describe())?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store that `sink.url` names.
pub fn open(settings: &Settings) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let s3 = &settings.s3;
    let options = S3Options {
        endpoint: s3.endpoint.as_ref().map(ToString::to_string),
        access_key: s3.access_key.as_ref().map(|key| key.reveal().to_owned()),
        secret_key: s3.secret_key.as_ref().map(|key| key.reveal().to_owned()),
        region: Some(s3.region.clone()),
        allow_http: s3.allow_http,
    };
    sinks::open(settings.sink.url.as_str(), &options).context("sink.url")
}

/// The table of a name.
pub fn table(name: &str) -> anyhow::Result<Arc<dyn Table>> {
    let tables = sinks::tables::all();
    let names: Vec<_> = tables.iter().map(|table| table.name()).collect();
    let table = tables.iter().find(|table| table.name() == name);
    let table = table.with_context(|| format!("there is no table {name}; there are {}", names.join(", ")))?;
    Ok(table.clone())
}

/// Takes a topic that was made anew, or a log that was cut off, for the next generation of a table's files.
pub fn accept(settings: Settings, name: &str) -> anyhow::Result<ExitCode> {
    let table = &table(name)?;
    let store = open(&settings)?;
    let kafka = kafka(&settings).context("kafka.brokers is not set")?;
    let broker: Arc<dyn Broker> = Arc::new(kafka);
    let accepted = runtime()?.block_on(lake::accept(&store, &broker, table, PATIENCE))?;
    let text = match accepted {
        Accepted::AsItIs => format!("{name}: the topic is the one that its files are of; there is nothing to accept\n"),
        Accepted::Next(next) => format!(
            "{name}: topic {} ({}) is generation {} from now on; the sinks go on by themselves\n",
            next.topic,
            next.id_text(),
            next.generation
        ),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What Kafka has of a table.
struct Log {
    id: Option<TopicId>,
    /// The end of each partition.
    ends: Vec<i64>,
}

impl Log {
    fn ask(kafka: &KafkaBroker, table: &dyn Table) -> anyhow::Result<Self> {
        let topic = table.topic();
        let asked = || format!("ask Kafka for {topic}");
        let partitions = kafka.partitions(topic, PATIENCE).with_context(asked)?.unwrap_or(0);
        let ids = kafka.topic_ids(&[topic], PATIENCE).with_context(asked)?;
        let mut reader = kafka.reader("riverbank-lake")?;
        let end = |partition| anyhow::Ok(reader.bounds(&TopicPartition::new(topic, partition), PATIENCE)?.1);
        Ok(Self {
            id: ids.into_iter().next().flatten(),
            ends: (0..partitions).map(end).collect::<anyhow::Result<_>>()?,
        })
    }

    /// How many offsets the files of a generation, of which `next` is the next one, are behind.
    fn behind(&self, report: &TableReport, partition: u32, generation: u32, next: i64) -> Option<String> {
        let end = *self.ends.get(partition as usize)?;
        let noted = Generation::of(&report.generations, self.id, partition);
        match noted.map(|noted| noted.generation) {
            None if report.generations.is_empty() => Some((end - next).max(0).to_string()),
            None => Some("another topic".to_owned()),
            Some(noted) if noted == generation => Some((end - next).max(0).to_string()),
            Some(_) => None,
        }
    }
}

/// One line for each partition that has files or records, and each generation of it.
fn rows(report: &TableReport, log: Option<&Log>, text: &mut String) {
    let known = report.partitions.iter().map(|found| found.partition + 1).max().unwrap_or(0);
    let in_kafka = log.map_or(0, |log| log.ends.len() as u32);
    for partition in 0..known.max(in_kafka) {
        let mut found: Vec<_> = report
            .partitions
            .iter()
            .filter(|found| found.partition == partition)
            .map(Some)
            .collect();
        if found.is_empty() {
            found.push(None);
        }
        for found in found {
            let generation = found.map_or(1, |found| found.generation);
            let (files, in_files, bytes) = found.map_or((0, 0, 0), |found| (found.files.len(), found.rows(), found.bytes()));
            let range = found.and_then(|found| Some(format!("{} to {}", found.start()?, found.end()?)));
            let next = found.and_then(|found| found.end()).map_or(0, |end| end + 1);
            let behind = log.and_then(|log| log.behind(report, partition, generation, next));
            let (range, behind) = (
                range.unwrap_or_else(|| "-".to_owned()),
                behind.unwrap_or_else(|| "-".to_owned()),
            );
            let table = &report.table;
            text.push_str(&format!(
                "{table:<22} {partition:>9} {generation:>10} {files:>7} {in_files:>12} {bytes:>14} {range:>24} {behind:>13}\n"
            ));
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("write to standard output")
}
