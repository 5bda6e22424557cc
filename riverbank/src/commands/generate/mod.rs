//! `riverbank generate`: reads the settings of the simulated bank, opens the database or the topics, keeps them busy until the
//! end or Ctrl-C, prints the totals.

mod args;
mod plan;
pub mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::model::instant;
use broker::TopicPartition;
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTIONS};
use simulator::{Pace, RecordTarget, SimulatedBank, drive};
use system_of_record::{Postgres, PostgresSettings, SystemOfRecord};
use topology::clock::{Clock, Micros, SystemClock};

pub use self::args::GenerateArgs;
pub use self::plan::{Destination, Plan};
use crate::config::{Problem, Purpose, Secret, Settings, SettingsError, Sources};
use crate::open::log::Log;
use crate::open::records;
use crate::print::print;
use crate::process::{runtime, until_signal};
use crate::telemetry;

/// How long Kafka may take to say what is in a topic.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the command.
pub fn generate(args: GenerateArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::load(&args.into_sources())?;
    let settings = Settings::load(&Sources::of_process(None, BTreeMap::new()), Purpose::Generate)?;
    telemetry::init(&settings.log)?;
    runtime()?.block_on(run(plan, settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(plan: Plan, settings: Settings) -> anyhow::Result<()> {
    let records = match (&plan.into, &settings.postgres.url) {
        (Destination::Database(url), _) | (Destination::Settings, Some(url)) => postgres(url, plan.connections).await?,
        (Destination::Settings, None) => {
            return Err(missing(
                "postgres.url",
                "`into` is postgres, which means the database of this setting",
            ));
        }
        (Destination::Topics, _) => topics(&settings).await?,
    };
    let seed = plan.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let mut profile = plan.profile;
    profile.days.start = plan.start.unwrap_or_else(|| SystemClock.now_ms().to_micros().0);
    let start = instant(Micros(profile.days.start));
    let lanes = SimulatedBank::lanes(seed, profile, plan.connections);
    print(format_args!(
        "seed {seed}, start {start}, {} connections; Ctrl-C ends it\n",
        lanes.len()
    ))?;
    let pace = Pace {
        rate: plan.rate,
        count: plan.count,
        run_for: plan.run_for,
        stop: until_signal()?,
    };
    let totals = drive(lanes, Arc::new(RecordTarget::new(records)), pace).await?;
    print(totals)
}

fn missing(setting: &str, why: &str) -> anyhow::Error {
    let problem = Problem {
        setting: setting.to_owned(),
        origin: None,
        message: format!("is missing: {why}"),
    };
    SettingsError { problems: vec![problem] }.into()
}

async fn postgres(url: &Secret, connections: usize) -> anyhow::Result<Arc<dyn SystemOfRecord>> {
    let settings = PostgresSettings {
        connections_max: connections as u32,
        ..PostgresSettings::default()
    };
    let postgres = Postgres::connect_lazy(url.reveal(), &settings)?;
    postgres
        .check()
        .await
        .with_context(|| format!("reach Postgres at {}", url.address()))?;
    Ok(Arc::new(postgres))
}

/// A bank of our own, whose change events go to Kafka as Debezium would send them.
async fn topics(settings: &Settings) -> anyhow::Result<Arc<dyn SystemOfRecord>> {
    for (setting, is_set) in [
        ("kafka.brokers", settings.kafka.brokers.is_some()),
        ("registry.url", settings.registry.url.is_some()),
    ] {
        if !is_set {
            return Err(missing(setting, "`into` is topics, which are Kafka's"));
        }
    }
    let log = Log::of(settings)?;
    let found = {
        let log = log.clone();
        tokio::task::spawn_blocking(move || occupied(&log)).await??
    };
    if let Some(topic) = found {
        bail!("{topic} holds a bank's changes already, and a second bank would give its rows the same ids; use empty topics");
    }
    Ok(records::in_process(&log).await?)
}

/// The first of the change topics that has ever had a record.
fn occupied(log: &Log) -> anyhow::Result<Option<&'static str>> {
    let mut reader = log.broker.reader("riverbank-generate")?;
    for topic in [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()] {
        for partition in 0..log.broker.partitions(topic, KAFKA_TIMEOUT)?.unwrap_or(0) {
            let (_, end) = reader.bounds(&TopicPartition::new(topic, partition), KAFKA_TIMEOUT)?;
            if end > 0 {
                return Ok(Some(topic));
            }
        }
    }
    Ok(None)
}
