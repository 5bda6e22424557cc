//! Looks at Kafka Connect and at the source database, again and again.

use std::sync::Arc;
use std::time::Duration;

use connect::{CheckError, ConnectorProbe, SourceExpectations, check_source_on, look_into, slot_state};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::Watched;
use crate::config::Secret;

/// How long one look at the database may take: a connection may hang.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// Looks at the connector for ever.
pub(super) async fn at_connector(watched: Arc<Watched>, probe: ConnectorProbe, interval: Duration) {
    loop {
        watched.saw_connector(probe.look().await);
        sleep(interval).await;
    }
}

/// Looks at the slot at the first interval, and checks the tables at the second, for ever: against the connector's configuration,
/// where Connect can be asked, and what the program's own settings say otherwise.
pub(super) async fn at_database(
    watched: Arc<Watched>,
    url: Secret,
    probe: Option<ConnectorProbe>,
    own: SourceExpectations,
    (look_interval, check_interval): (Duration, Duration),
) {
    let mut expected = own.clone();
    let mut connection = None;
    let mut checked_at: Option<Instant> = None;
    loop {
        let is_due = checked_at.is_none_or(|at| at.elapsed() >= check_interval);
        if let Some(probe) = probe.as_ref().filter(|_| is_due) {
            match probe.settings().await {
                Ok(Some(running)) => expected = own.clone().as_running(&running),
                Ok(None) => expected = own.clone(),
                // What it said last holds; the look at the connector tells that Connect is away.
                Err(_) => {}
            }
        }
        let look = look(&watched, &mut connection, &url, &expected, is_due);
        match timeout(LOOK_MAX, look).await {
            Ok(Ok(())) if is_due => checked_at = Some(Instant::now()),
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                connection = None;
                watched.could_not_ask(&error.to_string());
            }
            Err(_) => {
                connection = None;
                watched.could_not_ask(&format!("Postgres did not answer within {LOOK_MAX:?}"));
            }
        }
        sleep(look_interval).await;
    }
}

async fn look(
    watched: &Watched,
    connection: &mut Option<PgConnection>,
    url: &Secret,
    expected: &SourceExpectations,
    is_due: bool,
) -> Result<(), CheckError> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(look_into(url.reveal()).await?),
    };
    if let Some(name) = &expected.slot {
        watched.saw_slot(slot_state(connection, name).await?);
    }
    if is_due {
        // The slot is looked at more often, above.
        let tables = expected.clone().before_the_first_start();
        watched.found(check_source_on(connection, &tables).await?);
    }
    Ok(())
}
