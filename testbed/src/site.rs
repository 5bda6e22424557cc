//! Where a server is prepared.

use std::path::{Path, PathBuf};

use crate::TestbedError;
use crate::error::io;
use crate::installed::Installed;
use crate::ports::Ports;
use crate::process::{Lifetime, Program};

/// What a server needs to know of its surroundings while it is prepared.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) installed: Installed,
    pub(crate) lifetime: Lifetime,
}

impl Site {
    /// A server's own folder.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, TestbedError> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(io(format!("create {}", path.display())))?;
        Ok(path)
    }

    pub(crate) fn program(&self, name: &'static str, exe: &Path, folder: &Path) -> Program {
        Program::new(name, exe, folder, self.lifetime)
    }

    /// A Java program, with a log that a reader can use.
    pub(crate) fn java(&self, name: &'static str, folder: &Path) -> Program {
        let program = self.program(name, &self.installed.java(), folder).arg("-XX:+UseSerialGC");
        // What lives for a minute does not live to see its code optimised; the broker may be what a benchmark waits for.
        let is_brief = self.lifetime == Lifetime::Starter && name != "kafka";
        let program = if is_brief {
            program.arg("-XX:TieredStopAtLevel=1")
        } else {
            program
        };
        program.args([
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-Dorg.slf4j.simpleLogger.showThreadName=false",
            // Hundreds of lines of settings at each start.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.utils.AppInfoParser=warn",
        ])
    }
}
