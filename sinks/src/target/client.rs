//! What the clients of all stores have in common.

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::{Host, Url};

/// The sink retries by itself, so that its trouble is seen; the client covers only a lost connection.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
        backoff: BackoffConfig::default(),
    }
}

pub(super) fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        // The sink's own time-out ends an attempt; large files on slow lines must not hit another one first.
        .with_timeout(Duration::from_secs(600))
}

/// Whether an endpoint is unencrypted, which only one of this machine may be: an emulator.
pub(super) fn is_local_http(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    let is_local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && is_local
}
