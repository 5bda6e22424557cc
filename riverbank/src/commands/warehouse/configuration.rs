//! What the migrations need of the settings.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use warehouse::migrations::{Configuration, Value};

use crate::config::{Secret, Settings, WarehouseTables};

/// Variables of the migrations that follow from no setting of their own, with their defaults.
const VARIABLES: [(&str, Option<&str>); 15] = [
    ("warehouse_size", Some("XSMALL")),
    ("loader_role", Some("RIVERBANK_LOADER")),
    ("reader_role", Some("RIVERBANK_READER")),
    ("auditor_role", Some("RIVERBANK_AUDITOR")),
    ("storage_integration", Some("RIVERBANK_LAKE")),
    ("external_volume", Some("RIVERBANK_LAKE")),
    ("catalog_integration", Some("RIVERBANK_CATALOG")),
    ("lake_url", None),
    ("iceberg_url", None),
    ("s3_endpoint", None),
    ("s3_key_id", None),
    ("s3_secret_key", None),
    ("aws_role_arn", None),
    ("iceberg_catalog_uri", None),
    ("iceberg_warehouse", None),
];
/// Those that are not to be seen.
const SECRETS: [&str; 2] = ["s3_secret_key", "iceberg_token"];
/// The setting that gives a variable which nothing else does.
const VARIABLES_SETTING: &str = "snowflake.variables";

/// Each variable with its value, and which migrations are for these settings.
pub(super) fn configuration(settings: &Settings) -> anyhow::Result<Configuration> {
    let (snowflake, s3) = (&settings.snowflake, &settings.s3);
    let on_aws = s3.endpoint.is_none();
    let (bucket, prefix) = (settings.sink.url.host_str(), settings.sink.url.path().trim_matches('/'));
    let scheme = if on_aws { "s3" } else { "s3compat" };
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    let lake = bucket
        .filter(|_| settings.sink.url.scheme() == "s3")
        .map(|bucket| format!("{scheme}://{bucket}/{prefix}"));
    let endpoint = s3.endpoint.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    let revealed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    let mut values = BTreeMap::new();
    let mut put = |name: &'static str, text: Option<String>, setting: &'static str| {
        let secret = SECRETS.contains(&name);
        values.insert(name, Value { text, setting, secret });
    };
    for (name, default) in VARIABLES {
        put(name, default.map(str::to_owned), VARIABLES_SETTING);
    }
    put("iceberg_token", None, VARIABLES_SETTING);
    put("database", Some(snowflake.database.clone()), "snowflake.database");
    put("warehouse", Some(snowflake.warehouse.clone()), "snowflake.warehouse");
    put("lake_url", lake.clone(), "sink.url to an s3:// address");
    put("iceberg_url", lake, "sink.url to an s3:// address");
    put("s3_endpoint", endpoint, "s3.endpoint");
    put("s3_key_id", revealed(&s3.access_key), "s3.access_key");
    put("s3_secret_key", revealed(&s3.secret_key), "s3.secret_key");
    for (name, text) in snowflake.variables.reveal() {
        let known = values.get_mut(name.as_str());
        let known = known.with_context(|| format!("{VARIABLES_SETTING}: {name} is no variable of warehouse/sql"))?;
        (known.text, known.setting) = (Some(text.clone()), VARIABLES_SETTING);
    }
    let facts = match snowflake.tables {
        WarehouseTables::Loaded => BTreeSet::from([("tables", "loaded"), ("stage", scheme)]),
        WarehouseTables::Iceberg => BTreeSet::from([("tables", "iceberg")]),
    };
    Ok(Configuration { values, facts })
}
