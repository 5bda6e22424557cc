//! `riverbank lake retain`: deletes what is old, unless somebody still needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clock::{Clock, SystemClock};
use futures::TryStreamExt;
use iceberg_tables::Named;
use object_store::ObjectStore;
use object_store::path::Path;
use sinks::Table;
use sinks::lake::{self, Floors, Keeper, Removal, Retention};
use sinks::parquet::layout::FileName;
use warehouse::notifier::lake::StoreLake;
use warehouse::notifier::ledger::Ledger;
use warehouse::notifier::settings::path_in_stage;
use warehouse::notifier::stream::{Received, Stream};

use crate::cli::RetainArgs;
use crate::config::IcebergCatalog;
use crate::config::Settings;
use crate::open::iceberg::{self, IcebergTables};
use crate::open::lake::{check_clock, existing_store, tables};
use crate::open::snowflake;
use crate::print::print;
use crate::process::runtime;

/// How long the lake's store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// Deletes the files of days that are older, or says which ones it would.
pub fn retain(settings: Settings, args: &RetainArgs) -> anyhow::Result<ExitCode> {
    let store = existing_store(&settings)?;
    let runtime = runtime()?;
    let retention = Retention::of_days(args.days, SystemClock.now(), args.dry_run);
    let tables = tables(args.table.as_deref())?;
    runtime.block_on(async {
        refuse(&settings, args, &store, &tables).await?;
        match args.dry_run {
            true => Ok(()),
            false => check_clock(&store).await,
        }
    })?;
    let snowpipe: Option<Arc<dyn Keeper>> = match settings.snowpipe.enabled && !args.without_snowpipe {
        true => Some(Arc::new(runtime.block_on(Snowpipe::load(&settings, &store))?)),
        false => None,
    };
    let iceberg = match args.without_iceberg {
        true => None,
        false => iceberg::settings(&settings)?,
    };
    let iceberg = match iceberg {
        Some(of_tables) => Some(runtime.block_on(IcebergTables::open(of_tables, &settings, &store))?),
        None => None,
    };
    print(format_args!("files of days before {}\n", retention.before))?;
    let mut code = ExitCode::SUCCESS;
    for table in tables {
        let mut text = String::new();
        let removals = async {
            let mut keepers: Vec<_> = snowpipe.iter().cloned().collect();
            if let Some(iceberg) = &iceberg {
                keepers.push(Arc::new(IcebergTable::of(iceberg, table.name()).await?) as Arc<dyn Keeper>);
            }
            anyhow::Ok(lake::retain(&store, table.name(), retention, &keepers).await?)
        };
        // One that is in trouble holds up no other.
        match runtime.block_on(removals) {
            Ok(removals) => lines(table.name(), &removals, args.dry_run, &mut text)?,
            Err(error) => {
                code = ExitCode::FAILURE;
                writeln!(text, "{:<22} {error:#}", table.name())?;
            }
        }
        print(text)?;
    }
    Ok(code)
}

/// Refuses where somebody has been at work who is not asked by these settings.
async fn refuse(
    settings: &Settings,
    args: &RetainArgs,
    store: &Arc<dyn ObjectStore>,
    tables: &[Arc<dyn Table>],
) -> anyhow::Result<()> {
    if settings.iceberg.catalog == IcebergCatalog::Off && !args.without_iceberg {
        for table in tables.iter().map(|table| table.name()) {
            let folder = Path::from_iter([table, "metadata"]);
            if store.list(Some(&folder)).try_next().await?.is_some() {
                bail!(
                    "iceberg.catalog is off, and {folder}/ has an Iceberg table's metadata: set it as the sinks have it, or give \
                     --without-iceberg if nobody reads that table"
                );
            }
        }
    }
    if !settings.snowpipe.enabled && !args.without_snowpipe {
        let lake = StoreLake::new(store.clone(), STORE_TIMEOUT);
        let mut ledgers = store.list(Some(&Ledger::folder()));
        while let Some(ledger) = ledgers.try_next().await? {
            let path = ledger.location;
            let ledger = Ledger::load(&lake, &path).await.with_context(|| path.to_string())?;
            let received = ledger.received();
            let mut used = received.keys().map(|stream| stream.table.as_str());
            if let Some(table) = used.find(|used| tables.iter().any(|table| table.name() == *used)) {
                bail!(
                    "snowpipe.enabled is false, and by {path}, Snowpipe loads {table}: set it as the sinks have it, or give \
                     --without-snowpipe if it is not used any more"
                );
            }
        }
    }
    Ok(())
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
struct IcebergTable {
    named: Named,
    /// What was noted before: the table takes in nothing below.
    floors: Floors,
}

impl IcebergTable {
    async fn of(tables: &IcebergTables, table: &str) -> anyhow::Result<Self> {
        let access = tables.access(table);
        let floors = lake::floors(access.store.as_ref(), table).await?;
        let named = iceberg_tables::named_files(&access).await;
        let named = named.context("ask what the Iceberg table needs")?;
        Ok(Self { named, floors })
    }
}

impl Keeper for IcebergTable {
    fn name(&self) -> &str {
        "its Iceberg table"
    }

    fn needs(&self, file: &FileName) -> bool {
        let floor = self.floors.get(&(file.partition, file.generation));
        match floor.is_some_and(|floor| file.end < *floor) {
            true => self.named.files.contains(&file.path()),
            false => !self.named.can_spare(file),
        }
    }
}

/// What Snowpipe has not received, or not loaded as far as is known.
struct Snowpipe {
    received: BTreeMap<Stream, Received>,
    /// Tables, and paths as their pipes know them. What failed is loaded again from its file.
    not_loaded: BTreeSet<(String, String)>,
    /// Tables of whose received files it is not known which ones are loaded.
    unknown: BTreeSet<String>,
}

impl Snowpipe {
    async fn load(settings: &Settings, store: &Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let lake = StoreLake::new(store.clone(), STORE_TIMEOUT);
        let ledger = Ledger::load(&lake, &snowflake::ledger(settings)?).await;
        let ledger = ledger.context("ask what Snowpipe has received")?;
        let failed = ledger.failures.iter();
        let mut not_loaded: BTreeSet<_> = failed.map(|failure| (failure.table.clone(), failure.path.clone())).collect();
        let mut unknown = BTreeSet::new();
        for (table, pipe) in snowflake::pipes(settings)? {
            let Some(pipe) = ledger.pipes.get(&pipe) else { continue };
            not_loaded.extend(pipe.awaited.keys().map(|path| (table.clone(), path.clone())));
            if !pipe.tracks_all(SystemClock.now()) {
                unknown.insert(table);
            }
        }
        Ok(Self {
            received: ledger.received(),
            not_loaded,
            unknown,
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
        !is_received || self.unknown.contains(&file.table) || self.not_loaded.contains(&(file.table.clone(), path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iceberg_table_needs_nothing_below_a_floor_but_what_it_names() {
        let file = |start: i64| FileName {
            table: "bronze.accounts".to_owned(),
            day: jiff::civil::date(2026, 1, 31),
            partition: 2,
            generation: 1,
            start,
            end: start + 9,
            schema: 1,
        };
        let table = IcebergTable {
            // It has taken in nothing yet.
            named: Named {
                files: [file(0).path()].into(),
                ..Named::default()
            },
            floors: [((2, 1), 20)].into(),
        };
        let needed: Vec<_> = [0, 10, 20, 30].map(|start| table.needs(&file(start))).into();
        assert_eq!(needed, [true, false, true, true]);
    }
}
