//! The servers: how each is prepared, started and seen to be ready.

mod kafka;
mod kafka_connect;
mod minio;
mod postgres;
mod prometheus;
mod registry;
mod snowflake;

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

pub use kafka::Kafka;
pub use kafka_connect::KafkaConnect;
pub use minio::{BucketEvents, Minio};
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use registry::Registry;
pub use snowflake::Snowflake;

use crate::TestbedError;
use crate::ports::is_free;
use crate::process::{Process, Program};
use crate::ready::Probe;

/// How long a server may take to end when asked to, before it is killed: a test that stops one means no kill.
const STOP_WITHIN: Duration = Duration::from_secs(90);

/// What can be done to any server. It keeps its port and its data through all of it.
///
/// ```text
///            start            pause
/// stopped ──────────► ready ◄───────► paused
///    ▲                  │     resume     │
///    └──── kill, stop ──┴────────────────┘
/// ```
#[derive(Debug)]
pub struct Server {
    process: Process,
    probe: Probe,
    /// What it listens on.
    ports: Vec<u16>,
    /// What asks it to end in good order.
    stop_signal: Signal,
}

impl Server {
    pub(crate) fn new(program: Program, probe: Probe, ports: &[u16]) -> Self {
        Self {
            process: Process::new(program),
            probe,
            ports: ports.to_vec(),
            stop_signal: Signal::SIGTERM,
        }
    }

    /// Starts it, unless it runs, and waits until it is ready.
    pub async fn start(&self) -> Result<(), TestbedError> {
        if self.process.pid().is_none() {
            self.claim_ports()?;
        }
        self.process.start()?;
        self.probe.wait(&self.process).await
    }

    /// A port that another program has is named here, rather than in the server's log.
    fn claim_ports(&self) -> Result<(), TestbedError> {
        match self.ports.iter().copied().find(|port| !is_free(*port)) {
            Some(port) => Err(TestbedError::PortTaken {
                server: self.process.program().name,
                port,
            }),
            None => Ok(()),
        }
    }

    /// Ends it at once, as a power cut would: SIGKILL to its process and its children. Returns when they are gone.
    pub fn kill(&self) -> Result<(), TestbedError> {
        self.process.kill()
    }

    /// Ends it in good order; kills it if that takes longer than 20 s.
    pub fn stop(&self) -> Result<(), TestbedError> {
        self.process.stop(self.stop_signal, STOP_WITHIN)
    }

    /// Kills it, if it runs, and starts it again.
    pub async fn restart(&self) -> Result<(), TestbedError> {
        self.kill()?;
        self.start().await
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Waits until it answers, such as after a [`resume`](Self::resume).
    pub async fn ready(&self) -> Result<(), TestbedError> {
        self.probe.wait(&self.process).await
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The file with what it printed, over all its starts.
    pub fn log(&self) -> PathBuf {
        self.process.program().log()
    }
}

/// Gives a server's own type the control of [`Server`].
macro_rules! controlled {
    ($server:ty) => {
        impl std::ops::Deref for $server {
            type Target = $crate::Server;

            fn deref(&self) -> &$crate::Server {
                &self.server
            }
        }
    };
}
use controlled;
