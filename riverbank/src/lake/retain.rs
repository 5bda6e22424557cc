//! `riverbank lake retain`: deletes what is old, unless somebody still needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use iceberg_tables::Named;
use jiff::Timestamp;
use object_store::ObjectStore;
use sinks::lake::{self, Keeper, Removal, Retention};
use sinks::parquet::layout::FileName;
use warehouse::notifier::lake::StoreLake;
use warehouse::notifier::ledger::Ledger;
use warehouse::notifier::settings::path_in_stage;
use warehouse::notifier::stream::{Received, Stream};

use super::{PATIENCE, open, print, tables};
use crate::cli::RetainArgs;
use crate::config::Settings;
use crate::process::runtime;
use crate::{iceberg, snowflake};

/// Deletes the files of days that are older, or says which ones it would.
pub fn retain(settings: Settings, args: &RetainArgs) -> anyhow::Result<ExitCode> {
    let store = open(&settings)?;
    let runtime = runtime()?;
    let retention = Retention::of_days(args.days, Timestamp::now(), args.dry_run);
    let mut text = format!("files of days before {}\n", retention.before);
    let snowpipe: Option<Arc<dyn Keeper>> = match settings.snowpipe.enabled {
        true => Some(Arc::new(runtime.block_on(Snowpipe::load(&settings, &store))?)),
        false => None,
    };
    for table in tables(args.table.as_deref())? {
        let iceberg = iceberg::settings(&settings)?;
        let iceberg: Option<Arc<dyn Keeper>> = match iceberg {
            Some(iceberg) => {
                let url = settings.sink.url.as_str();
                let named = runtime.block_on(iceberg_tables::named_files(&iceberg, &store, url, table.name()));
                Some(Arc::new(IcebergTable(named.context("ask what the Iceberg table needs")?)))
            }
            None => None,
        };
        let keepers: Vec<_> = snowpipe.iter().cloned().chain(iceberg).collect();
        let removals = runtime.block_on(lake::retain(&store, table.name(), retention, &keepers))?;
        lines(table.name(), &removals, args.dry_run, &mut text)?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn lines(table: &str, removals: &[Removal], dry_run: bool, text: &mut String) -> anyhow::Result<()> {
    let done = if dry_run { "would be deleted" } else { "deleted" };
    if removals.is_empty() {
        writeln!(text, "{table:<22} nothing")?;
    }
    for removal in removals {
        let Removal {
            partition,
            generation,
            floor,
            files,
            bytes,
            ..
        } = removal;
        write!(text, "{table:<22} partition {partition}, generation {generation}: ")?;
        match removal.days {
            Some((first, last)) => write!(
                text,
                "{files} files of {first} to {last}, {bytes} bytes, {done}: all before offset {floor}"
            )?,
            None => write!(text, "nothing")?,
        }
        if let Some(keeper) = &removal.held_by {
            write!(text, "; older files stay, which {keeper} needs")?;
        }
        text.push('\n');
    }
    Ok(())
}

/// What an Iceberg table has not taken in yet, and what its snapshots name.
struct IcebergTable(Named);

impl Keeper for IcebergTable {
    fn name(&self) -> &str {
        "its Iceberg table"
    }

    fn needs(&self, file: &FileName) -> bool {
        !self.0.can_spare(file)
    }
}

/// What Snowpipe has not received, or not loaded as far as is known.
struct Snowpipe {
    received: BTreeMap<Stream, Received>,
    /// Tables, and paths as their pipes know them.
    awaited: BTreeSet<(String, String)>,
}

impl Snowpipe {
    async fn load(settings: &Settings, store: &Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let lake = StoreLake::new(store.clone(), PATIENCE);
        let ledger = Ledger::load(&lake, &snowflake::ledger(settings)?).await;
        let ledger = ledger.context("ask what Snowpipe has received")?;
        let mut awaited = BTreeSet::new();
        for (table, pipe) in snowflake::pipes(settings)? {
            let paths = ledger.pipes.get(&pipe).into_iter().flat_map(|pipe| pipe.awaited.keys());
            awaited.extend(paths.map(|path| (table.clone(), path.clone())));
        }
        Ok(Self {
            received: ledger.received(),
            awaited,
        })
    }
}

impl Keeper for Snowpipe {
    fn name(&self) -> &str {
        "Snowpipe"
    }

    fn needs(&self, file: &FileName) -> bool {
        let received = self.received.get(&Stream::of(file));
        let is_received = received.is_some_and(|received| received.offsets.covers(file.start, file.end));
        let path = file.to_string();
        let path = path_in_stage(&file.table, &path).to_owned();
        !is_received || self.awaited.contains(&(file.table.clone(), path))
    }
}
