//! How librdkafka is set up, and why it differs from its defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::port::GroupOptions;

/// How long a call may take that has no time-out of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// After how long the coordinator aborts a transaction that its producer left open, as a killed process does. Until then it
/// holds up every reader of its partitions, and the restore of its tasks elsewhere, so it is short; and it is the longest
/// that one transaction may take.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest record that our producers send and that topics of ours take. A row of the source may have 16 MiB (the connector's
/// limit); what is made of it, such as a dead letter with its bytes, is somewhat larger. Readers need no limit of their own: a
/// broker hands out a record that is larger than what was asked for when it is the first one.
pub(super) const RECORD_BYTES_MAX: u32 = 20 << 20;

/// Where the cluster is, and how to talk to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// librdkafka properties, such as those for TLS and SASL, for every client. With the prefix `consumer.` or `producer.`
    /// they are for one kind only. They win over ours, apart from those that exactly-once rests on.
    pub extra: BTreeMap<String, String>,
}

/// The kinds of client that [`KafkaSettings::extra`] distinguishes.
#[derive(Clone, Copy)]
enum Kind {
    Consumer,
    Producer,
    Admin,
}

/// Nothing is lost, doubled or reordered, and keys go where Java puts them.
const SAFE_WRITES: [(&str, &str); 3] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
];

const CONSUMER: &str = "consumer.";
const PRODUCER: &str = "producer.";

impl KafkaSettings {
    pub(super) fn admin(&self) -> ClientConfig {
        self.finish(self.base("riverbank-admin"), Kind::Admin, &[])
    }

    /// A consumer that is told what to fetch, and is in no group; librdkafka wants a group's name all the same.
    pub(super) fn reader(&self, client_id: &str) -> ClientConfig {
        let mut config = self.base(client_id);
        config
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.message.max.bytes", "1048576")
            .set("check.crcs", "true");
        let fixed = [
            ("group.id", client_id),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
        ];
        self.finish(config, Kind::Consumer, &fixed)
    }

    /// A consumer that takes part in a group and fetches nothing.
    pub(super) fn group(&self, options: &GroupOptions) -> ClientConfig {
        let session_ms = options.session_timeout.as_millis().max(1);
        // A member learns of a rebalance by its heartbeat, so this is what a step takes.
        let heartbeat_ms = (session_ms / 10).clamp(50, 500);
        // A worker that hangs keeps its partitions this long, as its heartbeats are sent in the background.
        let poll_interval_ms = session_ms.max(60_000);
        let mut config = self.base(&options.client_id);
        config
            .set("session.timeout.ms", session_ms.to_string())
            .set("heartbeat.interval.ms", heartbeat_ms.to_string())
            .set("max.poll.interval.ms", poll_interval_ms.to_string())
            .set("topic.metadata.refresh.interval.ms", "30000");
        if let Some(member) = &options.member {
            config.set("group.instance.id", member);
        }
        let fixed = [
            ("group.id", options.group.as_str()),
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
        ];
        self.finish(config, Kind::Consumer, &fixed)
    }

    /// An idempotent producer.
    pub(super) fn producer(&self, client_id: &str) -> ClientConfig {
        self.finish(self.writing(client_id), Kind::Producer, &SAFE_WRITES)
    }

    /// A transactional producer.
    pub(super) fn transactions(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.writing(transactional_id);
        config
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            // Connections to all brokers, at once: when it has learned the cluster's, librdkafka lets go of the one that it was
            // given, and may then look for another only a second later.
            .set("enable.sparse.connections", "false");
        let fixed = [&SAFE_WRITES[..], &[("transactional.id", transactional_id)]].concat();
        self.finish(config, Kind::Producer, &fixed)
    }

    fn writing(&self, client_id: &str) -> ClientConfig {
        let mut config = self.base(client_id);
        config
            // A record for a topic that is not there fails after this.
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            // Fuller batches cost less; a commit does not wait for them.
            .set("linger.ms", "20")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            .set("batch.num.messages", "20000");
        config
    }

    fn base(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", client_id)
            .set("socket.nagle.disable", "true")
            // A broker that hangs is noticed after this.
            .set("socket.timeout.ms", "10000")
            // A broker that comes back is noticed within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.ms", "10")
            .set("retry.backoff.max.ms", "500")
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn finish(&self, mut config: ClientConfig, kind: Kind, fixed: &[(&str, &str)]) -> ClientConfig {
        for (name, value) in &self.extra {
            let mine = match (name.strip_prefix(CONSUMER), name.strip_prefix(PRODUCER), kind) {
                (Some(name), _, Kind::Consumer) | (_, Some(name), Kind::Producer) => name,
                (None, None, _) => name,
                _ => continue,
            };
            config.set(mine, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extras_reach_their_kind_and_never_what_exactly_once_rests_on() {
        let extra = [
            ("consumer.fetch.wait.max.ms", "7"),
            ("security.protocol", "ssl"),
            ("isolation.level", "read_uncommitted"),
        ];
        let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = KafkaSettings {
            bootstrap: "b:1".to_owned(),
            extra: extra.into(),
        };
        let (reader, producer) = (settings.reader("r"), settings.producer("p"));
        assert_eq!(reader.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(reader.get("isolation.level"), Some("read_committed"));
        assert_eq!(producer.get("fetch.wait.max.ms"), None);
        assert_eq!(producer.get("security.protocol"), Some("ssl"));
    }
}
