//! What an account opened with, beside its postings.

use schemas::AccountId;
use schemas::state::Opening;

use super::{Journal, ReadError};

/// All that was said of what an account opened with, the newest first; nothing, where the state is of an earlier version of Riverbank, which did not
/// keep it.
pub struct Openings(Vec<Opening>);

impl Openings {
    /// To be read after the balance, so that nothing that is in it is missing here.
    ///
    /// # Errors
    ///
    /// The stores gave no answer.
    pub fn read(reads: &dyn Journal, id: AccountId) -> Result<Self, ReadError> {
        let (mut all, mut next) = (Vec::new(), i64::MIN);
        loop {
            let some = reads.openings(id, next)?;
            let Some((last, _)) = some.last() else { break };
            next = last.saturating_add(1);
            all.extend(some.into_iter().map(|(_, opening)| opening));
        }
        Ok(Self(all))
    }

    /// What was said first.
    pub fn first(&self) -> Option<&Opening> {
        self.0.last()
    }

    /// What was said last at an instant, in microseconds since the epoch; `None`: nothing yet.
    pub fn then(&self, at: i64) -> Option<&Opening> {
        self.0.iter().find(|opening| opening.at <= at)
    }

    /// What the balance after a posting goes on from.
    pub fn beneath(&self, number: i64) -> Option<&Opening> {
        let before = self.0.iter().find(|opening| opening.entries < number);
        before.or(self.first())
    }

    /// Whether the account was deleted after an instant, and up to another.
    pub fn is_deleted_between(&self, from: i64, to: i64) -> bool {
        let mut deleted = self.0.iter().filter(|opening| opening.is_deleted);
        deleted.any(|opening| from < opening.at && opening.at <= to)
    }

    /// Since when there is anything to be said of the account, by its transactions' own time: a snapshot shows what is older than it.
    /// `opened_at`: as its row says now.
    pub fn since(&self, opened_at: Option<i64>) -> Option<i64> {
        let first = self.first().filter(|first| first.at != Opening::UNKNOWN);
        let first = first.map(|first| first.at.min(first.created_at));
        first.into_iter().chain(opened_at).min()
    }
}
