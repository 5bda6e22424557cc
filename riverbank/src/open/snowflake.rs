//! Snowflake, and what its notifier and its pipes are called.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use warehouse::notifier::ledger::Ledger;
use warehouse::snowflake::{Connection, PipeName, Retries, Session, Sql, Tokens};

use crate::config::Settings;

/// After how long Snowflake cancels a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// The connection to Snowflake.
pub fn connection(settings: &Settings, retries: Retries) -> anyhow::Result<Connection> {
    let snowflake = &settings.snowflake;
    let account = snowflake.account.as_ref().context("snowflake.account is missing")?;
    let user = snowflake.user.as_ref().context("snowflake.user is missing")?;
    let key = snowflake.key().context("snowflake.private_key is missing")?;
    let tokens = Tokens::new(account, user, key.context("snowflake.private_key")?);
    let url = snowflake.url.clone().unwrap_or_else(|| account.url());
    Ok(Connection::new(url, tokens, retries)?)
}

/// Statements over a connection, in the role of the settings.
pub fn sql(settings: &Settings, connection: Arc<Connection>) -> Sql {
    let session = Session {
        role: settings.snowflake.role.clone(),
        // Definitions need no virtual warehouse, and the one of the settings may not be there yet.
        ..Session::default()
    };
    Sql::new(connection, session, STATEMENT_TIMEOUT)
}

/// Where the notifier of this configuration notes how far it is.
pub fn ledger(settings: &Settings) -> anyhow::Result<object_store::path::Path> {
    let account = settings.snowflake.account.as_ref().context("snowflake.account is missing")?;
    Ok(Ledger::path(&account.in_token(), &settings.snowflake.database))
}

/// The pipe of each table.
pub fn pipes(settings: &Settings) -> anyhow::Result<BTreeMap<String, PipeName>> {
    let rule = settings
        .snowpipe
        .rule(&settings.snowflake.database)
        .map_err(anyhow::Error::msg)?;
    let tables = sinks::tables::all();
    let pipe = |name: &str| rule.pipe(name).map(|pipe| (name.to_owned(), pipe));
    let pipes: Result<_, String> = tables.iter().map(|table| pipe(table.name())).collect();
    pipes.map_err(anyhow::Error::msg).context("snowpipe.pipe")
}
