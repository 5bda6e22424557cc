//! The Iceberg tables beside the files that they are of.

use sinks::lake::{Depth, verify};

use super::check::Check;
use crate::open::iceberg::IcebergTables;

/// Every table has the rows of its files.
pub async fn check_iceberg(tables: &IcebergTables) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for table in sinks::tables::all() {
        let loaded = tables.load(table.name()).await?;
        let snapshot = loaded.as_ref().and_then(|loaded| loaded.metadata.current_snapshot());
        let rows = snapshot.and_then(|snapshot| snapshot["summary"]["total-records"].as_str()?.parse::<u64>().ok());
        let rows = rows.unwrap_or(0);
        let report = verify(&tables.store, table.name(), Depth::Footers).await?;
        let in_files = report.rows();
        let mut check = Check::of(format!(
            "{}: {rows} rows in the Iceberg table, as in its files",
            tables.access(table.name()).name
        ));
        if rows != in_files {
            check.problems.push(format!("the files have {in_files} rows"));
        }
        checks.push(check);
    }
    Ok(checks)
}
