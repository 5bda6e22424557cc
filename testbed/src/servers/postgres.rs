//! Postgres, with logical replication.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::{Server, controlled};
use crate::TestbedError;
use crate::error::io;
use crate::installed::Installed;
use crate::process::{Program, write};
use crate::ready::Probe;
use crate::site::Site;

const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "riverbank";
const DATABASE: &str = "bank";

/// A running server, with an empty database `bank`.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    port: u16,
    installed: Installed,
}

controlled!(Postgres);

impl Postgres {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("postgres")?;
        let data = folder.join("data");
        // Postgres refuses to run as root.
        let user = runs_as_root().then(|| SUPERUSER.to_owned());
        if let Some(user) = &user {
            let (uid, gid) = ids(user)?;
            chown(&folder, Some(uid), Some(gid)).map_err(io(format!("give {} to {user}", folder.display())))?;
        }
        let program = |name: &'static str, file: &str| -> Result<Program, TestbedError> {
            let exe = site.installed.postgres(file).ok_or_else(|| TestbedError::Unexpected {
                server: "postgres",
                reason: format!("its program {file} is not installed"),
            })?;
            let mut program = site.program(name, &exe, &folder);
            program.user = user.clone();
            Ok(program)
        };
        if !data.join("PG_VERSION").exists() {
            let password = folder.join("password");
            write(&password, PASSWORD)?;
            program("postgres-init", "initdb")?
                .args([
                    "--username",
                    SUPERUSER,
                    "--auth",
                    "scram-sha-256",
                    "--encoding",
                    "UTF8",
                    "--no-locale",
                    "--no-sync",
                ])
                .arg("--pwfile")
                .arg(&password)
                .arg("--pgdata")
                .arg(&data)
                .run()?;
        }
        let mut server = program("postgres", "postgres")?.arg("-D").arg(&data);
        for (name, value) in settings(site.ports.postgres) {
            server = server.arg("-c").arg(format!("{name}={value}"));
        }
        let mut server = Server::new(
            server,
            Probe::Postgres(url(site.ports.postgres, "postgres")),
            &[site.ports.postgres],
        );
        // Ends sessions rather than waiting for them.
        server.stop_signal = Signal::SIGINT;
        Ok(Self {
            server,
            port: site.ports.postgres,
            installed: site.installed.clone(),
        })
    }

    /// What must exist before anybody uses it.
    pub(crate) async fn finish(&self) -> Result<(), TestbedError> {
        self.create_database(DATABASE).await
    }

    /// Makes an empty database, unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), TestbedError> {
        use sqlx::Connection;
        let refused = |error: sqlx::Error| TestbedError::Unexpected {
            server: "postgres",
            reason: format!("cannot create the database {name}: {error}"),
        };
        let mut connection = sqlx::PgConnection::connect(&self.url_of("postgres")).await.map_err(refused)?;
        let statement: Option<String> = sqlx::query_scalar(
            "SELECT format('CREATE DATABASE %I', $1::text) WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        )
        .bind(name)
        .fetch_optional(&mut connection)
        .await
        .map_err(refused)?;
        if let Some(statement) = statement {
            let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
            statement.execute(&mut connection).await.map_err(refused)?;
        }
        connection.close().await.map_err(refused)
    }

    /// The superuser's URL of the database `bank`.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// The superuser's URL of another database.
    pub fn url_of(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// One of the programs of this version, such as `pg_dump`; `None` where only the server's own are installed.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.installed.postgres(name)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

fn settings(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", String::new()),
        ("wal_level", "logical".to_owned()),
        ("max_wal_senders", "10".to_owned()),
        ("max_replication_slots", "10".to_owned()),
        ("max_connections", "200".to_owned()),
        // A slot whose consumer is dead is noticed and can be taken by its successor.
        ("wal_sender_timeout", "10s".to_owned()),
        ("log_min_duration_statement", "5s".to_owned()),
    ]
}

fn runs_as_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The user and group ids of a user, from `/etc/passwd`.
fn ids(user: &str) -> Result<(u32, u32), TestbedError> {
    let path = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(path).map_err(io("read /etc/passwd"))?;
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&user))
        .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .ok_or_else(|| TestbedError::Unexpected {
            server: "postgres",
            reason: format!("there is no user {user} to run it as, and it must not run as root"),
        })
}
