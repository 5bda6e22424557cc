//! `riverbank lake verify`: no offset is missing or doubled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use broker::kafka::KafkaBroker;
use broker::{Broker, TopicPartition};
use jiff::civil::Date;
use object_store::ObjectStore;
use sinks::Table;
use sinks::lake::{self, Depth, Generation, Keep, LakeError, PartitionReport, Problem, Scope};

use crate::cli::VerifyArgs;
use crate::config::Settings;
use crate::open::lake::{existing_store, tables};
use crate::open::log::{PATIENCE, kafka};
use crate::print::print;
use crate::process::runtime;

/// Checks every table; exit code 1 if a file is wrong, or an offset is in none or in two, or a table could not be checked.
pub fn verify(settings: Settings, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let store = existing_store(&settings)?;
    let kafka = kafka(&settings);
    let runtime = runtime()?;
    let mut problems: Vec<Problem> = Vec::new();
    let mut unchecked = 0;
    for table in tables(args.of.table.as_deref())? {
        let mut text = String::new();
        // One that is in trouble holds up no other.
        match runtime.block_on(of_table(&store, kafka.as_ref(), table.as_ref(), args, &mut text)) {
            Ok(found) => problems.extend(found),
            Err(error) if is_of_kafka(&error) => return Err(error),
            Err(error) => {
                unchecked += 1;
                writeln!(text, "{:<22} not checked: {error:#}", table.name())?;
            }
        }
        print(text)?;
    }
    let mut text = String::new();
    for problem in &problems {
        writeln!(text, "wrong: {problem}")?;
    }
    match (problems.len(), unchecked, args.of.since) {
        (0, 0, None) => text.push_str("every offset is in exactly one file\n"),
        (0, 0, Some(since)) => writeln!(text, "of the files since {since}, every offset is in exactly one")?,
        (n, 0, _) => writeln!(text, "{n} problems")?,
        (n, tables, _) => writeln!(text, "{n} problems, and {tables} tables were not checked")?,
    }
    print(text)?;
    Ok(match problems.is_empty() && unchecked == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Kafka fails for all tables, and each would wait for it.
fn is_of_kafka(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(error) => matches!(error, LakeError::Log(_)),
        None => true,
    }
}

/// Checks one.
async fn of_table(
    store: &Arc<dyn ObjectStore>,
    kafka: Option<&KafkaBroker>,
    table: &dyn Table,
    args: &VerifyArgs,
    text: &mut String,
) -> anyhow::Result<Vec<Problem>> {
    // Only what the log still has is compared with it, so no other files are kept in memory.
    let keep = match kafka {
        Some(kafka) => Keep::From(first_offsets(kafka, table)?),
        None => Keep::NONE,
    };
    let scope = Scope {
        depth: if args.footers { Depth::Footers } else { Depth::Offsets },
        since: args.of.since,
        keep,
    };
    let report = lake::verify_in(store, table.name(), &scope).await?;
    let mut problems = Vec::new();
    let mut line = format!("{:<22} {:>7} files {:>12} rows", report.table, report.files(), report.rows());
    if let Some(kafka) = kafka {
        let beside = lake::compare_with_log(kafka, table, &report, PATIENCE)?;
        let (records, unwritten) = beside
            .partitions
            .iter()
            .fold((0, 0), |(all, rest), at| (all + at.records, rest + at.unwritten));
        write!(line, " {records:>12} records in Kafka, {unwritten} not yet in a file")?;
        problems.extend(beside.problems);
    }
    writeln!(text, "{line}")?;
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
        judged(partition, report.since, text)?;
    }
    problems.extend(report.problems);
    Ok(problems)
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
