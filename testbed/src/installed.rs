//! Where the servers' programs are. Versions come from the file that the install script reads too, so that what is
//! installed and what is started cannot differ.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::TestbedError;
use crate::error::io;

const VERSIONS: &str = include_str!("../../tools/versions.env");
const REQUIREMENTS: &str = include_str!("../snowflake/requirements.txt");
const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/install.sh");

/// A part of what `tools/install.sh` installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Jvm,
    Postgres,
    Minio,
    Prometheus,
    Snowflake,
    Iceberg,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Jvm => "jvm",
            Part::Postgres => "postgres",
            Part::Minio => "minio",
            Part::Prometheus => "prometheus",
            Part::Snowflake => "snowflake",
            Part::Iceberg => "iceberg",
        }
    }
}

/// Paths to the installed programs.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    cache: PathBuf,
    versions: HashMap<&'static str, &'static str>,
}

impl Installed {
    /// Finds the parts, and runs `tools/install.sh` for those that are missing; its output goes to standard error, as it
    /// can take minutes.
    pub(crate) fn ensure(parts: &[Part]) -> Result<Self, TestbedError> {
        let installed = Self {
            cache: cache_folder(),
            versions: parse(VERSIONS),
        };
        let missing: Vec<Part> = parts.iter().copied().filter(|part| !installed.has(*part)).collect();
        if missing.is_empty() {
            return Ok(installed);
        }
        let names: Vec<&str> = missing.iter().map(|part| part.name()).collect();
        let failed = |reason: String| TestbedError::Missing {
            what: names.join(", "),
            command: format!("tools/install.sh {}", names.join(" ")),
            reason,
        };
        let output = Command::new("bash")
            .arg(INSTALL)
            .args(&names)
            .stdout(std::io::stderr())
            .status()
            .map_err(io(format!("run {INSTALL}")))?;
        if !output.success() {
            return Err(failed(output.to_string()));
        }
        match missing.into_iter().find(|part| !installed.has(*part)) {
            Some(part) => Err(failed(format!("{} is still missing", part.name()))),
            None => Ok(installed),
        }
    }

    fn has(&self, part: Part) -> bool {
        match part {
            Part::Jvm => {
                let folders = [
                    self.java(),
                    self.opt("kafka", "KAFKA_VERSION"),
                    self.registry(),
                    self.plugins(),
                ];
                folders.iter().all(|path| path.exists())
            }
            Part::Postgres => self.postgres("postgres").is_some(),
            Part::Minio => self.minio().exists(),
            Part::Prometheus => self.prometheus().exists(),
            Part::Snowflake => self.snowflake_python().is_some(),
            Part::Iceberg => self.iceberg().exists(),
        }
    }

    /// The Java that every JVM server runs on.
    pub(crate) fn java(&self) -> PathBuf {
        self.opt("java", "JAVA_WHEEL_VERSION").join("bin/java")
    }

    /// A class path of Kafka's and Connect's jars.
    pub(crate) fn kafka_class_path(&self) -> OsString {
        self.opt("kafka", "KAFKA_VERSION").join("libs/*").into_os_string()
    }

    /// Connect's plugin path.
    pub(crate) fn plugins(&self) -> PathBuf {
        let version = |name| self.version(name);
        let name = format!(
            "plugins-{}-{}",
            version("DEBEZIUM_VERSION"),
            version("AVRO_CONVERTER_VERSION")
        );
        self.cache.join("opt").join(name)
    }

    /// The folder of the registry.
    pub(crate) fn registry(&self) -> PathBuf {
        self.opt("registry", "REGISTRY_VERSION")
    }

    /// The object store's program.
    pub(crate) fn minio(&self) -> PathBuf {
        self.opt("minio", "MINIO_VERSION").join("bin/minio")
    }

    /// Prometheus.
    pub(crate) fn prometheus(&self) -> PathBuf {
        self.cache.join("opt/prometheus-debian/bin/prometheus")
    }

    /// The Python that has the Snowflake emulator's packages, in the versions that its requirements name.
    pub(crate) fn snowflake_python(&self) -> Option<PathBuf> {
        let folders = std::fs::read_dir(self.cache.join("opt")).into_iter().flatten().flatten();
        folders
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("snowflake-"))
            .map(|entry| entry.path())
            .filter(|folder| std::fs::read_to_string(folder.join("requirements.txt")).is_ok_and(|text| text == REQUIREMENTS))
            .map(|folder| folder.join("bin/python"))
            .find(|python| python.exists())
    }

    /// The Python packages that read Iceberg tables.
    pub(crate) fn iceberg(&self) -> PathBuf {
        let version = |name| self.version(name);
        let name = format!(
            "iceberg-{}-{}",
            version("PYICEBERG_VERSION"),
            version("ICEBERG_DUCKDB_VERSION")
        );
        self.cache.join("opt").join(name)
    }

    /// One of Postgres's programs: Debian's, of the newest version that is there, or the one from the Maven jar.
    pub(crate) fn postgres(&self, program: &str) -> Option<PathBuf> {
        let newest = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).exists())
            .max();
        let program = match newest {
            Some(version) => PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{program}")),
            None => self.opt("postgres", "POSTGRES_JAR_VERSION").join("bin").join(program),
        };
        program.exists().then_some(program)
    }

    fn opt(&self, name: &str, version: &str) -> PathBuf {
        self.cache.join("opt").join(format!("{name}-{}", self.version(version)))
    }

    fn version(&self, name: &str) -> &'static str {
        self.versions
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("tools/versions.env has no {name}"))
    }
}

fn parse(text: &'static str) -> HashMap<&'static str, &'static str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

/// `$RIVERBANK_CACHE`, else `~/.cache/riverbank`, as in the install script.
fn cache_folder() -> PathBuf {
    match std::env::var_os("RIVERBANK_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/riverbank"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_file_names_every_version() {
        let installed = Installed {
            cache: PathBuf::from("/cache"),
            versions: parse(VERSIONS),
        };
        assert!(installed.java().starts_with("/cache/opt"));
        let paths = [
            installed.plugins(),
            installed.registry(),
            installed.minio(),
            installed.iceberg(),
        ];
        assert!(paths.iter().all(|path| path.starts_with("/cache/opt")), "{paths:?}");
    }
}
