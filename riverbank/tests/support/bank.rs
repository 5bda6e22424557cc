//! A bank on the stack: what its owners do to it, what an operator does about it, and what both see.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;

use super::stack::{Riverbank, Stack, eventually};

pub const READY: Duration = Duration::from_secs(180);
pub const CAUGHT_UP: Duration = Duration::from_secs(180);
/// With the default settings it is a minute; those of a bank that is watched are shorter.
pub const TOLD_WITHIN: Duration = Duration::from_secs(120);

/// The servers, one instance, and the source's database.
pub struct Bank {
    pub stack: Stack,
    pub instance: Riverbank,
    pub pool: PgPool,
    /// The database's address.
    pub url: String,
}

impl Bank {
    /// A bank whose changes are not captured yet.
    pub async fn on(stack: Stack) -> Self {
        let instance = stack.riverbank("one");
        Self::with(stack, instance).await
    }

    /// The same, with a close watch over its source.
    pub async fn watched(stack: Stack, silence_max: &str) -> Self {
        let mut instance = stack.riverbank("one");
        let settings = stack.connector();
        instance.set("CONNECT_URL", stack.bed.connect().url());
        instance.set("SOURCE_CONNECTOR", settings.name);
        instance.set("SOURCE_SLOT", settings.slot);
        instance.set("SOURCE_SILENCE_MAX", silence_max);
        instance.set("SOURCE_LOOK_INTERVAL", "300ms");
        instance.set("SOURCE_CHECK_INTERVAL", "1s");
        Self::with(stack, instance).await
    }

    /// The same with this instance, which is not started yet.
    pub async fn with(stack: Stack, mut instance: Riverbank) -> Self {
        instance.spawn();
        instance.ready(&stack.http, READY).await;
        let url = stack.postgres_url();
        let pool = PgPool::connect(&url).await.expect("the database answers");
        Self {
            stack,
            instance,
            pool,
            url,
        }
    }

    pub async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.expect("the statement runs");
    }

    pub async fn refused(&self, sql: &'static str) {
        let answer = sqlx::raw_sql(sql).execute(&self.pool).await;
        assert!(answer.is_err(), "Postgres takes: {sql}");
    }

    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let answer = self.stack.http.get(format!("{}{path}", self.instance.url)).send().await;
        let answer = answer.map_err(|error| {
            self.instance.assert_alive();
            error.to_string()
        })?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    pub async fn json(&self, path: &str) -> Result<Value, String> {
        let (status, text) = self.get(path).await?;
        match status {
            200 => serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")),
            _ => Err(format!("{status}: {text}")),
        }
    }

    /// Balances as Postgres has them.
    async fn recorded(&self) -> BTreeMap<i64, String> {
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT id, to_char(balance, 'FM9999999990.00') FROM accounts ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .expect("the accounts are read");
        rows.into_iter().collect()
    }

    pub async fn served(&self, id: i64) -> Result<String, String> {
        let json = self.json(&format!("/accounts/{id}/balance")).await?;
        Ok(json["booked"].as_str().ok_or_else(|| json.to_string())?.to_owned())
    }

    pub async fn differences(&self) -> Result<(), String> {
        for (id, recorded) in self.recorded().await {
            let served = self.served(id).await?;
            if served != recorded {
                return Err(format!("account {id}: Postgres {recorded}, HTTP {served}"));
            }
        }
        Ok(())
    }

    /// Waits until all balances are those of Postgres.
    pub async fn balances(&self, step: &str) {
        eventually(step, CAUGHT_UP, || self.differences()).await;
    }

    /// Whether one account's balance is this.
    pub async fn has_balance(&self, id: i64, expected: &str) -> Result<(), String> {
        match self.served(id).await? {
            served if served == expected => Ok(()),
            served => Err(format!("account {id}: {served}, not {expected}")),
        }
    }

    /// Waits until one account's balance is this.
    pub async fn balance(&self, id: i64, expected: &str, step: &str) {
        eventually(step, CAUGHT_UP, || self.has_balance(id, expected)).await;
    }

    /// Asks Connect for something of the connector, until it does it.
    pub async fn connect(&self, method: Method, path: &str) -> String {
        self.tell_connect(method, path, None).await
    }

    /// The same with a body.
    pub async fn tell_connect(&self, method: Method, path: &str, body: Option<&Value>) -> String {
        let name = self.stack.connector().name;
        let url = format!("{}/connectors/{name}{path}", self.stack.bed.connect().url());
        eventually(path, CAUGHT_UP, || async {
            let mut request = self.stack.http.request(method.clone(), &url);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status.is_success() {
                Ok(text)
            } else {
                Err(format!("{status} {text}"))
            }
        })
        .await
    }

    /// What an operator does about a task that has failed, until what waited has passed. A task that was started may count as running
    /// and send nothing, which is seldom; then it is started once more.
    pub async fn restart_task<F: Future<Output = Result<(), String>>>(&self, waited: &str, has_passed: impl Fn() -> F) {
        self.connect(Method::POST, "/restart?includeTasks=true&onlyFailed=true").await;
        let patience = CAUGHT_UP / 2;
        if tokio::time::timeout(patience, eventually(waited, CAUGHT_UP, &has_passed))
            .await
            .is_err()
        {
            eprintln!("{waited}: the task sends nothing after {patience:?}, and is started once more");
            self.connect(Method::POST, "/restart?includeTasks=true").await;
            eventually(waited, CAUGHT_UP, &has_passed).await;
        }
    }

    /// Stops the connector, and waits until it reads nothing any more.
    pub async fn stop_capture(&self) {
        self.connect(Method::PUT, "/stop").await;
        let slot = self.stack.connector().slot;
        eventually("the slot is free", CAUGHT_UP, || async {
            let active: Option<bool> = sqlx::query_scalar("SELECT active FROM pg_replication_slots WHERE slot_name = $1")
                .bind(&slot)
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| error.to_string())?;
            match active {
                Some(true) => Err("it is in use".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }

    /// `riverbank connect`, with these settings beside the usual ones; what it said if it failed.
    pub async fn connect_command(&self, settings: &[(&str, &str)]) -> Result<(), String> {
        let bed = &self.stack.bed;
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_riverbank"));
        command
            .arg("connect")
            .env("RIVERBANK_CONNECT_URL", bed.connect().url())
            .env("RIVERBANK_CONNECT_ADMIN_URL", &self.url)
            .env("RIVERBANK_CONNECT_CAPTURE_PASSWORD", "capture")
            .env("RIVERBANK_REGISTRY_URL", bed.registry().url())
            .kill_on_drop(true);
        for (name, value) in settings {
            command.env(format!("RIVERBANK_{name}"), value);
        }
        let output = command.output().await.expect("the program starts");
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Waits until the source is heard and nothing is wrong with it.
    pub async fn all_is_well(&self) -> Value {
        let has_heartbeat = self.stack.connector().heartbeat.is_some();
        eventually("all is well", READY, || async {
            let source = self.json("/lag").await?["source"].clone();
            let is_heard = match source["silence_seconds"].as_f64() {
                Some(silence) => silence < 10.0,
                None => !has_heartbeat,
            };
            let is_well = is_heard
                && source["connector"]["state"] == "RUNNING"
                && source["connector"]["tasks"][0]["state"] == "RUNNING"
                && source["slot"]["active"] == true
                && source["troubles"].as_array().is_some_and(Vec::is_empty);
            if is_well { Ok(source) } else { Err(source.to_string()) }
        })
        .await
    }

    /// Waits until `/lag` and the readiness probe say this, while reads go on.
    pub async fn is_told(&self, reason: &str) -> Value {
        eventually(reason, TOLD_WITHIN, || async {
            let source = self.json("/lag").await?["source"].clone();
            // An old answer is an answer: the probe stays green.
            let probe = self.json("/health/ready").await?;
            for reasons in [&source["troubles"], &probe["reasons"]] {
                let mut reasons = reasons.as_array().into_iter().flatten().filter_map(Value::as_str);
                if !reasons.any(|told| told.contains(reason)) {
                    return Err(format!("{source} {probe}"));
                }
            }
            Ok(source)
        })
        .await
    }

    pub async fn has_metric(&self, line: &str) {
        eventually(line, TOLD_WITHIN, || async {
            let (_, text) = self.get("/metrics").await?;
            let found = text.lines().any(|served| served == line);
            if found { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// A counter's value.
    pub async fn counter(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("metrics");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        lines.next().unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}
