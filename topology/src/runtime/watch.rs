//! Partitions that come to what is read while it is read.
//!
//! Nobody reads them, and keys that were in one of the others go there from now on: what goes on would be processed without what
//! came before it. So the sub-topology that reads the topic stands still, what it has committed stays readable, and the program
//! is asked to start its engine anew, which then reads all of them or says what must be done first.

use std::time::Duration;

use super::parts::Parts;
use super::plan::Plan;
use super::shared::Shared;
use crate::error::EngineError;

/// Whoever calls has other things to do while the broker is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Compares the inputs' partitions with those at the start. To be called now and then, off the workers' threads.
pub(crate) fn watch_partitions(parts: &Parts, shared: &Shared) -> Result<(), EngineError> {
    let plan = shared.plans.newest(&parts.plan);
    let topics: Vec<&str> = plan.source_partitions.keys().copied().collect();
    let counts = parts.broker.partition_counts(&topics, PATIENCE)?;
    for (topic, now) in topics.into_iter().zip(counts) {
        let then = plan.source_partitions[topic];
        // Partitions are never taken away: fewer, or none, is a broker that does not know better yet.
        let Some(now) = now.filter(|now| *now > then) else { continue };
        if is_another(parts, &plan, topic)? {
            continue;
        }
        let reads = |sources: &[(&str, usize)]| sources.iter().any(|(source, _)| *source == topic);
        for (number, _) in plan.sources.iter().enumerate().filter(|(_, sources)| reads(sources)) {
            let told = format!(
                "topic {topic} has {now} partitions, and had {then} at the start: nothing more is processed of it before a restart \
                 (docs/runbooks/partitions.md)"
            );
            if shared.stand_still(number, told.clone()) {
                tracing::error!("{told}");
            }
        }
    }
    parts.metrics.still.set(shared.still_count() as i64);
    Ok(())
}

/// Whether a topic that is read by pattern was made anew under its name: then the next plan takes it up as another.
fn is_another(parts: &Parts, plan: &Plan, topic: &str) -> Result<bool, EngineError> {
    Ok(plan.matched(&parts.topology).contains_key(topic) && plan.is_another(topic, parts.id_of(topic, PATIENCE)?.as_ref()))
}
