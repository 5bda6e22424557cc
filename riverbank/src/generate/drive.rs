//! Takes the lanes' batches to a bank: each lane one after the other, the lanes side by side, at the pace that was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::bank::SimulatedBank;
use super::operation::Batch;
use super::teller::{Teller, TellerError, Verdict};
use super::totals::Totals;

/// How often a commit is tried before the run ends with its error; with the waits between, about half a minute.
const ATTEMPTS: u32 = 12;
/// The wait before the second attempt; it doubles from one to the next, up to `WAIT_MAX`.
const WAIT: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How fast, and when to end. Without an end it goes on until `stop` is cancelled.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Operations a second, all lanes together; `None` is as fast as possible. A bank that falls behind is given the
    /// operations that are due all the same: the load does not wait for it.
    pub rate: Option<u32>,
    /// End after so many operations, those that found the bank not counted.
    pub count: Option<u64>,
    /// End after this time, the founding not counted.
    pub run_for: Option<Duration>,
    /// Ends the run between two commits.
    pub stop: CancellationToken,
}

/// Founds the bank and keeps it busy. The totals count both.
///
/// # Errors
/// When the bank cannot be reached any more, or already has customers of this seed.
pub async fn drive<T: Teller>(lanes: Vec<SimulatedBank>, teller: Arc<T>, pace: Pace) -> anyhow::Result<Totals> {
    let started = Instant::now();
    let totals = Arc::new(Mutex::new(Totals::default()));
    let founding = lanes
        .iter()
        .map(|lane| found(lane.founding(), Arc::clone(&teller), Arc::clone(&totals), pace.stop.clone()));
    all(founding).await.context("found the bank")?;

    let schedule = Arc::new(Schedule::new(&pace));
    let number = lanes.len() as u64;
    let busy = (0..).zip(lanes).map(|(n, lane)| {
        let quota = pace.count.map(|count| count / number + u64::from(n < count % number));
        work(
            lane,
            quota,
            Arc::clone(&schedule),
            Arc::clone(&teller),
            Arc::clone(&totals),
            pace.stop.clone(),
        )
    });
    all(busy).await?;
    let mut totals = totals.lock().clone();
    totals.elapsed = started.elapsed();
    Ok(totals)
}

/// Runs all of them side by side; the first error ends the others.
async fn all(tasks: impl Iterator<Item = impl Future<Output = anyhow::Result<()>> + Send + 'static>) -> anyhow::Result<()> {
    let mut set: JoinSet<anyhow::Result<()>> = tasks.collect();
    while let Some(ended) = set.join_next().await {
        ended.context("a lane ended early")??;
    }
    Ok(())
}

async fn found<T: Teller>(
    batches: Vec<Batch>,
    teller: Arc<T>,
    totals: Arc<Mutex<Totals>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    for batch in batches {
        if stop.is_cancelled() {
            return Ok(());
        }
        let (verdict, retries) = commit(&*teller, &batch).await?;
        let mut totals = totals.lock();
        totals.retries += retries;
        totals.count(&batch, &verdict);
        if let Verdict::Refused(reason) = verdict {
            return Err(anyhow!(
                "the bank refuses its first customers ({reason}); if it was founded by this seed before, give another --seed"
            ));
        }
    }
    Ok(())
}

async fn work<T: Teller>(
    mut lane: SimulatedBank,
    mut quota: Option<u64>,
    schedule: Arc<Schedule>,
    teller: Arc<T>,
    totals: Arc<Mutex<Totals>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while quota != Some(0) {
        let mut batch = lane.next().context("a simulated bank never ends")?;
        if let Some(left) = &mut quota {
            batch.operations.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= batch.operations.len() as u64;
        }
        let go_on = tokio::select! {
            biased;
            () = stop.cancelled() => false,
            on_time = schedule.wait(batch.operations.len() as u64) => on_time,
        };
        if !go_on {
            return Ok(());
        }
        let (verdict, retries) = commit(&*teller, &batch).await?;
        let mut totals = totals.lock();
        totals.retries += retries;
        totals.count(&batch, &verdict);
    }
    Ok(())
}

/// Commits a batch, again and again while the bank says that nothing of it is in force. Returns how often again.
async fn commit<T: Teller>(teller: &T, batch: &Batch) -> anyhow::Result<(Verdict, u64)> {
    let mut wait = WAIT;
    for attempt in 1..=ATTEMPTS {
        match teller.commit(batch).await {
            Ok(verdict) => return Ok((verdict, u64::from(attempt - 1))),
            Err(TellerError::Again(reason)) if attempt < ATTEMPTS => {
                tracing::debug!(attempt, reason, "commit again");
                sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
            Err(error) => return Err(anyhow!("the bank cannot be reached after {attempt} attempts: {error}")),
        }
    }
    unreachable!("the last attempt returns")
}

/// When each operation is due, counted over all lanes.
#[derive(Debug)]
struct Schedule {
    started: Instant,
    rate: Option<u32>,
    end: Option<Instant>,
    issued: AtomicU64,
}

impl Schedule {
    fn new(pace: &Pace) -> Self {
        let started = Instant::now();
        Self {
            started,
            rate: pace.rate,
            end: pace.run_for.map(|run_for| started + run_for),
            issued: AtomicU64::new(0),
        }
    }

    /// Waits until the next `operations` are due; `false` where that is after the end.
    async fn wait(&self, operations: u64) -> bool {
        let before = self.issued.fetch_add(operations, Ordering::Relaxed);
        let due = match self.rate {
            Some(rate) => self.started + Duration::from_secs_f64(before as f64 / f64::from(rate)),
            None => Instant::now(),
        };
        if self.end.is_some_and(|end| due.max(Instant::now()) >= end) {
            return false;
        }
        sleep_until(due).await;
        true
    }
}
