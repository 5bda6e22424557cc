//! Snowflake's REST APIs.
//!
//! - [`account`], [`key`], [`token`]: who asks, and how that is proved (a token of a minute to an hour, signed by the user's key).
//! - [`http`]: requests that are retried while Snowflake, or the way to it, is at fault.
//! - [`snowpipe`]: which files a pipe should load, and what became of them. [`sql`]: statements and their rows.

pub mod account;
pub mod http;
pub mod key;
pub mod snowpipe;
pub mod sql;
pub mod token;

pub use account::Account;
pub use http::{ApiError, Connection, FAULTS, Retries};
pub use key::{KeyError, KeyPair};
pub use snowpipe::{FileReport, History, LoadStatus, PipeName, Report, Snowpipe, StagedFile};
pub use sql::{Rows, Session, Sql};
pub use token::Tokens;
