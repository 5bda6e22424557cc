//! What writes the lake in this process: the sinks, the Iceberg tables over their files, and what reports those to Snowpipe.

use std::sync::Arc;
use std::time::Duration;

use iceberg_tables::IcebergHandle;
use sinks::{Listener, SinkHandle, SinkRunner};
use tokio::runtime::Handle;

use crate::config::Settings;
use crate::open::log::Log;
use crate::open::{iceberg, lake};
use crate::snowpipe::Notifying;

/// All of it at work.
pub struct LakeWriters {
    sink: SinkHandle,
    iceberg: Option<IcebergHandle>,
    notifying: Option<Notifying>,
}

impl LakeWriters {
    /// Starts what the settings ask for, in the runtime that this is called in.
    pub async fn start(settings: &Settings, log: &Log, instance: &str, metrics: &prometheus::Registry) -> anyhow::Result<Self> {
        let runner = SinkRunner::new(
            sink_settings(settings, instance),
            log.broker.clone(),
            log.registry.clone(),
            lake::store(settings)?,
            sinks::tables::all(),
        );
        let notifying = Notifying::start(settings, &log.broker, metrics).await?;
        let iceberg = iceberg_tables(settings, metrics)?;
        let sink = runner
            .with_listener(listener(notifying.as_ref(), iceberg.as_ref()))
            .start(metrics)?;
        Ok(Self {
            sink,
            iceberg,
            notifying,
        })
    }

    /// What the sinks, the Iceberg tables and what reports files to Snowpipe complain of, in this order.
    pub fn troubles(&self) -> [Option<String>; 3] {
        [
            self.sink.trouble(),
            self.iceberg.as_ref().and_then(IcebergHandle::trouble),
            self.notifying.as_ref().and_then(Notifying::trouble),
        ]
    }

    /// Writes what is open, and ends. The last files are in the tables, and reported, before those end. Blocks, within a runtime.
    pub fn stop(self) -> anyhow::Result<()> {
        let sink = self.sink.stop();
        // After the sink, and whatever became of it.
        let iceberg = self.iceberg.map(IcebergHandle::stop);
        if let Some(notifying) = self.notifying {
            Handle::current().block_on(notifying.stop());
        }
        sink?;
        iceberg.transpose()?;
        Ok(())
    }
}

/// The sinks' settings.
fn sink_settings(settings: &Settings, instance: &str) -> sinks::SinkSettings {
    sinks::SinkSettings {
        group: format!("{}-sinks", processors::APPLICATION),
        client_id: format!("{}-sink-{instance}", processors::APPLICATION),
        rows_max: settings.sink.rows_max,
        bytes_max: settings.sink.bytes_max,
        age_max: settings.sink.age_max,
        multipart_bytes: match settings.sink.url.scheme() {
            "s3" | "gs" => settings.sink.multipart_bytes,
            // A file is renamed onto its place at once, and a copy of Azure's may be unfinished when it is answered.
            _ => u64::MAX,
        },
        // What a killed process held is taken over after this.
        session_timeout: Duration::from_secs(10),
        ..sinks::SinkSettings::default()
    }
}

/// Starts to keep the tables, if they are asked for.
fn iceberg_tables(settings: &Settings, metrics: &prometheus::Registry) -> anyhow::Result<Option<IcebergHandle>> {
    let Some(tables_settings) = iceberg::settings(settings)? else {
        return Ok(None);
    };
    let (store, url) = (lake::store(settings)?, settings.sink.url.as_str());
    let tables = sinks::tables::all();
    Ok(Some(IcebergHandle::start(tables_settings, store, url, tables, metrics)?))
}

/// What is called for each range that the sinks have finished.
fn listener(notifying: Option<&Notifying>, iceberg: Option<&IcebergHandle>) -> Listener {
    let listeners = [notifying.map(Notifying::listener), iceberg.map(IcebergHandle::listener)];
    let listeners: Vec<Listener> = listeners.into_iter().flatten().collect();
    Arc::new(move |intent| listeners.iter().for_each(|listener| listener(intent)))
}
