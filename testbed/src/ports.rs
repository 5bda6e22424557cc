//! What tests on one machine share: its ports (free ones for a test, fixed ones for `make up`), and the time to start.
//!
//! A free port is found, and only later bound by the server; between the two nobody else may take it. Asking the system
//! for an ephemeral port leaves that gap open: any outgoing connection may be given the same one. So ports come from
//! below the ephemeral range, and a lock file per port keeps other test processes away while the lease lives.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::TestbedError;
use crate::error::io;

/// Linux hands out ephemeral ports from 32768 on.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;
const TURN_WITHIN: Duration = Duration::from_secs(600);

/// The ports of all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Kafka's clients.
    pub kafka: u16,
    /// Kafka's controller.
    pub kafka_controller: u16,
    /// The schema registry.
    pub registry: u16,
    /// The schema registry's health and metrics.
    pub registry_management: u16,
    /// Postgres.
    pub postgres: u16,
    /// Kafka Connect's REST interface.
    pub connect: u16,
    /// The object store.
    pub minio: u16,
    /// The object store's console.
    pub minio_console: u16,
    /// Prometheus.
    pub prometheus: u16,
    /// The emulator of Snowflake.
    pub snowflake: u16,
}

impl Ports {
    /// The ports of `make up`: the usual ones, with a 1 in front, so that they disturb no server of the machine.
    pub const fn fixed() -> Self {
        Self {
            kafka: 19092,
            kafka_controller: 19093,
            registry: 18081,
            registry_management: 18082,
            postgres: 15432,
            connect: 18083,
            minio: 19000,
            minio_console: 19001,
            prometheus: 19090,
            snowflake: 19443,
        }
    }
}

/// A set of ports that no other test uses while this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    locks: Vec<File>,
}

impl Lease {
    /// Takes free ports for every server.
    pub(crate) fn take() -> Result<(Ports, Self), TestbedError> {
        let mut lease = Self { locks: Vec::new() };
        let ports = Ports {
            kafka: lease.next()?,
            kafka_controller: lease.next()?,
            registry: lease.next()?,
            registry_management: lease.next()?,
            postgres: lease.next()?,
            connect: lease.next()?,
            minio: lease.next()?,
            minio_console: lease.next()?,
            prometheus: lease.next()?,
            snowflake: lease.next()?,
        };
        Ok((ports, lease))
    }

    fn next(&mut self) -> Result<u16, TestbedError> {
        let folder = lock_folder()?;
        // Processes start at different places, so that they seldom meet.
        let span = LAST - FIRST + 1;
        let start = (std::process::id().wrapping_mul(97) % u32::from(span)) as u16;
        for step in 0..span {
            let port = FIRST + (start + step) % span;
            let path = folder.join(port.to_string());
            let lock = File::create(&path).map_err(io(format!("create {}", path.display())))?;
            match lock.try_lock() {
                Ok(()) if is_free(port) => {
                    self.locks.push(lock);
                    return Ok(port);
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(io(format!("lock {}", path.display()))(error)),
            }
        }
        Err(io("find a free port")(std::io::Error::other(format!(
            "none between {FIRST} and {LAST}"
        ))))
    }
}

/// The right to start JVM servers, which one test on the machine has at a time.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for it, ten minutes at most; after that, starts all the same.
    pub(crate) fn wait() -> Result<Self, TestbedError> {
        let path = lock_folder()?.join("starting");
        let lock = File::create(&path).map_err(io(format!("create {}", path.display())))?;
        let deadline = Instant::now() + TURN_WITHIN;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => break,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(100)),
                Err(TryLockError::Error(error)) => return Err(io(format!("lock {}", path.display()))(error)),
            }
        }
        Ok(Self { _lock: lock })
    }
}

fn lock_folder() -> Result<PathBuf, TestbedError> {
    let user = std::env::var("USER").unwrap_or_else(|_| "anyone".to_owned());
    let folder = std::env::temp_dir().join(format!("riverbank-ports-{user}"));
    std::fs::create_dir_all(&folder).map_err(io(format!("create {}", folder.display())))?;
    Ok(folder)
}

/// Whether nobody listens on the loopback port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_leases_share_no_port() {
        let (first, _one) = Lease::take().expect("a lease");
        let (second, _two) = Lease::take().expect("another");
        let all = |p: Ports| {
            [
                p.kafka,
                p.kafka_controller,
                p.registry,
                p.registry_management,
                p.postgres,
                p.connect,
            ]
        };
        let ports: HashSet<u16> = all(first).into_iter().chain(all(second)).collect();
        assert_eq!(ports.len(), 12);
    }
}
