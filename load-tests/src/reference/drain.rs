//! How fast a program works off a full topic, and what it takes for that.

use anyhow::ensure;
use broker::CleanupPolicy;

use super::engines::{EngineKind, Job, start};
use crate::kafka::Kafka;
use crate::way::Drained;

/// Starts a program on a full topic and ends it when all is done.
pub fn measure(kind: EngineKind, job: &Job, kafka: &Kafka, records: usize, warm_up_percent: usize) -> anyhow::Result<Drained> {
    kafka.create(&job.output(kind), job.partitions, CleanupPolicy::Compact)?;
    let mut way = job.way(kind, kafka)?;
    let held = way.waiting();
    ensure!(held as usize >= records, "{} holds {held} records, not {records}", job.input);
    let mut running = start(kind, job, kafka)?;
    let drained = way.measure(kafka, &mut running, warm_up_percent)?;
    running.stop()?;
    Ok(drained)
}
