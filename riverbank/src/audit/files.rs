//! The lake's files beside the log.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use object_store::ObjectStore;
use sinks::lake::{Depth, compare_with_log, verify};

use super::check::Check;

/// How long the log may show nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every table's files: of the topic that is there, each record's offset once, and the same records as the log has. What is in no file yet is noted; where
/// all is said to be written, it is missing.
pub async fn check_files(
    store: &Arc<dyn ObjectStore>,
    broker: &Arc<dyn Broker>,
    all_written: bool,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for table in sinks::tables::all() {
        let report = verify(store, table.name(), Depth::Offsets).await?;
        let log = broker.clone();
        let (report, beside) = tokio::task::spawn_blocking(move || {
            let beside = compare_with_log(&*log, table.as_ref(), &report, PATIENCE);
            (report, beside)
        })
        .await?;
        let beside = beside?;
        let (files, rows) = (report.files(), report.rows());
        let mut check = Check::of(format!(
            "{}: {rows} rows in {files} Parquet files, each offset once",
            report.table
        ));
        let topics = report.generations.len();
        if topics > 1 {
            check
                .notes
                .push(format!("its files are of {topics} topics, or cut-off logs, of its name"));
        }
        let problems = report.problems.iter().chain(&beside.problems);
        check.found(problems.map(ToString::to_string).collect());
        let unwritten: u64 = beside.partitions.iter().map(|partition| partition.unwritten).sum();
        if unwritten > 0 {
            match all_written {
                true => check.problems.push(format!("{unwritten} records are in no file")),
                false => check.notes.push(format!("{unwritten} records are in no file yet")),
            }
        }
        checks.push(check);
    }
    Ok(checks)
}
