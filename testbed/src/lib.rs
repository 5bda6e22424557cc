//! Real servers for tests and for `make up`: Kafka, Kafka Connect with Debezium, a schema registry, Postgres, an object
//! store; and, where no real one can run, an emulator (`snowflake/`: Snowflake's REST interfaces).
//!
//! A test says what it needs and gets it: started natively from pinned packages, on free loopback ports, in a temporary
//! folder, with the end of a server's log in the error when one does not start. Whatever happens to the test (it panics,
//! it is killed) the servers end with it. Each of them can be killed, frozen and restarted on its data meanwhile.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use testbed::Testbed;
//!
//! let bed = Testbed::builder().everything().start().await?;
//! connect::migrate(&bed.postgres().url()).await?;
//! bed.kafka().kill()?;
//! bed.kafka().start().await?;
//! # Ok(()) }
//! ```
//!
//! Why not containers? A container engine is often missing where tests run (in CI jobs, inside other containers), and a
//! process can be frozen and killed more precisely than a container. `compose.yaml` serves those who want containers.
//!
//! A server that is missing is installed by `tools/install.sh` when it is first asked for, which says so.

mod bed;
mod capture;
mod error;
mod folder;
mod installed;
mod ports;
mod proc_table;
mod process;
mod ready;
mod servers;
mod site;
pub mod visible;

pub use bed::{Builder, Testbed, block_on};
pub use error::{LogTail, TestbedError};
pub use ports::Ports;
pub use servers::{BucketEvents, Kafka, KafkaConnect, Minio, Postgres, Prometheus, Registry, Server, Snowflake};

/// The folder of a set of Python packages that `tools/install.sh` installs: `iceberg` has pyiceberg and DuckDB with its Iceberg
/// extension. A program finds them by `PYTHONPATH`.
pub fn python(set: &str) -> Result<std::path::PathBuf, TestbedError> {
    match set {
        "iceberg" => Ok(installed::Installed::ensure(&[installed::Part::Iceberg])?.iceberg()),
        other => Err(TestbedError::Missing {
            what: other.to_owned(),
            command: "tools/install.sh all".to_owned(),
            reason: "there is no such set of packages".to_owned(),
        }),
    }
}
