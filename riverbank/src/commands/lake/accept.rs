//! `riverbank lake accept`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::Broker;
use clock::{Clock, SystemClock};
use sinks::lake::{self, Accepted};

use crate::config::Settings;
use crate::open::lake::{existing_store, tables};
use crate::open::log::{PATIENCE, kafka};
use crate::print::print;
use crate::process::runtime;

/// Takes a topic that was made anew, or a log that was cut off, for the next generation of a table's files.
pub fn accept(settings: Settings, name: &str) -> anyhow::Result<ExitCode> {
    let table = &tables(Some(name))?[0];
    let store = existing_store(&settings)?;
    let kafka = kafka(&settings).context("kafka.brokers is not set")?;
    let broker: Arc<dyn Broker> = Arc::new(kafka);
    let accepted = runtime()?.block_on(lake::accept(&store, &broker, table, SystemClock.now(), PATIENCE))?;
    let text = match accepted {
        Accepted::AsItIs => format!("{name}: the topic is the one that its files are of; there is nothing to accept\n"),
        Accepted::Next(next) => format!(
            "{name}: topic {} ({}) is generation {} from now on; the sinks go on by themselves\n",
            next.topic,
            next.id_text(),
            next.generation
        ),
    };
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
