//! The schema registry: Apicurio, spoken to by Confluent's API.

use std::path::PathBuf;

use super::{Server, controlled};
use crate::TestbedError;
use crate::error::io;
use crate::ready::Probe;
use crate::site::Site;

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    url: String,
    /// Where the database is, without its ending.
    storage: PathBuf,
}

controlled!(Registry);

impl Registry {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("registry")?;
        let url = format!("http://127.0.0.1:{}/apis/ccompat/v7", site.ports.registry);
        let storage = folder.join("schemas");
        // Schemas outlive a kill -9: kept in files, and each write is flushed before it is answered.
        let database = format!("jdbc:h2:file:{};WRITE_DELAY=0", storage.display());
        let program = site
            .java("registry", &folder)
            .arg("-Xmx384m")
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", site.ports.registry))
            .arg("-Dquarkus.management.host=127.0.0.1")
            .arg(format!("-Dquarkus.management.port={}", site.ports.registry_management))
            .arg(format!("-Dapicurio.datasource.url={database}"))
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
            storage,
        })
    }

    /// The base of its Confluent API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Apicurio's own API of its administrator.
    pub fn admin_url(&self) -> String {
        self.url.replace("/apis/ccompat/v7", "/apis/registry/v3/admin")
    }

    /// Kills it, and all its schemas are gone: after its next start it gives ids anew.
    pub fn lose_storage(&self) -> Result<(), TestbedError> {
        self.kill()?;
        let database = self.storage.with_extension("mv.db");
        std::fs::remove_file(&database).map_err(io(format!("remove {}", database.display())))
    }
}
