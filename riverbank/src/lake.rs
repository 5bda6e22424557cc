//! `riverbank lake ls` and `verify`: what is in the lake, how far it is behind Kafka, and that nothing is missing or
//! doubled.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::kafka::KafkaBroker;
use broker::{Broker, TopicPartition};
use object_store::ObjectStore;
use sinks::lake::{self, Depth, Problem, TableReport};
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
        "{:<22} {:>9} {:>7} {:>12} {:>14} {:>24} {:>10}\n",
        "table", "partition", "files", "rows", "bytes", "offsets", "behind"
    );
    for table in sinks::tables::all() {
        let report = runtime.block_on(lake::verify(&store, table.name(), Depth::Footers))?;
        let ends = kafka
            .as_ref()
            .map(|kafka| ends(kafka, table.as_ref()))
            .transpose()?
            .unwrap_or_default();
        rows(&report, &ends, &mut text);
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

/// The end of each partition of a table's topic.
fn ends(kafka: &KafkaBroker, table: &dyn Table) -> anyhow::Result<Vec<i64>> {
    let topic = table.topic();
    let partitions = kafka
        .partitions(topic, PATIENCE)
        .with_context(|| format!("ask Kafka for {topic}"))?
        .unwrap_or(0);
    let mut reader = kafka.reader("riverbank-lake")?;
    (0..partitions)
        .map(|partition| Ok(reader.bounds(&TopicPartition::new(topic, partition), PATIENCE)?.1))
        .collect()
}

/// One line for each partition that has files or records.
fn rows(report: &TableReport, ends: &[i64], text: &mut String) {
    let known = report
        .partitions
        .iter()
        .map(|partition| partition.partition + 1)
        .max()
        .unwrap_or(0);
    for partition in 0..known.max(ends.len() as u32) {
        let found = report.partitions.iter().find(|found| found.partition == partition);
        let (files, in_files, bytes) = found.map_or((0, 0, 0), |found| (found.files.len(), found.rows(), found.bytes()));
        let range = found.and_then(|found| Some(format!("{} to {}", found.start()?, found.end()?)));
        let next = found.and_then(|found| found.end()).map_or(0, |end| end + 1);
        let behind = ends.get(partition as usize).map(|end| (end - next).max(0).to_string());
        let (range, behind) = (
            range.unwrap_or_else(|| "-".to_owned()),
            behind.unwrap_or_else(|| "-".to_owned()),
        );
        let table = &report.table;
        text.push_str(&format!(
            "{table:<22} {partition:>9} {files:>7} {in_files:>12} {bytes:>14} {range:>24} {behind:>10}\n"
        ));
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("write to standard output")
}
