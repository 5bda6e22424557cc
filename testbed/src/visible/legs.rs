//! The legs of the way, as means: what Debezium took, and what Riverbank's own metrics say.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use broker::{Broker as _, KafkaBroker, KafkaSettings, Polled, Start, TopicPartition};
use schemas::bronze::{Envelope, TransactionRow};
use schemas::topics::CDC_TRANSACTIONS;
use wire::{Codec, HttpRegistry, Registry, Wire as _};

const PATIENCE: Duration = Duration::from_secs(120);

/// A metric of a Riverbank, summed over its series: all that start with `name`.
pub async fn metric(http: &reqwest::Client, url: &str, name: &str) -> anyhow::Result<f64> {
    let text = http.get(format!("{url}/metrics")).send().await?.text().await?;
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    Ok(text.lines().filter(|line| line.starts_with(name)).filter_map(value).sum())
}

/// Sums and counts of Riverbank's histograms at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Legs {
    at: SystemTime,
    sums: [(f64, f64); 3],
}

/// Means over a time, in milliseconds; the first three since the commit in Postgres.
#[derive(Debug, Clone, Copy)]
pub struct LegsMeans {
    /// Until Debezium has written the change event.
    pub in_kafka_ms: f64,
    /// Until the legs that follow from it are committed.
    pub legs_committed_ms: f64,
    /// Until the balance is committed.
    pub balance_committed_ms: f64,
    /// What one commit of Riverbank takes.
    pub commit_ms: f64,
}

/// Names of histograms, with `PART` for sum or count.
const HISTOGRAMS: [&str; 3] = [
    "riverbank_end_to_end_latency_seconds_PART{topic=\"bank.public.transactions\"}",
    "riverbank_end_to_end_latency_seconds_PART{topic=\"riverbank-legs\"}",
    "riverbank_commit_duration_seconds_PART",
];

impl Legs {
    /// Now.
    #[allow(clippy::disallowed_methods, reason = "a measurement of real time")]
    pub async fn now(http: &reqwest::Client, url: &str) -> anyhow::Result<Self> {
        let mut sums = [(0.0, 0.0); 3];
        for (name, sums) in HISTOGRAMS.iter().zip(&mut sums) {
            let part = async |part| metric(http, url, &name.replace("PART", part)).await;
            *sums = (part("sum").await?, part("count").await?);
        }
        Ok(Self {
            at: SystemTime::now(),
            sums,
        })
    }

    /// The means since an earlier moment. Blocks while it reads the change topic.
    pub fn since(&self, before: &Self, bootstrap: &str, registry: &str) -> anyhow::Result<LegsMeans> {
        let mean_ms = |i: usize| {
            let (sum, count) = (self.sums[i].0 - before.sums[i].0, self.sums[i].1 - before.sums[i].1);
            sum / count.max(1.0) * 1000.0
        };
        Ok(LegsMeans {
            in_kafka_ms: capture_delay_ms(bootstrap, registry, before.at)?,
            legs_committed_ms: mean_ms(0),
            balance_committed_ms: mean_ms(1),
            commit_ms: mean_ms(2),
        })
    }
}

/// How long Debezium takes from the commit to the log, on average, since a time.
fn capture_delay_ms(bootstrap: &str, registry: &str, since: SystemTime) -> anyhow::Result<f64> {
    let since_ms = since.duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let registry: Arc<dyn Registry> = Arc::new(HttpRegistry::new(registry)?);
    let codec = Codec::reader(registry);
    let broker = KafkaBroker::new(KafkaSettings {
        bootstrap: bootstrap.to_owned(),
        ..KafkaSettings::default()
    });
    let topic = CDC_TRANSACTIONS.name();
    let partitions = broker.partitions(topic, PATIENCE)?;
    let mut reader = broker.reader("capture-delay")?;
    let mut open = partitions.with_context(|| format!("there is no topic {topic}"))?;
    for partition in 0..open {
        reader.assign(&TopicPartition::new(topic, partition), Start::Earliest)?;
    }
    let (mut sum_ms, mut count) = (0.0, 0_u32);
    while open > 0 {
        let mut polled = Polled::default();
        reader.poll(10_000, PATIENCE, &mut polled)?;
        ensure!(
            !polled.messages.is_empty() || !polled.ends.is_empty(),
            "{topic} could not be read to its end"
        );
        open -= polled.ends.len() as u32;
        for message in polled.messages {
            let Some(value) = message.value.as_ref().filter(|_| message.timestamp_ms >= since_ms) else {
                continue;
            };
            let event = Envelope::<TransactionRow>::decode(value, &codec)?;
            sum_ms += message.timestamp_ms as f64 - event.source.committed_at_us().0 as f64 / 1000.0;
            count += 1;
        }
    }
    ensure!(count > 0, "{topic} has nothing since then");
    Ok(sum_ms / f64::from(count))
}
