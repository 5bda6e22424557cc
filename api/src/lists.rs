//! Lists are read off the threads that serve requests, a few at once, and only for as long as somebody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::HttpSettings;
use crate::problem::Problem;
use crate::reads::{ReadError, Reads, Scan};

/// Reads lists.
pub(crate) struct Lists {
    permits: Arc<Semaphore>,
    /// For what is made of an account's many postings.
    of_accounts: Arc<Semaphore>,
    visits_max: usize,
}

/// Ends the reading when the request is dropped: its client went away, or its time is over.
struct EndsWithRequest(Arc<AtomicBool>);

impl Drop for EndsWithRequest {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Lists {
    pub fn new(settings: &HttpSettings) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.lists_max)),
            of_accounts: Arc::new(Semaphore::new(settings.lists_max)),
            visits_max: settings.visits_max,
        }
    }

    /// To be held while an account's postings are read: as many read at once as lists are, and the others wait, as long as their requests may.
    pub async fn permit_of_account(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.of_accounts.clone().acquire_owned().await.ok()
    }

    /// Reads the first `limit` rows behind `after` of the partitions that are here, or of those that are named.
    pub async fn read<L: Send + 'static>(
        &self,
        reads: Arc<dyn Reads>,
        (after, limit): (Option<i64>, usize),
        partitions: Option<Vec<u32>>,
        read: impl FnOnce(&dyn Reads, &Scan) -> Result<L, ReadError> + Send + 'static,
    ) -> Result<L, Problem> {
        let busy = |_| Problem::unavailable("busy", "too many lists are being read; try again");
        // It goes with the reading, which may outlast the request by a moment.
        let permit = self.permits.clone().try_acquire_owned().map_err(busy)?;
        let scan = Scan {
            after,
            limit,
            visits_max: self.visits_max,
            partitions,
            ended: Arc::default(),
        };
        let _ends = EndsWithRequest(scan.ended.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&*reads, &scan)
        });
        Ok(reading.await.map_err(|error| Problem::internal(&error))??)
    }
}
