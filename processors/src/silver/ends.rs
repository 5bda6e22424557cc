//! Ends of the source's transactions, as the connector tells them: each with how many changes of a table it made.
//!
//! They come over another topic than the changes, so either may be first. Its counts may begin anew when the connector starts again, and an end may
//! be missing or count what never comes; so who waits for one has a bound.

use std::collections::VecDeque;

use schemas::bronze::TransactionMetadata;
use schemas::topics::{CDC_PREFIX, CDC_TRANSACTIONS};

/// So many ends that came before their changes are known, at most. Where the ends are further ahead, the next transaction's changes are
/// there too, and it is these that show that one is complete.
const HEARD_MAX: usize = 64;

/// A transaction of the source has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its id at the source.
    pub tx_id: i64,
    /// How many changes of the table of transactions it made.
    pub changes: i64,
}

impl Ended {
    /// What the connector says; `None`: it is no end, or none of a transaction that concerns the table.
    pub fn of(metadata: &TransactionMetadata) -> Option<Self> {
        if metadata.status != "END" {
            return None;
        }
        let tx_id = metadata.id.split(':').next()?.parse().ok()?;
        let table = CDC_TRANSACTIONS.name().strip_prefix(CDC_PREFIX)?.strip_prefix('.')?;
        let mut counts = metadata.data_collections.iter().flatten();
        let changes = counts.find(|count| count.data_collection == table)?.event_count;
        Some(Self { tx_id, changes })
    }
}

/// What is known of ends. Nothing of it is kept over a restart: then an end is not recognised, and the bound is waited for.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Those whose changes are yet to come, oldest first.
    heard: VecDeque<Ended>,
    /// The newest change's transaction, and its number there.
    seen: Option<Ended>,
    /// Whether any came.
    are_told: bool,
}

impl Ends {
    /// A change has come. Returns whether it is the last one of its transaction.
    pub fn change(&mut self, tx_id: Option<i64>, order: Option<i64>) -> bool {
        self.seen = tx_id.zip(order).map(|(tx_id, changes)| Ended { tx_id, changes });
        self.seen.is_some_and(|seen| self.heard.contains(&seen))
    }

    /// A transaction has ended. Returns whether all of its changes have come, and none after them.
    pub fn end(&mut self, ended: Ended) -> bool {
        self.are_told = true;
        if self.seen == Some(ended) {
            return true;
        }
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(ended);
        false
    }

    /// Whether the end of the newest change's transaction will be told.
    pub fn is_awaited(&self) -> bool {
        self.are_told && self.seen.is_some()
    }
}
