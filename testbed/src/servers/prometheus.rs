//! Prometheus, on a configuration that somebody else wrote.

use std::path::Path;

use super::{Server, controlled};
use crate::TestbedError;
use crate::ready::Probe;
use crate::site::Site;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    url: String,
}

controlled!(Prometheus);

impl Prometheus {
    pub(crate) fn prepare(site: &Site, config: &Path) -> Result<Self, TestbedError> {
        let folder = site.folder("prometheus")?;
        let url = format!("http://127.0.0.1:{}", site.ports.prometheus);
        let program = site
            .program("prometheus", &site.installed.prometheus(), &folder)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", site.ports.prometheus));
        Ok(Self {
            server: Server::new(program, Probe::Http(format!("{url}/-/ready")), &[site.ports.prometheus]),
            url,
        })
    }

    /// Its page and its API.
    pub fn url(&self) -> &str {
        &self.url
    }
}
