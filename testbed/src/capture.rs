//! The source database with its changes flowing: what most tests on the whole stack begin with.

use std::time::Duration;

use connect::{CAPTURE_ROLE, ConnectorSettings, Database};

use crate::{Testbed, TestbedError};

const CAPTURE_PASSWORD: &str = "riverbank-cdc";
const RUNNING_WITHIN: Duration = Duration::from_secs(90);

impl Testbed {
    /// The connector's settings for this testbed's database `bank`; change what the test is about.
    pub fn connector_settings(&self) -> ConnectorSettings {
        ConnectorSettings::bank(self.captured("bank"), self.registry().url())
    }

    /// Brings the database `bank` to the newest schema and registers the connector, as a deployment would; returns when
    /// its task runs. Safe to repeat.
    pub async fn capture(&self) -> Result<(), TestbedError> {
        self.migrate().await?;
        self.register(&self.connector_settings()).await
    }

    /// The migrations alone, and the capture role's login.
    pub async fn migrate(&self) -> Result<(), TestbedError> {
        let url = self.postgres().url();
        let migrated = async {
            connect::migrate(&url).await?;
            connect::allow_capture(&url, CAPTURE_PASSWORD).await
        };
        migrated.await.map_err(|error| unexpected("postgres", &error))
    }

    /// Captures another database: one that has a publication, but was not made by our migrations.
    pub async fn capture_batch_stack(&self, database: &str) -> Result<(), TestbedError> {
        let mut settings = ConnectorSettings::batch_stack(self.captured(database), self.registry().url());
        let mut url = self.postgres().url_of(database);
        // Nobody made a login there for us; the superuser may do everything.
        let login = url.split_off("postgres://".len());
        if let Some((user, password)) = login.split('@').next().and_then(|login| login.split_once(':')) {
            settings.database.user = user.to_owned();
            settings.database.password = password.to_owned();
        }
        self.register(&settings).await
    }

    /// Registers a connector and waits until it runs.
    pub async fn register(&self, settings: &ConnectorSettings) -> Result<(), TestbedError> {
        connect::register(self.connect().url(), settings, RUNNING_WITHIN)
            .await
            .map_err(|error| unexpected("connect", &error))
    }

    fn captured(&self, database: &str) -> Database {
        Database::new("127.0.0.1", self.postgres().port(), database, CAPTURE_ROLE, CAPTURE_PASSWORD)
    }
}

fn unexpected(server: &'static str, error: &dyn std::error::Error) -> TestbedError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    TestbedError::Unexpected { server, reason }
}
