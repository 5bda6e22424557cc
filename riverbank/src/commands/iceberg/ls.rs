//! `riverbank iceberg ls`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::existing::{existing, names};
use crate::config::Settings;
use crate::print::print;
use crate::process::runtime;

/// Prints each table's newest snapshot; exit code 1 if one could not be read.
pub fn ls(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let text = runtime()?.block_on(async {
        let tables = existing(settings).await?;
        let mut text = format!(
            "{:<24} {:>9} {:>9} {:>12} {:>14} {:>14} {:>21}\n",
            "table", "snapshots", "files", "rows", "bytes", "position", "newest snapshot"
        );
        for table in names(None)? {
            let loaded = match tables.load(&table).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    code = ExitCode::FAILURE;
                    writeln!(text, "{table:<24} {error}")?;
                    continue;
                }
            };
            let metadata = loaded.as_ref().map(|loaded| &loaded.metadata);
            let snapshot = metadata.and_then(|metadata| metadata.current_snapshot());
            let of = |name: &str| {
                snapshot
                    .and_then(|one| one["summary"][name].as_str())
                    .unwrap_or("-")
                    .to_owned()
            };
            let at = snapshot.and_then(|one| jiff::Timestamp::from_millisecond(one["timestamp-ms"].as_i64()?).ok());
            writeln!(
                text,
                "{table:<24} {:>9} {:>9} {:>12} {:>14} {:>14} {:>21}",
                metadata.map_or(0, |metadata| metadata.snapshots().len()),
                of("total-data-files"),
                of("total-records"),
                of("total-files-size"),
                of("riverbank.watermark"),
                at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}")),
            )?;
        }
        anyhow::Ok(text)
    })?;
    print(text)?;
    Ok(code)
}
