//! Kafka Connect, with Debezium among its plugins.

use super::{Server, controlled};
use crate::TestbedError;
use crate::process::write;
use crate::ready::Probe;
use crate::site::Site;

/// A running worker.
#[derive(Debug)]
pub struct KafkaConnect {
    server: Server,
    url: String,
}

controlled!(KafkaConnect);

impl KafkaConnect {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("connect")?;
        let url = format!("http://127.0.0.1:{}", site.ports.connect);
        let config = folder.join("worker.properties");
        write(&config, &properties(site))?;
        let program = site
            .java("connect", &folder)
            .arg("-Xmx512m")
            .arg("-cp")
            .arg(site.installed.kafka_class_path())
            .arg("org.apache.kafka.connect.cli.ConnectDistributed")
            .arg(&config);
        Ok(Self {
            server: Server::new(program, Probe::Http(format!("{url}/connectors")), &[site.ports.connect]),
            url,
        })
    }

    /// Its REST interface.
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn properties(site: &Site) -> String {
    format!(
        "bootstrap.servers=127.0.0.1:{kafka}
group.id=riverbank-connect
client.id=riverbank-connect
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
rest.advertised.port={port}
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
# What a killed worker has not flushed is sent again after its restart.
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
plugin.path={plugins}
# The plugins carry service manifests; scanning every class took 20 s.
plugin.discovery=service_load
connector.client.config.override.policy=All
# One worker: nobody else could take over, so there is nothing to wait for.
scheduled.rebalance.max.delay.ms=0
topic.creation.enable=true
",
        kafka = site.ports.kafka,
        port = site.ports.connect,
        plugins = site.installed.plugins().display()
    )
}
