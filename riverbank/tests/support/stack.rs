//! The whole system for tests: real servers, and Riverbank as processes that can be killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use connect::{ConnectorSettings, Database};
use testbed::Testbed;

pub const BUCKET: &str = "lake";

/// Three JVMs, Postgres and an object store are enough for one machine; and latencies are measured without a neighbour.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Real servers with the bank's schema, and the connector once it is registered.
pub struct Stack {
    pub bed: Testbed,
    pub http: reqwest::Client,
    database: String,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Stack {
    /// Starts the servers; the bank's own schema is in the database `bank`.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub async fn start() -> Self {
        Self::with(Testbed::builder()).await
    }

    /// The same, with what this builder has besides.
    pub async fn with(builder: testbed::Builder) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let bed = builder.everything().start().await.expect("the servers start");
        bed.minio().create_bucket(BUCKET).await.expect("the bucket is made");
        bed.migrate().await.expect("the schema is made");
        connect::allow_capture(&bed.postgres().url(), "capture")
            .await
            .expect("the capture role is made");
        Self {
            bed,
            http: reqwest::Client::new(),
            database: "bank".to_owned(),
            _turn: turn,
        }
    }

    /// The same on the schema of a batch stack, in a database of its own.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub async fn start_narrow() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let bed = Testbed::builder().everything().start().await.expect("the servers start");
        bed.minio().create_bucket(BUCKET).await.expect("the bucket is made");
        bed.postgres().create_database("narrow").await.expect("the database is made");
        let pool = sqlx::PgPool::connect(&bed.postgres().url_of("narrow"))
            .await
            .expect("the database answers");
        sqlx::raw_sql(connect::BATCH_STACK_SQL)
            .execute(&pool)
            .await
            .expect("the schema is made");
        pool.close().await;
        Self {
            bed,
            http: reqwest::Client::new(),
            database: "narrow".to_owned(),
            _turn: turn,
        }
    }

    /// The database's address.
    pub fn postgres_url(&self) -> String {
        self.bed.postgres().url_of(&self.database)
    }

    /// The same as the service logs in: with no more rights than it needs, where the schema is ours.
    fn service_url(&self) -> String {
        match self.database.as_str() {
            "narrow" => self.postgres_url(),
            _ => self.bed.service_url(),
        }
    }

    /// The connector of this source.
    pub fn connector(&self) -> ConnectorSettings {
        let port = self.bed.postgres().port();
        let registry = self.bed.registry().url();
        match self.database.as_str() {
            // A database that knows nothing of us has no role for us.
            "narrow" => {
                let url = reqwest::Url::parse(&self.postgres_url()).expect("the database has a URL");
                let password = url.password().unwrap_or_default();
                ConnectorSettings::batch_stack(Database::new("127.0.0.1", port, "narrow", url.username(), password), registry)
            }
            name => ConnectorSettings::bank(
                Database::new("127.0.0.1", port, name, connect::CAPTURE_ROLE, "capture"),
                registry,
            ),
        }
    }

    /// Registers Debezium, and waits until it runs.
    pub async fn capture(&self) {
        connect::register(self.bed.connect().url(), &self.connector(), Duration::from_secs(90))
            .await
            .expect("the connector runs");
    }

    /// A Riverbank that is not started yet.
    pub fn riverbank(&self, name: &str) -> Riverbank {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a port is free")
            .port();
        let folder = self.bed.folder().join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let minio = self.bed.minio();
        let environment = [
            ("KAFKA_BROKERS", self.bed.kafka().bootstrap().to_owned()),
            ("REGISTRY_URL", self.bed.registry().url().to_owned()),
            ("POSTGRES_URL", self.service_url()),
            ("HTTP_LISTEN", format!("127.0.0.1:{port}")),
            ("STATE_DIR", folder.join("state").display().to_string()),
            ("ENGINE_THREADS", "1".to_owned()),
            ("SINK_URL", format!("s3://{BUCKET}/bank")),
            ("SINK_AGE_MAX", "5s".to_owned()),
            ("S3_ENDPOINT", minio.endpoint().to_owned()),
            ("S3_ACCESS_KEY", minio.access_key().to_owned()),
            ("S3_SECRET_KEY", minio.secret_key().to_owned()),
            ("S3_ALLOW_HTTP", "true".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        Riverbank {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            environment: environment.map(|(name, value)| (format!("RIVERBANK_{name}"), value)).to_vec(),
            log: folder.join("log"),
            state: folder.join("state"),
            disk_mib: None,
            child: None,
        }
    }
}

/// A Riverbank process.
pub struct Riverbank {
    pub name: String,
    pub url: String,
    environment: Vec<(String, String)>,
    pub log: PathBuf,
    state: PathBuf,
    disk_mib: Option<u32>,
    child: Option<Child>,
}

impl Riverbank {
    /// Sets `RIVERBANK_<name>`, for the next start.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((format!("RIVERBANK_{name}"), value.into()));
    }

    /// Starts it, again if need be.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the log can be opened");
        // The kernel ends it with this test, however the test ends.
        let run = ["setpriv", "--pdeathsig", "KILL", env!("CARGO_BIN_EXE_riverbank"), "run"];
        let mut command = match self.disk_mib {
            None => Command::new(run[0]),
            Some(mib) => {
                std::fs::create_dir_all(&self.state).expect("the state folder is made");
                let mut command = Command::new("unshare");
                let mount = format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$@\"");
                command.args(["--map-root-user", "--mount", "sh", "-c", &mount]);
                command.arg(&self.state).arg(run[0]);
                command
            }
        };
        let child = command
            .args(&run[1..])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle can be doubled"))
            .stderr(log)
            .spawn()
            .expect("riverbank starts");
        self.child = Some(child);
    }

    /// Gives it a disk of this size for its state, for the next start: a tmpfs in a mount namespace of its own, gone with the process.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn on_disk_of(&mut self, mib: u32) {
        self.disk_mib = Some(mib);
    }

    /// Has its lake on that disk, too.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn with_lake_on_its_disk(&mut self) {
        self.set("SINK_URL", format!("file://{}", self.state.join("lake").display()));
    }

    /// Whether this machine lets its user mount one.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn can_have_disk() -> bool {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mount = "mount -t tmpfs tmpfs \"$0\"";
        let tried = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", mount])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    }

    /// Its state folder as the running process sees it.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn seen_state(&self) -> PathBuf {
        let pid = self.child.as_ref().expect("it was started").id();
        let state = self.state.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(pid.to_string()).join("root").join(state)
    }

    /// Starts it, and waits until it has given up; returns the end of its log.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub async fn refuses(&mut self, bound: Duration) -> String {
        self.spawn();
        let mut child = self.child.take().expect("it was started");
        let ended = eventually("the start is refused", bound, || {
            let ended = child.try_wait().expect("the process can be asked");
            async move { ended.ok_or_else(|| "it runs".to_owned()) }
        });
        let status = ended.await;
        assert!(!status.success(), "{} ended with {status}", self.name);
        self.tail()
    }

    /// Begins with a copy of another one's state folder, as it is now.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn copies(&self, other: &Self) {
        let copied = Command::new("cp").arg("-a").args([&other.state, &self.state]).status();
        assert!(copied.expect("cp starts").success(), "the state folder is copied");
    }

    /// Works with another one's state folder.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn shares(&mut self, other: &Self) {
        self.set("STATE_DIR", other.state.display().to_string());
    }

    /// Signals the process.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let child = self.child.as_ref().expect("it was started");
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("the process can be signalled");
    }

    /// Deletes its state folder.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn forget(&self) {
        std::fs::remove_dir_all(&self.state).expect("the state folder is deleted");
    }

    /// Waits until it says that it is ready; returns how long that took.
    pub async fn ready(&mut self, http: &reqwest::Client, bound: Duration) -> Duration {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < bound {
            if let Ok(answer) = http
                .get(format!("{}/health/ready", self.url))
                .timeout(Duration::from_secs(2))
                .send()
                .await
            {
                let status = answer.status();
                last = format!("{status}: {}", answer.text().await.unwrap_or_default());
                if status.is_success() {
                    return started.elapsed();
                }
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                panic!("{} ended with {status}:\n{}", self.name, self.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} is not ready after {bound:?}: {last}\n{}", self.name, self.tail());
    }

    /// Fails if the process has ended by itself, with how.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub fn assert_alive(&self) {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
        let Some(child) = &self.child else { return };
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        // Whoever stops it still gets its exit code.
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let ended = waitid(Id::Pid(pid), look).expect("the process can be asked");
        assert!(
            ended == WaitStatus::StillAlive,
            "{} has ended: {ended:?}\n{}",
            self.name,
            self.tail()
        );
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the process can be killed");
            child.wait().expect("the process ends");
        }
    }

    /// SIGTERM; it must end with exit code 0.
    pub async fn stop(&mut self, bound: Duration) {
        let Some(mut child) = self.child.take() else { return };
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("the process can be told");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("the process can be asked") {
                assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.tail());
                return;
            }
            if started.elapsed() > bound {
                let _ = child.kill();
                panic!("{} did not end within {bound:?}:\n{}", self.name, self.tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The books of the bank that this instance is a part of balance.
    #[allow(dead_code, reason = "not every test file that has the stack does that")]
    pub async fn audit(&self) {
        let (holds, said) = self.audited(&["--settle", "120s", "--histories-from-start"]).await;
        assert!(holds, "{said}\n{}:\n{}", self.name, self.tail());
    }

    /// Whether `riverbank audit` finds nothing wrong, and what it says.
    pub async fn audited(&self, args: &[&str]) -> (bool, String) {
        self.says(&[&["audit", "--url", &self.url], args].concat()).await
    }

    /// Whether another command of the program, with the same settings, succeeds, and what it says.
    pub async fn says(&self, args: &[&str]) -> (bool, String) {
        let program = env!("CARGO_BIN_EXE_riverbank");
        let mut command = match (&self.child, self.disk_mib) {
            // Its disk is seen in its own namespace only.
            (Some(child), Some(_)) => {
                let mut command = tokio::process::Command::new("nsenter");
                command.args([
                    "--user",
                    "--mount",
                    "--preserve-credentials",
                    "--target",
                    &child.id().to_string(),
                    program,
                ]);
                command
            }
            _ => tokio::process::Command::new(program),
        };
        command.args(args).kill_on_drop(true);
        let output = command.envs(self.environment.iter().cloned()).output().await;
        let output = output.expect("riverbank starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Riverbank {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Waits for a condition, bounded; the last reason is in the panic.
pub async fn eventually<F: Future<Output = Result<T, String>>, T>(
    what: &str,
    bound: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(reason) if started.elapsed() > bound => panic!("{what}: not within {bound:?}: {reason}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
