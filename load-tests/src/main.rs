//! The command line of the load tests.

use std::process::ExitCode;

use clap::Parser;
use load_tests::{bank, freshness, growth, latency, reference, restart, sink, soak, stack, steps};

#[derive(Parser)]
#[command(about = "Measures Riverbank beside its peers")]
enum Command {
    /// The same work by Riverbank's engine, Kafka Streams and a bare loop.
    Reference(reference::Reference),
    /// From a kill -9 to the last balance that waited, by the number of keys.
    Restart(restart::Restart),
    /// The whole bank, from change events to balances, and its stages.
    Bank(bank::Bank),
    /// What a source event of the whole bank costs, by the number of accounts.
    BankGrowth(bank::BankGrowth),
    /// What an event costs, by the number of keys and of partitions.
    Growth(growth::Growth),
    /// How long until an effect is visible, by load and commit interval; and over the whole stack.
    Latency(latency::Latency),
    /// How long until a commit in Postgres is on its topic, in the lake, in the Iceberg table and in Snowflake's.
    Freshness(freshness::Freshness),
    /// Half of what the engine can do, for long: whether anything grows.
    Soak(soak::Soak),
    /// What a row of the lake costs, beside a bare Parquet writer on the same rows.
    Sink(sink::Sink),
    /// A step of one record, many times: for counting instructions.
    #[command(hide = true)]
    Step {
        /// Which.
        step: steps::Step,
        /// How many times.
        count: usize,
    },
    /// The reference work on Riverbank's engine, as a process of its own.
    #[command(hide = true)]
    Engine(reference::Program),
    /// The bank's topology, as a process of its own.
    #[command(hide = true)]
    BankEngine(bank::BankEngine),
    /// The sinks of some tables, as a process of its own.
    #[command(hide = true)]
    SinkProgram(sink::SinkProgram),
    /// The whole program, with the settings of the environment.
    #[command(hide = true)]
    RiverbankRun,
    /// `riverbank warehouse apply`, with the settings of the environment.
    #[command(hide = true)]
    WarehouseApply,
    /// The reference work as a bare loop.
    #[command(hide = true)]
    BareLoop(reference::Program),
    /// The client alone, with as many records.
    #[command(hide = true)]
    ClientOnly(reference::Program),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into()))
        .with_writer(std::io::stderr)
        .init();
    let outcome = match Command::parse() {
        Command::Reference(scenario) => scenario.run(),
        Command::Restart(scenario) => scenario.run(),
        Command::Bank(scenario) => scenario.run(),
        Command::BankGrowth(scenario) => scenario.run(),
        Command::Growth(scenario) => scenario.run(),
        Command::Latency(scenario) => scenario.run(),
        Command::Freshness(scenario) => scenario.run(),
        Command::Soak(scenario) => scenario.run(),
        Command::Sink(scenario) => scenario.run(),
        Command::Step { step, count } => steps::run(step, count),
        Command::Engine(program) => program.run(),
        Command::BankEngine(program) => program.run(),
        Command::SinkProgram(program) => program.run(),
        Command::RiverbankRun => stack::run_riverbank(),
        Command::WarehouseApply => stack::apply_warehouse(),
        Command::BareLoop(program) => reference::run_bare_loop(&program),
        Command::ClientOnly(program) => reference::run_client_only(&program),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
