//! What the source must look like.

use crate::{ColumnPatterns, ConnectorSettings, RunningSettings};

/// What the source must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceExpectations {
    /// The publication.
    pub publication: String,
    /// The captured tables, as `schema.table`.
    pub tables: Vec<String>,
    /// Columns that the connector leaves out.
    pub excluded_columns: ColumnPatterns,
    /// The connector's login. One that does not exist, or may read nothing of a source that knows nothing of Riverbank, is not
    /// looked at: another login is the connector's then.
    pub capture_role: String,
    /// The replication slot; `None` before the connector has made it.
    pub slot: Option<String>,
}

impl SourceExpectations {
    /// What a connector with these settings needs.
    pub fn of(settings: &ConnectorSettings) -> Self {
        Self {
            publication: settings.publication.clone(),
            tables: settings.tables.clone(),
            excluded_columns: ColumnPatterns::of_names(&settings.excluded_columns),
            capture_role: settings.database.user.clone(),
            slot: Some(settings.slot.clone()),
        }
    }

    /// The same before the connector's first start, which makes the slot.
    pub fn before_the_first_start(self) -> Self {
        Self { slot: None, ..self }
    }

    /// With the configuration of a connector that is there: it is what counts, whatever the program's own settings are.
    pub fn as_running(self, running: &RunningSettings) -> Self {
        Self {
            excluded_columns: running.columns(),
            capture_role: running.login.clone().unwrap_or(self.capture_role),
            ..self
        }
    }
}
