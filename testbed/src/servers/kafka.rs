//! Kafka: one broker that is its own controller.

use std::path::Path;

use super::{Server, controlled};
use crate::TestbedError;
use crate::error::io;
use crate::process::{Program, write};
use crate::ready::Probe;
use crate::site::Site;

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    bootstrap: String,
    /// A Java program with Kafka's classes.
    tools: Program,
}

controlled!(Kafka);

impl Kafka {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("kafka")?;
        let bootstrap = format!("127.0.0.1:{}", site.ports.kafka);
        let config = folder.join("server.properties");
        write(&config, &properties(site, &folder))?;
        let java = |name| {
            site.java(name, &folder)
                .arg("-Xmx512m")
                .arg("-cp")
                .arg(site.installed.kafka_class_path())
        };
        if !folder.join("data/meta.properties").exists() {
            std::fs::create_dir_all(folder.join("data")).map_err(io("create Kafka's data folder"))?;
            java("kafka-format")
                .arg("kafka.tools.StorageTool")
                .args([
                    "format",
                    "--standalone",
                    "--ignore-formatted",
                    "--cluster-id",
                    "cml2ZXJiYW5rLXRlc3RiZQ",
                ])
                .arg("--config")
                .arg(&config)
                .run()?;
        }
        let program = java("kafka").arg("kafka.Kafka").arg(&config);
        Ok(Self {
            server: Server::new(
                program,
                Probe::Kafka(bootstrap.clone()),
                &[site.ports.kafka, site.ports.kafka_controller],
            ),
            bootstrap,
            tools: java("kafka-tool"),
        })
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Runs one of Kafka's command-line tools on this broker, named by its class: `kafka.admin.ConfigCommand` is
    /// `kafka-configs.sh`.
    pub fn tool(&self, class: &str, args: &[&str]) -> Result<(), TestbedError> {
        let tool = self.tools.clone().arg(class);
        tool.args(["--bootstrap-server", &self.bootstrap]).args(args).run()
    }
}

fn properties(site: &Site, folder: &Path) -> String {
    let (port, controller) = (site.ports.kafka, site.ports.kafka_controller);
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={data}
# A topic must be created by whoever owns it.
auto.create.topics.enable=false
# One node: nothing can be replicated.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Fewer internal partitions than the usual 50: each costs time at every start.
offsets.topic.num.partitions=10
transaction.state.log.num.partitions=10
group.initial.rebalance.delay.ms=0
# After a kill the broker may register again once its old session has run out; the usual 9 s are for networks.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
# A dead client is noticed soon, where it asks for that.
group.min.session.timeout.ms=1000
# The engine's transactions are short; one of a killed process must not block readers for long.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# Where a test gives a topic a retention, it need not wait for minutes until it is applied.
log.retention.check.interval.ms=30000
# Changes of the source are kept for good.
log.retention.ms=-1
",
        data = data.display()
    )
}
