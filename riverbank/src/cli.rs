//! The command line: what can be asked of the program, and nothing of how it is done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;

use crate::commands::generate::GenerateArgs;
use crate::config::SettingFlags;

/// A bank's data as a stream: from the commit in Postgres to live balances, compacted topics and Parquet.
///
/// Settings come from flags, RIVERBANK_* variables and riverbank.yaml, in this order of precedence, and are checked as
/// a whole before anything starts. Exit codes: 0 done, 1 failed, 2 a setting or an argument is wrong.
#[derive(Debug, Parser)]
#[command(name = "riverbank", version, propagate_version = true, max_term_width = 130)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the stream processor, the HTTP service and the sinks, until SIGTERM or Ctrl-C
    Run(SettingFlags),
    /// Show the whole bank at work in this one process, with a simulated bank as its source
    Demo(DemoArgs),
    /// Simulate a bank: customers, accounts and transactions, into Postgres or straight to the topics
    Generate(GenerateArgs),
    /// Bring the source database's schema up to date, register the connector, and wait until it runs; safe to repeat
    Connect(SettingFlags),
    /// Run the Parquet sinks alone, as members of their own consumer group
    Sink(SettingFlags),
    /// Ask about the topology without running it
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Ask about the data rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Look at the Parquet files
    #[command(subcommand)]
    Lake(LakeCommand),
    /// Look at the Iceberg tables, merge their small files, drop their old days
    #[command(subcommand)]
    Iceberg(IcebergCommand),
    /// Set Snowflake up, and see what it has of the lake
    #[command(subcommand)]
    Warehouse(WarehouseCommand),
    /// Prove that Postgres, the topics, the state stores (over HTTP) and the files say the same, while the bank runs; exit code 1 if not
    Audit(AuditArgs),
    /// Ask a running instance whether it is ready; exit code 0 if it is, for container health checks
    Health(HealthArgs),
}

/// `riverbank topology …`
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Print the sub-topologies with their sources, processors, stores and sinks
    Describe(DescribeArgs),
}

/// `riverbank topology describe …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DescribeArgs {
    /// As a graph in the DOT language, for `dot -Tsvg`
    #[arg(long)]
    pub dot: bool,
}

/// `riverbank rules …`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Print every rule that rows are held against, and what happens to those that break it, as Markdown
    Describe,
}

/// `riverbank lake …`
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// List the files of every table and partition, with their ranges of offsets and their lag behind Kafka
    Ls(LsArgs),
    /// Prove that every partition's files are contiguous and disjoint, with as many rows as offsets say; exit code 1 if not
    Verify(VerifyArgs),
    /// Delete what is older than so many days, unless it is needed: by an Iceberg table, by Snowpipe, by the sinks; safe to repeat
    Retain(RetainArgs),
    /// Print what every table holds, column by column, as Markdown
    Describe,
    /// Go on with a topic that was made anew, or with a log that was cut off, as the next generation of a table's files
    Accept(AcceptArgs),
}

/// `riverbank iceberg …`
#[derive(Debug, Subcommand)]
pub enum IcebergCommand {
    /// List the tables: their newest snapshot, files, rows, and the source's position up to which they are whole
    Ls(SettingFlags),
    /// Merge the small files of days that are over, in one snapshot that changes no row; safe beside running sinks. The Parquet files
    /// of the lake's folders stay as they are
    Compact(CompactArgs),
    /// Drop the files of days that are not kept from the tables; safe beside running sinks. The Parquet files of the lake's folders
    /// stay as they are
    Retain(IcebergRetainArgs),
}

/// `riverbank iceberg compact …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CompactArgs {
    /// Merge files of days before this one (UTC); without it, before yesterday
    #[arg(long, value_name = "DAY")]
    pub before: Option<jiff::civil::Date>,
    /// Merge files below this size, into files of up to this size
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = file_size)]
    pub target_bytes: u64,
    /// Merge only where so many files become one
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub files_min: u32,
    /// This table alone, such as bronze.accounts
    #[arg(long)]
    pub table: Option<String>,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

fn file_size(text: &str) -> Result<u64, String> {
    crate::config::value::bytes(1 << 20, 4 << 30)(text)
}

/// `riverbank iceberg retain …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct IcebergRetainArgs {
    /// How many days are kept, besides today (UTC)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub days: u32,
    /// This table alone, such as bronze.accounts
    #[arg(long)]
    pub table: Option<String>,
    /// Drop nothing, and say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// `riverbank warehouse …`
#[derive(Debug, Subcommand)]
pub enum WarehouseCommand {
    /// Print the SQL that sets Snowflake up for these settings, with secrets hidden
    Plan(SettingFlags),
    /// Run those of its migrations that are not applied yet, and note them in OPS.MIGRATIONS; refuses one that was changed since
    Apply(SettingFlags),
    /// Print the SQL that tables need, from their declarations, for the migrations and views of a new one
    Ddl(DdlArgs),
    /// Show the migrations, and each pipe's state, lag and files that were not loaded; exit code 1 if something is wrong
    Status(StatusArgs),
}

/// `riverbank warehouse ddl …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DdlArgs {
    /// The tables, such as silver.accounts
    #[arg(required = true, num_args = 1..)]
    pub tables: Vec<String>,
    /// The views of warehouse/duckdb.sql, in place of Snowflake's migrations
    #[arg(long)]
    pub duckdb: bool,
}

/// `riverbank warehouse status …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct StatusArgs {
    /// Of how many days files that were not loaded are shown; Snowflake keeps 14
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=14))]
    pub days: u32,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// What is looked at in a lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct LakeArgs {
    /// Only this table, such as bronze.accounts
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Only the files of this UTC day and later ones, such as 2026-11-01
    #[arg(long, value_name = "DAY")]
    pub since: Option<Date>,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// `riverbank lake ls …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LsArgs {
    /// Count the rows, too, which are in the files' footers: a request or two for each file
    #[arg(long)]
    pub rows: bool,
    /// Which files, by which settings.
    #[command(flatten)]
    pub of: LakeArgs,
}

/// `riverbank lake retain …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RetainArgs {
    /// Files of whole UTC days that are older than this many days go
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Only this table, such as bronze.accounts
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Delete nothing, and say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    /// Ask no Iceberg table, although there is one or was: files that it needs go, too
    #[arg(long)]
    pub without_iceberg: bool,
    /// Do not ask what Snowpipe has loaded, although it was used: files that it needs go, too
    #[arg(long)]
    pub without_snowpipe: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// `riverbank lake accept …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AcceptArgs {
    /// The table, such as bronze.accounts
    pub table: String,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// `riverbank lake verify …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct VerifyArgs {
    /// Read the files' footers only, not each row's offset: fast, and finds no row that is doubled within a file
    #[arg(long)]
    pub footers: bool,
    /// Which files, by which settings; with `--since`, it says from which offsets on it judged.
    #[command(flatten)]
    pub of: LakeArgs,
}

/// `riverbank audit …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AuditArgs {
    /// An instance's address
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: reqwest::Url,
    /// What differs is wrong if it goes on differing for so long, although nothing changed it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub settle: Duration,
    /// How long the source's changes up to the look at it may take to arrive, before that
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub arrive: Duration,
    /// The most accounts whose balance is asked for over HTTP; of more, so many are chosen, spread over the ids
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub accounts_max: usize,
    /// No earlier version ran here, which kept no histories: a row without one is wrong
    #[arg(long)]
    pub histories_from_start: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// `riverbank demo …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DemoArgs {
    /// The simulated bank's seed: the same seed makes the same operations
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Operations a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// How long to run, such as 30s or 5m; without it, until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub run_for: Option<Duration>,
    /// Where the HTTP service listens; a loopback address, unless --insecure-no-auth is given
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Listen on an address that others reach, although there is no authentication
    #[arg(long)]
    pub insecure_no_auth: bool,
    /// Where state and Parquet files go; without it, a temporary folder that goes when the demo ends
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `riverbank health …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HealthArgs {
    /// The instance's address
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: reqwest::Url,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}
