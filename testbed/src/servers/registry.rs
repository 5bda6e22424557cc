//! The schema registry: Apicurio, spoken to by Confluent's API.

use super::{Server, controlled};
use crate::TestbedError;
use crate::bed::Site;
use crate::ready::Probe;

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    url: String,
}

controlled!(Registry);

impl Registry {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("registry")?;
        let url = format!("http://127.0.0.1:{}/apis/ccompat/v7", site.ports.registry);
        // Schemas outlive a kill -9: kept in files, and each write is flushed before it is answered.
        let storage = format!("jdbc:h2:file:{};WRITE_DELAY=0", folder.join("schemas").display());
        let program = site
            .java("registry", &folder)
            .arg("-Xmx384m")
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", site.ports.registry))
            .arg("-Dquarkus.management.host=127.0.0.1")
            .arg(format!("-Dquarkus.management.port={}", site.ports.registry_management))
            .arg(format!("-Dapicurio.datasource.url={storage}"))
            .args([
                "-Dapicurio.datasource.jdbc.initial-size=2",
                "-Dapicurio.datasource.jdbc.min-size=2",
            ])
            .arg("-Dapicurio.datasource.jdbc.max-size=20")
            .arg("-Dapicurio.rules.global.compatibility=BACKWARD")
            .arg("-jar")
            .arg(site.installed.registry().join("quarkus-run.jar"));
        Ok(Self {
            server: Server::new(
                program,
                Probe::Http(format!("{url}/subjects")),
                &[site.ports.registry, site.ports.registry_management],
            ),
            url,
        })
    }

    /// The base of its Confluent API.
    pub fn url(&self) -> &str {
        &self.url
    }
}
