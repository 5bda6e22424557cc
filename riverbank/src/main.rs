//! Reads the command line, checks the settings, and hands over to the function that does the work.

use std::process::ExitCode;

use clap::Parser;
use riverbank::cli::{Cli, Command, IcebergCommand, LakeCommand, RulesCommand, TopologyCommand, WarehouseCommand};
use riverbank::commands::{audit, connect, demo, generate, health, iceberg, lake, rules, run, sink, topology, warehouse};
use riverbank::config::{LogFormat, LogSettings, Purpose, SettingFlags, Settings, SettingsError, UsageError};
use riverbank::telemetry;

/// The settings, or an argument, are wrong.
const EXIT_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(flags) => run::run(load(flags, Purpose::Run)?),
        Command::Sink(flags) => sink::sink(load(flags, Purpose::Sink)?),
        Command::Connect(flags) => connect::connect(load(flags, Purpose::Connect)?),
        Command::Demo(args) => {
            telemetry::init(&LogSettings {
                level: "warn".to_owned(),
                format: LogFormat::Text,
            })?;
            demo::demo(args)
        }
        Command::Generate(args) => generate::generate(args),
        Command::Topology(TopologyCommand::Describe(args)) => topology::describe(args),
        Command::Rules(RulesCommand::Describe) => rules::describe(),
        Command::Lake(LakeCommand::Ls(args)) => lake::ls(load(args.of.settings.clone(), Purpose::Lake)?, &args),
        Command::Lake(LakeCommand::Describe) => lake::describe(),
        Command::Lake(LakeCommand::Accept(args)) => lake::accept(load(args.settings, Purpose::Lake)?, &args.table),
        Command::Lake(LakeCommand::Verify(args)) => lake::verify(load(args.of.settings.clone(), Purpose::Lake)?, &args),
        Command::Lake(LakeCommand::Retain(args)) => lake::retain(load(args.settings.clone(), Purpose::Lake)?, &args),
        Command::Iceberg(IcebergCommand::Ls(flags)) => iceberg::ls(&load(flags, Purpose::Lake)?),
        Command::Iceberg(IcebergCommand::Compact(args)) => {
            let settings = load(args.settings.clone(), Purpose::Lake)?;
            iceberg::compact(&settings, &args)
        }
        Command::Iceberg(IcebergCommand::Retain(args)) => {
            let settings = load(args.settings.clone(), Purpose::Lake)?;
            iceberg::retain(&settings, &args)
        }
        Command::Warehouse(WarehouseCommand::Plan(flags)) => warehouse::plan(load(flags, Purpose::Plan)?),
        Command::Warehouse(WarehouseCommand::Apply(flags)) => warehouse::apply(load(flags, Purpose::Warehouse)?),
        Command::Warehouse(WarehouseCommand::Ddl(args)) => warehouse::ddl(&args.tables, args.duckdb),
        Command::Warehouse(WarehouseCommand::Status(args)) => {
            warehouse::status(load(args.settings, Purpose::Warehouse)?, args.days)
        }
        Command::Audit(args) => audit::audit(load(args.settings.clone(), Purpose::Audit)?, &args),
        Command::Health(args) => health::health(args),
    }
}

/// The checked settings, and logging as they say.
fn load(flags: SettingFlags, purpose: Purpose) -> anyhow::Result<Settings> {
    let settings = Settings::load(&flags.into_sources(), purpose)?;
    telemetry::init(&settings.log)?;
    Ok(settings)
}

/// One line on standard error, and the exit code that belongs to the error.
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("riverbank: {error:#}");
    match error.is::<SettingsError>() || error.is::<UsageError>() {
        true => ExitCode::from(EXIT_SETTINGS),
        false => ExitCode::FAILURE,
    }
}
