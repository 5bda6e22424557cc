//! What can be set, and that it is right before anything starts.
//!
//! A program that begins to work and then finds its third setting wrong has done a third of the harm already. So all
//! settings are declared in one place ([`settings`]), gathered from defaults, the file, the environment and flags
//! ([`layers`]), read into [`Settings`] and checked as a whole; every problem is reported at once, with the setting's
//! name and where its value came from.
//!
//! ```
//! use riverbank::config::{Purpose, Settings, Sources};
//!
//! let mut sources = Sources::default();
//! sources.environment.insert("RIVERBANK_HTTP_LISTEN".into(), "here".into());
//! let error = Settings::load(&sources, Purpose::Run).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "settings: http.listen (RIVERBANK_HTTP_LISTEN) must be an IP address and a port such as 127.0.0.1:8080, not \"here\""
//! );
//! ```

pub mod check;
pub mod choices;
mod declare;
pub mod error;
pub mod flags;
pub mod layers;
pub mod reader;
pub mod setting;
pub mod settings;
pub mod snowflake;
pub mod value;

pub use check::Purpose;
pub use choices::{IcebergCatalog, LogFormat, WarehouseTables};
pub use error::{Origin, Problem, SettingsError, UsageError};
pub use flags::SettingFlags;
pub use layers::Sources;
pub use setting::{Setting, Table};
pub use settings::{
    ConnectSettings, EngineSettings, HttpSettings, KafkaSettings, LogSettings, PostgresSettings, RegistrySettings, S3Settings,
    Settings, SinkSettings, SnowflakeSettings, SnowpipeSettings, SourceSettings, StateSettings, TABLE,
};
pub use value::{Properties, Secret};
