//! The Snowpipe notifier in this process, and where it hears of new files.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::Broker;
use sinks::group::protocol::Intent;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warehouse::notifier::events::Place;
use warehouse::notifier::kafka::EventReader;
use warehouse::notifier::lake::StoreLake;
use warehouse::notifier::metrics::faults;
use warehouse::notifier::{Notifier, NotifierHandle, NotifierSettings, Offers, Source, webhook};
use warehouse::snowflake::{Retries, Snowpipe};

use crate::config::{Secret, Settings};
use crate::open::{lake, snowflake};

/// How long the last files may take to be reported at a stop; what is left then is found by the next start.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long Snowflake may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A notifier with its sources.
#[derive(Debug)]
pub struct Notifying {
    handle: NotifierHandle,
    events: Option<EventReader>,
    webhook: Option<JoinHandle<()>>,
}

impl Notifying {
    /// Starts it, if the settings say so, in the runtime that this is called in.
    pub async fn start(
        settings: &Settings,
        broker: &Arc<dyn Broker>,
        metrics: &prometheus::Registry,
    ) -> anyhow::Result<Option<Self>> {
        if !settings.snowpipe.enabled {
            return Ok(None);
        }
        let of_notifier = notifier_settings(settings)?;
        let store = StoreLake::new(lake::store(settings)?, of_notifier.store_timeout);
        // The notifier tries again by itself, and goes on with other pipes meanwhile.
        let retries = Retries {
            attempts_max: 2,
            timeout: REQUEST_TIMEOUT,
            ..Retries::default()
        };
        let connection = snowflake::connection(settings, retries)?.counting(faults(metrics)?);
        let pipes = Snowpipe::new(Arc::new(connection));
        let notifier = Notifier::new(
            of_notifier,
            Arc::new(store),
            Arc::new(pipes),
            snowflake::ledger(settings)?,
            metrics,
        )?;
        let offers = notifier.offers();
        let place = Place::of(&settings.sink.url).context("sink.url is no s3:// address")?;
        let webhook = webhook(settings, &place, &offers).await?;
        let events = settings.snowpipe.topic.clone();
        let events = events.map(|topic| EventReader::start(broker.clone(), topic, place, offers.clone()));
        Ok(Some(Self {
            handle: notifier.start(),
            events: events.transpose().context("read snowpipe.topic")?,
            webhook,
        }))
    }

    /// What the sinks are to call when they have finished a range.
    pub fn listener(&self) -> sinks::Listener {
        let offers = self.handle.offers();
        Arc::new(move |intent: &Intent| {
            for file in intent.files() {
                // Without room, a listing finds it.
                offers.offer(Source::Sink, file);
            }
        })
    }

    /// What is wrong, for readiness.
    pub fn trouble(&self) -> Option<String> {
        self.handle.trouble()
    }

    /// Reports what is waiting, if that is possible soon, and ends.
    pub async fn stop(self) {
        if let Some(webhook) = self.webhook {
            webhook.abort();
        }
        // Its thread ends within a poll.
        if tokio::task::spawn_blocking(move || drop(self.events)).await.is_err() {
            tracing::error!("the reader of bucket events ended in a panic");
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.handle.stop()).await.is_err() {
            tracing::warn!("the Snowpipe notifier did not end in time; the next start finds what is left");
        }
    }
}

fn notifier_settings(settings: &Settings) -> anyhow::Result<NotifierSettings> {
    let snowpipe = &settings.snowpipe;
    let rule = snowpipe.rule(&settings.snowflake.database).map_err(anyhow::Error::msg)?;
    let tables = sinks::tables::all();
    let names = tables.iter().map(|table| table.name());
    let defaults = NotifierSettings::new(&rule, names).map_err(|error| anyhow::anyhow!("snowpipe.pipe {error}"))?;
    Ok(NotifierSettings {
        batch_wait: snowpipe.batch_wait,
        reconcile_interval: snowpipe.reconcile_interval,
        report_interval: snowpipe.report_interval,
        ..defaults
    })
}

/// Listens for bucket events, if the settings say where.
async fn webhook(settings: &Settings, place: &Place, offers: &Offers) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(listen) = settings.snowpipe.listen else {
        return Ok(None);
    };
    let token = settings.snowpipe.webhook_token.as_ref().map(Secret::reveal);
    let token = token.context("snowpipe.webhook_token is missing")?.to_owned();
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("snowpipe.listen {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "bucket events are awaited");
    let router = webhook::router(place.clone(), token, offers.clone());
    let serve = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "bucket events are no longer awaited");
        }
    };
    Ok(Some(tokio::spawn(serve)))
}
