//! The emulator of Snowflake (`testbed/snowflake/`): its Snowpipe and SQL REST APIs over fakesnow.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Server, controlled};
use crate::TestbedError;
use crate::ready::Probe;
use crate::site::Site;

const ACCOUNT: &str = "RIVERBANK-TEST";
const USER: &str = "RIVERBANK";

/// A running emulator, with one user. It keeps nothing: after a restart it is empty, but for the user's key.
#[derive(Debug)]
pub struct Snowflake {
    server: Server,
    url: String,
    python: PathBuf,
    private_key: PathBuf,
}

controlled!(Snowflake);

impl Snowflake {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("snowflake")?;
        let url = format!("http://127.0.0.1:{}", site.ports.snowflake);
        let python = site
            .installed
            .snowflake_python()
            .ok_or_else(|| unexpected("its Python packages are not installed"))?;
        let mut program = site
            .program("snowflake", &python, &folder)
            .args(["-m", "emulator", "--account", ACCOUNT, "--user", USER])
            .args(["--port", &site.ports.snowflake.to_string()])
            .arg("--folder")
            .arg(&folder);
        for (name, value) in Self::environment() {
            program = program.env(name, value);
        }
        Ok(Self {
            server: Server::new(program, Probe::Http(format!("{url}/health")), &[site.ports.snowflake]),
            url,
            python,
            private_key: folder.join("rsa_key.p8"),
        })
    }

    /// What the emulator's own modules need of a Python that runs them.
    pub fn environment() -> [(&'static str, String); 3] {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/snowflake");
        [
            ("PYTHONPATH", sources.to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ]
    }

    /// Where both interfaces are, in place of `https://ACCOUNT.snowflakecomputing.com`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account's identifier.
    pub fn account(&self) -> &str {
        ACCOUNT
    }

    /// The user whom the private key belongs to.
    pub fn user(&self) -> &str {
        USER
    }

    /// The file of the user's private key: PKCS#8 in PEM, not encrypted. It is there once the emulator is ready.
    pub fn private_key(&self) -> &Path {
        &self.private_key
    }

    /// The Python that has the emulator's packages.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Asks the control interface, which is no part of Snowflake: `testbed/snowflake/README.md` lists what it takes.
    pub async fn control(&self, what: &str, body: &Value) -> Result<Value, TestbedError> {
        let send = reqwest::Client::new()
            .post(format!("{}/control/{what}", self.url))
            .json(body)
            .send();
        let answer = send.await.map_err(|error| unexpected(&error.to_string()))?;
        let status = answer.status();
        let body = answer.json().await.map_err(|error| unexpected(&error.to_string()))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(unexpected(&format!("control {what}: {status}: {body}")))
    }

    /// Lets the next `times` requests of an endpoint (`insertFiles`, `insertReport`, `loadHistoryScan`, `statements`) fail
    /// with this `kind` (`429`, `500`, `503`, `lost`, `dropped`), or the next loads (`load`) with `LOAD_FAILED` or
    /// `PARTIALLY_LOADED`.
    pub async fn fail(&self, endpoint: &str, kind: &str, times: u32) -> Result<(), TestbedError> {
        let fault = json!({ "endpoint": endpoint, "kind": kind, "times": times });
        self.control("faults", &fault).await.map(drop)
    }
}

fn unexpected(reason: &str) -> TestbedError {
    TestbedError::Unexpected {
        server: "snowflake",
        reason: reason.to_owned(),
    }
}
