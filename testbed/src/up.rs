//! What `testbed up`, `down` and `status` do.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use testbed::{Ports, Server, Testbed};

const BUCKET: &str = "lake";
const LISTEN: &str = "127.0.0.1:8080";
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Starts everything, and says where it is.
pub(crate) async fn up(folder: &Path, with_riverbank: bool) -> anyhow::Result<()> {
    println!(
        "up: starting Kafka, Connect, the registry, Postgres, MinIO and Prometheus in {}",
        folder.display()
    );
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    write_prometheus_config(folder)?;
    let bed = builder(folder).start().await?;
    println!("up: bringing the schema up to date and registering the connector");
    bed.minio().create_bucket(BUCKET).await?;
    bed.capture().await?;
    write_environment(&bed)?;
    if with_riverbank {
        println!("up: starting riverbank");
        riverbank(&bed)?.start().await.context("riverbank does not become ready")?;
    }
    tell(&bed, &riverbank_program()?, with_riverbank);
    Ok(())
}

/// Stops everything, clients first.
pub(crate) fn down(folder: &Path, wipe: bool) -> anyhow::Result<()> {
    if !folder.exists() {
        println!("down: nothing was started in {}", folder.display());
        return Ok(());
    }
    let bed = builder(folder).find()?;
    let riverbank = riverbank(&bed)?;
    let servers = bed.servers();
    for (name, server) in std::iter::once(&("riverbank", &riverbank)).chain(&servers) {
        if server.pid().is_some() {
            println!("down: stopping {name}");
            server.stop()?;
        }
    }
    if wipe {
        std::fs::remove_dir_all(folder).with_context(|| format!("delete {}", folder.display()))?;
        println!("down: {} is deleted", folder.display());
    }
    Ok(())
}

/// A line for each server.
pub(crate) fn status(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        bail!("nothing was started in {}", folder.display());
    }
    let bed = builder(folder).find()?;
    let riverbank = riverbank(&bed)?;
    for (name, server) in std::iter::once(&("riverbank", &riverbank)).chain(&bed.servers()) {
        match server.pid() {
            Some(pid) => println!("{name:<12} runs    pid {pid:<8} {}", server.log().display()),
            None => println!("{name:<12} stopped              {}", server.log().display()),
        }
    }
    Ok(())
}

fn builder(folder: &Path) -> testbed::Builder {
    Testbed::builder()
        .everything()
        .prometheus(prometheus_config(folder))
        .lasting(folder, Ports::fixed())
}

/// The program that was built beside this one.
fn riverbank_program() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()
        .context("find this program")?
        .with_file_name("riverbank");
    if !exe.exists() {
        bail!("{} is not built; run `cargo build --workspace`", exe.display());
    }
    Ok(exe)
}

fn riverbank(bed: &Testbed) -> anyhow::Result<Server> {
    let exe = riverbank_program()?;
    let environment = settings(bed);
    let environment: Vec<(&str, String)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    Ok(bed.program(
        "riverbank",
        &exe,
        &["run"],
        &environment,
        &format!("http://{LISTEN}/health/ready"),
    )?)
}

/// What Riverbank needs to know of the servers.
fn settings(bed: &Testbed) -> Vec<(String, String)> {
    let minio = bed.minio();
    let settings = [
        ("KAFKA_BROKERS", bed.kafka().bootstrap().to_owned()),
        ("REGISTRY_URL", bed.registry().url().to_owned()),
        ("POSTGRES_URL", bed.service_url()),
        ("CONNECT_URL", bed.connect().url().to_owned()),
        ("HTTP_LISTEN", LISTEN.to_owned()),
        ("STATE_DIR", bed.folder().join("riverbank/state").display().to_string()),
        ("SINK_URL", format!("s3://{BUCKET}/bank")),
        ("S3_ENDPOINT", minio.endpoint().to_owned()),
        ("S3_ACCESS_KEY", minio.access_key().to_owned()),
        ("S3_SECRET_KEY", minio.secret_key().to_owned()),
        ("S3_ALLOW_HTTP", "true".to_owned()),
    ];
    settings.map(|(name, value)| (format!("RIVERBANK_{name}"), value)).to_vec()
}

fn environment_file(folder: &Path) -> PathBuf {
    folder.join("riverbank.env")
}

/// The settings, for commands beside `riverbank run`.
fn write_environment(bed: &Testbed) -> anyhow::Result<()> {
    let lines: Vec<String> = settings(bed)
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let file = environment_file(bed.folder());
    std::fs::write(&file, lines.concat()).with_context(|| format!("write {}", file.display()))
}

fn prometheus_config(folder: &Path) -> PathBuf {
    folder.join("prometheus.yml")
}

/// The repository's own configuration, with the addresses of this machine.
fn write_prometheus_config(folder: &Path) -> anyhow::Result<()> {
    let source = Path::new(PROJECT).join("monitoring/prometheus");
    let text = std::fs::read_to_string(source.join("prometheus.yml")).context("read monitoring/prometheus/prometheus.yml")?;
    let text = text
        .replace("- rules/", &format!("- {}/rules/", source.display()))
        .replace("riverbank:8080", LISTEN)
        .replace("localhost:9090", &format!("127.0.0.1:{}", Ports::fixed().prometheus));
    std::fs::write(prometheus_config(folder), text).context("write prometheus.yml")
}

fn tell(bed: &Testbed, program: &Path, with_riverbank: bool) {
    let minio = bed.minio();
    println!("\nThe servers run:");
    println!("  Postgres         psql {}", bed.postgres().url());
    println!("  Kafka            {}", bed.kafka().bootstrap());
    println!("  schema registry  {}/subjects", bed.registry().url());
    println!("  Kafka Connect    {}/connectors/riverbank/status", bed.connect().url());
    println!(
        "  object store     {} (key {}, secret {})",
        minio.endpoint(),
        minio.access_key(),
        minio.secret_key()
    );
    println!("  Prometheus       {}", bed.prometheus().url());
    println!("  logs and data    {}", bed.folder().display());
    if with_riverbank {
        println!("Riverbank runs:");
        println!("  API              http://{LISTEN}/docs");
        println!("  topology         http://{LISTEN}/topology");
        println!("  metrics          http://{LISTEN}/metrics");
        println!("\nCheck its books, as they are at this moment:");
        println!(
            "  env $(cat {}) {} audit",
            environment_file(bed.folder()).display(),
            program.display()
        );
        println!("Simulate a bank:");
        println!(
            "  RIVERBANK_POSTGRES_URL={} {} generate --into postgres",
            bed.postgres().url(),
            program.display()
        );
    } else {
        println!("\nStart Riverbank on them:");
        for (name, value) in settings(bed) {
            println!("  export {name}={value}");
        }
        println!("  {} run", program.display());
    }
    println!("\nStop all: make down");
}
