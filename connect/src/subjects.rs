//! The registry's subjects of the source's topics belong to the source: no change of a table there may be refused.
//!
//! With the registry's usual rule (BACKWARD) an ordinary migration (a column that becomes NOT NULL, or is renamed) makes a
//! schema that the registry refuses, and the connector's task fails for good, for all tables. Readers lose nothing by NONE:
//! each record is read by the schema that it was written with.

use reqwest::{Client, StatusCode};

use crate::ConnectorSettings;
use crate::error::{RegisterError, chain};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

impl ConnectorSettings {
    /// The subjects that the connector registers schemas under.
    pub fn subjects(&self) -> Vec<String> {
        let tables = self
            .captured()
            .into_iter()
            .map(|table| format!("{}.{table}", self.topic_prefix));
        let transactions = format!("{}.transaction", self.topic_prefix);
        let heartbeat = format!("__debezium-heartbeat.{}", self.topic_prefix);
        let topics = tables.chain([transactions, heartbeat]);
        topics
            .flat_map(|topic| ["key", "value"].map(|side| format!("{topic}-{side}")))
            .collect()
    }
}

/// Tells the registry to take whatever the source sends under its own subjects, those that do not exist yet included.
/// `Ok(Err(reason))` where it cannot be told now.
pub(crate) async fn free_subjects(client: &Client, settings: &ConnectorSettings) -> Result<Result<(), String>, RegisterError> {
    for subject in settings.subjects() {
        let url = format!("{}/config/{subject}", settings.registry_url.trim_end_matches('/'));
        let request = client
            .put(&url)
            .header("content-type", CONTENT_TYPE)
            .body(r#"{"compatibility":"NONE"}"#);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(format!("the registry: {}", chain(&error)))),
        };
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        match status {
            status if status.is_success() => {}
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(RegisterError::Registry {
                    reason: format!(
                        "the registry refuses compatibility NONE for {subject}: {status} {}",
                        body.trim()
                    ),
                });
            }
            status => return Ok(Err(format!("the registry answers {status} for {subject}: {}", body.trim()))),
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Database;

    #[test]
    fn the_subjects_are_those_of_the_connectors_topics() {
        let subjects = ConnectorSettings::bank(Database::default(), "http://registry").subjects();
        for expected in [
            "bank.public.customers-value",
            "bank.public.riverbank_heartbeat-value",
            "bank.transaction-key",
        ] {
            assert!(
                subjects.iter().any(|subject| subject == expected),
                "{expected} in {subjects:?}"
            );
        }
        assert_eq!(subjects.len(), 12);
    }
}
