//! `riverbank lake ls`: the files by their names, and how far they are behind Kafka.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use broker::kafka::KafkaBroker;
use broker::{Broker, TopicId, TopicPartition};
use jiff::Timestamp;
use sinks::Table;
use sinks::lake::{self, Generation, Overview, Totals};

use crate::cli::LsArgs;
use crate::config::Settings;
use crate::open::lake::{existing_store, tables};
use crate::open::log::{PATIENCE, kafka};
use crate::print::print;
use crate::process::runtime;

/// Prints every table's partitions: files, bytes, rows if they are asked for, the range of offsets, when the newest file was written,
/// and how many offsets Kafka is ahead; exit code 1 if a table could not be listed.
pub fn ls(settings: Settings, args: &LsArgs) -> anyhow::Result<ExitCode> {
    let store = existing_store(&settings)?;
    let kafka = kafka(&settings);
    let runtime = runtime()?;
    let rows = if args.rows {
        format!(" {:>12}", "rows")
    } else {
        String::new()
    };
    let mut text = format!(
        "{:<22} {:>9} {:>10} {:>8}{rows} {:>15} {:>24} {:>20} {:>13}\n",
        "table", "partition", "generation", "files", "bytes", "offsets", "newest", "behind"
    );
    let mut code = ExitCode::SUCCESS;
    for table in tables(args.of.table.as_deref())? {
        // One that is in trouble holds up no other.
        match runtime.block_on(lake::overview(&store, table.name(), args.of.since, args.rows)) {
            Ok(found) => {
                let log = kafka.as_ref().map(|kafka| Log::ask(kafka, table.as_ref())).transpose()?;
                lines(table.name(), &found, log.as_ref(), args, &mut text)?;
            }
            Err(error) => {
                code = ExitCode::FAILURE;
                writeln!(text, "{:<22} not listed: {error}", table.name())?;
            }
        }
    }
    print(text)?;
    Ok(code)
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
    fn behind(&self, report: &Overview, partition: u32, generation: u32, next: i64) -> Option<String> {
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
fn lines(table: &str, found: &Overview, log: Option<&Log>, args: &LsArgs, text: &mut String) -> anyhow::Result<()> {
    let known = found.partitions.keys().map(|(partition, _)| *partition);
    let in_kafka = 0..log.map_or(0, |log| log.ends.len() as u32);
    for partition in known.chain(in_kafka).collect::<BTreeSet<_>>() {
        let of_partition = found.partitions.range((partition, 0)..=(partition, u32::MAX));
        let mut totals: Vec<(u32, Option<&Totals>)> = of_partition
            .map(|((_, generation), totals)| (*generation, Some(totals)))
            .collect();
        if totals.is_empty() {
            totals.push((1, None));
        }
        for (generation, totals) in totals {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let (files, bytes) = totals.map_or((0, 0), |totals| (totals.files, totals.bytes));
            let range = or_dash(totals.map(|totals| format!("{} to {}", totals.start, totals.end)));
            let newest = totals.and_then(|totals| Timestamp::from_second(totals.written_at_ms.div_euclid(1_000)).ok());
            let newest = or_dash(newest.map(|newest| newest.to_string()));
            // Without a file since that day, it is not known where the older ones end.
            let none = args.of.since.is_none().then_some(0);
            let next = totals.map_or(none, |totals| Some(totals.end + 1));
            let behind = log.zip(next);
            let behind = or_dash(behind.and_then(|(log, next)| log.behind(found, partition, generation, next)));
            write!(text, "{table:<22} {partition:>9} {generation:>10} {files:>8}")?;
            if args.rows {
                write!(text, " {:>12}", totals.and_then(|totals| totals.rows).unwrap_or(0))?;
            }
            writeln!(text, " {bytes:>15} {range:>24} {newest:>20} {behind:>13}")?;
        }
    }
    if found.unrecognized > 0 {
        writeln!(text, "{table:<22} {} objects are no files of the lake", found.unrecognized)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::LakeArgs;

    #[test]
    fn nothing_is_said_of_a_partition_that_has_no_file_since_a_day() {
        let log = Log {
            id: None,
            ends: vec![100],
        };
        let behind = |since: Option<&str>| {
            let args = LsArgs {
                rows: false,
                of: LakeArgs {
                    since: since.map(|day| day.parse().unwrap()),
                    ..LakeArgs::default()
                },
            };
            let mut text = String::new();
            lines("t", &Overview::default(), Some(&log), &args, &mut text).unwrap();
            text.split_whitespace().last().map(str::to_owned).unwrap()
        };
        assert_eq!((behind(None), behind(Some("2026-01-01"))), ("100".to_owned(), "-".to_owned()));
    }
}
