//! `riverbank lake verify`: no offset is missing or doubled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use broker::kafka::KafkaBroker;
use broker::{Broker, TopicPartition};
use jiff::civil::Date;
use sinks::Table;
use sinks::lake::{self, Depth, Generation, Keep, PartitionReport, Problem, Scope};

use super::{PATIENCE, open_existing, print, tables};
use crate::cli::VerifyArgs;
use crate::config::Settings;
use crate::log::kafka;
use crate::process::runtime;

/// Checks every table; exit code 1 if a file is wrong, or an offset is in none or in two.
pub fn verify(settings: Settings, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let depth = if args.footers { Depth::Footers } else { Depth::Offsets };
    let store = open_existing(&settings)?;
    let kafka = kafka(&settings);
    let runtime = runtime()?;
    let mut problems: Vec<Problem> = Vec::new();
    let mut text = String::new();
    for table in tables(args.table.as_deref())? {
        // Only what the log still has is compared with it, so no other files are kept in memory.
        let keep = match &kafka {
            Some(kafka) => Keep::From(first_offsets(kafka, table.as_ref())?),
            None => Keep::NONE,
        };
        let scope = Scope {
            depth,
            since: args.since,
            keep,
        };
        let report = runtime.block_on(lake::verify_in(&store, table.name(), &scope))?;
        write!(
            text,
            "{:<22} {:>7} files {:>12} rows",
            report.table,
            report.files(),
            report.rows()
        )?;
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
        for partition in &report.partitions {
            judged(partition, report.since, &mut text)?;
        }
        problems.extend(report.problems);
    }
    for problem in &problems {
        writeln!(text, "wrong: {problem}")?;
    }
    match problems.len() {
        0 => match args.since {
            None => text.push_str("every offset is in exactly one file\n"),
            Some(since) => writeln!(text, "of the files since {since}, every offset is in exactly one")?,
        },
        n => writeln!(text, "{n} problems")?,
    }
    print(&text)?;
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The first offset of each partition that the log still has.
fn first_offsets(kafka: &KafkaBroker, table: &dyn Table) -> anyhow::Result<BTreeMap<u32, i64>> {
    let partitions = kafka.partitions(table.topic(), PATIENCE)?.unwrap_or(0);
    let mut reader = kafka.reader("riverbank-lake-verify")?;
    let mut first = |partition| {
        let at = TopicPartition::new(table.topic(), partition);
        anyhow::Ok((partition, reader.bounds(&at, PATIENCE)?.0))
    };
    (0..partitions).map(&mut first).collect()
}

/// From which offset on a partition was judged, where that is not its beginning.
fn judged(partition: &PartitionReport, since: Option<Date>, text: &mut String) -> anyhow::Result<()> {
    let PartitionReport {
        partition,
        generation,
        judged_from,
        expired,
        ..
    } = partition;
    if let Some(from) = judged_from {
        let why = match since {
            Some(since) => format!("by files since {since}"),
            None => "what was before it is removed".to_owned(),
        };
        writeln!(
            text,
            "  partition {partition}, generation {generation}: judged from offset {from} on, {why}"
        )?;
    }
    if *expired > 0 {
        writeln!(
            text,
            "  partition {partition}, generation {generation}: {expired} removed files are still there; lake retain deletes them"
        )?;
    }
    Ok(())
}
