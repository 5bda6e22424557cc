//! The lake's object store and its tables.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clock::{Clock, SystemClock};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sinks::{AzOptions, GsOptions, S3Options, StoreOptions, Table};

use crate::config::{Secret, Settings, UsageError};

/// How far this machine's clock and the store's may be apart, where files are deleted by their age.
const CLOCKS_APART: Duration = Duration::from_secs(3_600);

/// Opens the store that `sink.url` names.
pub fn store(settings: &Settings) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let s3 = &settings.s3;
    let revealed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    let s3 = S3Options {
        endpoint: s3.endpoint.as_ref().map(ToString::to_string),
        access_key: revealed(&s3.access_key),
        secret_key: revealed(&s3.secret_key),
        region: Some(s3.region.clone()),
        allow_http: s3.allow_http,
    };
    let gs = GsOptions {
        endpoint: settings.gs.endpoint.as_ref().map(ToString::to_string),
        service_account: revealed(&settings.gs.service_account),
    };
    let az = AzOptions {
        endpoint: settings.az.endpoint.as_ref().map(ToString::to_string),
        account: settings.az.account.clone(),
        access_key: revealed(&settings.az.access_key),
    };
    sinks::open_with(settings.sink.url.as_str(), &StoreOptions { s3, gs, az }).context("sink.url")
}

/// The same, of a lake that is there: whoever looks at one makes none, and a mistyped folder is no lake without a fault.
pub fn existing_store(settings: &Settings) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let folder = match settings.sink.url.scheme() {
        "file" => settings.sink.url.to_file_path().ok(),
        _ => None,
    };
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let folder = folder.display();
        bail!(UsageError(format!(
            "there is no folder {folder}: set sink.url (--sink-url) to the lake"
        )));
    }
    store(settings)
}

/// Compares this machine's clock with the store's, by an object that is written and deleted: who is years ahead would delete all there is.
pub async fn check_clock(store: &Arc<dyn ObjectStore>) -> anyhow::Result<()> {
    let path = Path::from(format!("_clock/{}", uuid::Uuid::new_v4()));
    store
        .put(&path, Vec::new().into())
        .await
        .context("ask the store for the time")?;
    let there = store.head(&path).await;
    store.delete(&path).await.context("ask the store for the time")?;
    let there = Timestamp::from_millisecond(there.context("ask the store for the time")?.last_modified.timestamp_millis())?;
    let here = SystemClock.now();
    ensure!(
        here.duration_since(there).unsigned_abs() < CLOCKS_APART,
        "this machine's clock says {here:.0}, and the store's {there:.0}: nothing is deleted by a clock that may be wrong"
    );
    Ok(())
}

/// The table of a name, or all of them.
pub fn tables(name: Option<&str>) -> anyhow::Result<Vec<Arc<dyn Table>>> {
    let all = sinks::tables::all();
    let Some(name) = name else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|table| table.name().to_owned()).collect();
    let table = all.into_iter().find(|table| table.name() == name);
    let table = table.ok_or_else(|| UsageError(format!("there is no table {name}; there are {}", names.join(", "))))?;
    Ok(vec![table])
}
