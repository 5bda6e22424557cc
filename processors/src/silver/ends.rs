//! Ends of the source's transactions, as the connector tells them: each with how many changes of a table it made.
//!
//! They come over another topic than the changes, so either may be first. Its counts may begin anew when the connector starts again, and an end may
//! be missing or count what never comes; so who waits for one has a bound.

use std::collections::VecDeque;

use schemas::bronze::TransactionMetadata;
use schemas::silver::SourceTransactionEnd;
use schemas::topics::{CDC_PREFIX, CDC_TRANSACTIONS};

/// So many ends that came before their changes are known, at most. Where the ends are further ahead, the next transaction's changes are
/// there too, and it is these that show that one is complete.
const HEARD_MAX: usize = 64;

/// What the connector says; `None`: it is no end, or none of a transaction that concerns the table of transactions.
pub fn transaction_end(metadata: &TransactionMetadata) -> Option<SourceTransactionEnd> {
    if metadata.status != "END" {
        return None;
    }
    let tx_id = metadata.id.split(':').next()?.parse().ok()?;
    let table = CDC_TRANSACTIONS.name().strip_prefix(CDC_PREFIX)?.strip_prefix('.')?;
    let mut counts = metadata.data_collections.iter().flatten();
    let changes = counts.find(|count| count.data_collection == table)?.event_count;
    Some(SourceTransactionEnd { tx_id, changes })
}

/// What is known of ends. Nothing of it is kept over a restart: then an end may not be recognised, and the bound is waited for.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Those whose changes are yet to come, oldest first.
    heard: VecDeque<SourceTransactionEnd>,
    newest: Newest,
}

/// The newest streamed change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// None has come since the start.
    #[default]
    Unknown,
    /// The connector does not number changes, and so tells no ends.
    Unnumbered,
    /// Its transaction, and its number there.
    Of(SourceTransactionEnd),
}

impl Ends {
    /// A change was streamed. Returns whether it is the last one of its transaction, by an end that was heard before it.
    pub fn change(&mut self, tx_id: Option<i64>, order: Option<i64>) -> bool {
        let (Some(tx_id), Some(changes)) = (tx_id, order) else {
            self.newest = Newest::Unnumbered;
            return false;
        };
        let newest = SourceTransactionEnd { tx_id, changes };
        self.newest = Newest::Of(newest);
        let at = self.heard.iter().position(|heard| *heard == newest);
        at.is_some_and(|at| self.heard.remove(at).is_some())
    }

    /// A transaction has ended. Returns whether its last change was the newest one.
    pub fn end(&mut self, ended: SourceTransactionEnd) -> bool {
        if self.newest == Newest::Of(ended) {
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
        self.newest != Newest::Unnumbered
    }
}
