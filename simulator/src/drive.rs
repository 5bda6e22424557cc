//! Takes the lanes' batches to a target: those of a lane one after the other, the lanes side by side, at a pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use parking_lot::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::bank::SimulatedBank;
use crate::calendar::Calendar;
use crate::operation::Batch;
use crate::target::{Outcome, Target, TargetError};
use crate::totals::Totals;

/// How often a commit is tried before the run ends with its error; with the waits between, about half a minute.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(20))
    .with_max_delay(Duration::from_secs(5))
    .with_max_times(11)
    .with_jitter();

/// How fast, and when to end. Without an end it goes on until `stop` is cancelled.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Operations a second, all lanes together, on average where days are busier than nights; `None` is as fast as possible. A bank that falls behind is given the
    /// operations that are due all the same: the load does not wait for it.
    pub rate: Option<u32>,
    /// End after so many operations, those of the initial population not counted.
    pub count: Option<u64>,
    /// End after this time, that for the initial population not counted.
    pub run_for: Option<Duration>,
    /// Ends the run between two commits.
    pub stop: CancellationToken,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The initial population was refused: take an empty bank, or another seed.
    #[error("the bank refuses its first customers ({0}); if it holds those of this seed already, give another --seed")]
    Occupied(String),
    /// The target took no batch, however often it was tried.
    #[error("the bank cannot be reached after {attempts} attempts")]
    Unreachable {
        /// How often it was tried.
        attempts: u64,
        /// What the target said last.
        source: TargetError,
    },
    /// A lane panicked.
    #[error("a lane ended early")]
    Lane(#[from] JoinError),
}

/// Writes the initial population, then keeps the bank busy: [`open`] and [`keep_busy`]. The totals count both.
///
/// # Errors
///
/// If the target cannot be reached any more, or already has customers of this seed.
pub async fn drive<T: Target>(lanes: Vec<SimulatedBank>, target: Arc<T>, pace: Pace) -> Result<Totals, DriveError> {
    let mut totals = open(&lanes, &target, &pace.stop).await?;
    totals += keep_busy(lanes, target, pace).await?;
    Ok(totals)
}

/// Writes the initial population, as fast as possible.
///
/// # Errors
///
/// If the target cannot be reached any more, or already has customers of this seed.
pub async fn open<T: Target>(lanes: &[SimulatedBank], target: &Arc<T>, stop: &CancellationToken) -> Result<Totals, DriveError> {
    side_by_side(lanes.iter(), |lane, totals| {
        populate(lane.population(), Arc::clone(target), totals, stop.clone())
    })
    .await
}

/// Keeps a bank busy that has its initial population.
///
/// # Errors
///
/// If the target cannot be reached any more.
pub async fn keep_busy<T: Target>(lanes: Vec<SimulatedBank>, target: Arc<T>, pace: Pace) -> Result<Totals, DriveError> {
    let schedule = Arc::new(Schedule::new(&pace, lanes.first().and_then(SimulatedBank::pattern)));
    let number = lanes.len() as u64;
    side_by_side((0..).zip(lanes), |(n, lane), totals| {
        let quota = pace.count.map(|count| count / number + u64::from(n < count % number));
        let (schedule, target) = (Arc::clone(&schedule), Arc::clone(&target));
        work(lane, quota, schedule, target, totals, pace.stop.clone())
    })
    .await
}

/// Does something for each lane, and says what all came to.
async fn side_by_side<L, F>(
    lanes: impl Iterator<Item = L>,
    each: impl Fn(L, Arc<Mutex<Totals>>) -> F,
) -> Result<Totals, DriveError>
where
    F: Future<Output = Result<(), DriveError>> + Send + 'static,
{
    let started = Instant::now();
    let totals = Arc::new(Mutex::new(Totals::default()));
    all(lanes.map(|lane| each(lane, Arc::clone(&totals)))).await?;
    let mut totals = totals.lock().clone();
    totals.elapsed = started.elapsed();
    Ok(totals)
}

/// Runs all of them side by side; the first error ends the others.
async fn all(
    tasks: impl Iterator<Item = impl Future<Output = Result<(), DriveError>> + Send + 'static>,
) -> Result<(), DriveError> {
    let mut set: JoinSet<Result<(), DriveError>> = tasks.collect();
    while let Some(ended) = set.join_next().await {
        ended??;
    }
    Ok(())
}

async fn populate<T: Target>(
    batches: impl Iterator<Item = Batch>,
    target: Arc<T>,
    totals: Arc<Mutex<Totals>>,
    stop: CancellationToken,
) -> Result<(), DriveError> {
    for batch in batches {
        if stop.is_cancelled() {
            return Ok(());
        }
        let (outcome, retries) = commit(&*target, &batch).await?;
        let mut totals = totals.lock();
        totals.retries += retries;
        totals.count(&batch, &outcome);
        if let Outcome::Refused(reason) = outcome {
            return Err(DriveError::Occupied(reason));
        }
    }
    Ok(())
}

async fn work<T: Target>(
    mut lane: SimulatedBank,
    mut quota: Option<u64>,
    schedule: Arc<Schedule>,
    target: Arc<T>,
    totals: Arc<Mutex<Totals>>,
    stop: CancellationToken,
) -> Result<(), DriveError> {
    while quota != Some(0) {
        let mut batch = lane.next().expect("a simulated bank never ends");
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
        let (outcome, retries) = commit(&*target, &batch).await?;
        let mut totals = totals.lock();
        totals.retries += retries;
        totals.count(&batch, &outcome);
    }
    Ok(())
}

/// Commits a batch, again and again while the bank says that nothing of it is in force. Returns how often again.
async fn commit<T: Target>(target: &T, batch: &Batch) -> Result<(Outcome, u64), DriveError> {
    let mut retries = 0;
    let committed = (|| target.commit(batch))
        .retry(RETRIES)
        .when(|error| matches!(error, TargetError::Retry(_)))
        .notify(|reason, wait| {
            retries += 1;
            tracing::debug!(retries, %reason, ?wait, "commit again");
        })
        .await;
    match committed {
        Ok(outcome) => Ok((outcome, retries)),
        Err(source) => Err(DriveError::Unreachable {
            attempts: retries + 1,
            source,
        }),
    }
}

/// When each operation is due, counted over all lanes.
#[derive(Debug)]
struct Schedule {
    started: Instant,
    rate: Option<u32>,
    calendar: Option<Calendar>,
    end: Option<Instant>,
    issued: AtomicU64,
}

impl Schedule {
    fn new(pace: &Pace, calendar: Option<Calendar>) -> Self {
        let started = Instant::now();
        Self {
            started,
            rate: pace.rate,
            calendar,
            end: pace.run_for.map(|run_for| started + run_for),
            issued: AtomicU64::new(0),
        }
    }

    /// Waits until the next `operations` are due; `false` where that is after the end.
    async fn wait(&self, operations: u64) -> bool {
        let before = self.issued.fetch_add(operations, Ordering::Relaxed);
        let due = match (self.rate, self.calendar) {
            (Some(rate), Some(calendar)) => self.started + calendar.due(before, rate),
            (Some(rate), None) => self.started + Duration::from_secs_f64(before as f64 / f64::from(rate)),
            (None, _) => Instant::now(),
        };
        if self.end.is_some_and(|end| due.max(Instant::now()) >= end) {
            return false;
        }
        sleep_until(due).await;
        true
    }
}
