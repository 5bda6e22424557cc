//! The source database with its changes flowing: what most tests on the whole stack begin with.

use std::time::Duration;

use connect::{CAPTURE_ROLE, ConnectorSettings, Database, SERVICE_ROLE};

use crate::{Testbed, TestbedError};

const CAPTURE_PASSWORD: &str = "riverbank-cdc";
const SERVICE_PASSWORD: &str = "riverbank-service";
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

    /// The migrations alone, and the logins of the capture and of the service.
    pub async fn migrate(&self) -> Result<(), TestbedError> {
        let url = self.postgres().url();
        let migrated = async {
            connect::migrate(&url).await?;
            connect::allow_capture(&url, CAPTURE_PASSWORD).await?;
            connect::allow_service(&url, SERVICE_PASSWORD).await
        };
        migrated.await.map_err(|error| unexpected("postgres", &error))
    }

    /// The bank's database with the service's login, which may read and write its rows and nothing else; after the migrations.
    pub fn service_url(&self) -> String {
        let port = self.postgres().port();
        format!("postgres://{SERVICE_ROLE}:{SERVICE_PASSWORD}@127.0.0.1:{port}/bank")
    }

    /// Makes the narrower schema of batch stacks in a database of its own.
    pub async fn create_batch_stack(&self, database: &str) -> Result<(), TestbedError> {
        use sqlx::Connection;
        self.postgres().create_database(database).await?;
        let made = async {
            let mut connection = sqlx::PgConnection::connect(&self.postgres().url_of(database)).await?;
            sqlx::raw_sql(connect::BATCH_STACK_SQL).execute(&mut connection).await?;
            connection.close().await
        };
        made.await.map_err(|error| unexpected("postgres", &error))
    }

    /// Captures a database that [`create_batch_stack`](Self::create_batch_stack) made; returns when the task runs.
    pub async fn capture_batch_stack(&self, database: &str) -> Result<(), TestbedError> {
        connect::allow_capture(&self.postgres().url_of(database), CAPTURE_PASSWORD)
            .await
            .map_err(|error| unexpected("postgres", &error))?;
        let settings = ConnectorSettings::batch_stack(self.captured(database), self.registry().url());
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
