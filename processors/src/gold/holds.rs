//! Holds of accounts: placed, ended, expired.

use std::ops::ControlFlow;
use std::time::Duration;

use schemas::silver::{Leg, LegEntry};
use schemas::state::Hold;
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValueStore;
use topology::{Micros, ProcessError};

/// Holds that are released in one step, at most.
const RELEASED_MAX: usize = 10_000;

/// The holds of accounts, and when they end.
pub(super) struct Holds<'s> {
    /// By account and transaction.
    pub held: &'s mut KeyValueStore<(AccountId, TransactionId), Hold>,
    /// Those that hold, the oldest first.
    pub placed: &'s mut KeyValueStore<(i64, AccountId, TransactionId), i64>,
}

/// Places the hold of an entry, or ends it: by how much what is held of the account changes.
pub(super) fn change(account: AccountId, leg: &Leg, entry: LegEntry, of: &mut Holds<'_>) -> Result<Money, ProcessError> {
    let Holds { held: holds, placed } = of;
    let key = (account, leg.transaction_id);
    let known = holds.get(&key)?;
    if let Some(hold) = known.filter(|hold| hold.released_at.is_none()) {
        placed.delete((hold.placed_at, account, leg.transaction_id));
    }
    let is_released = known.is_some_and(|hold| hold.released_at.is_some());
    if entry.reversal {
        let is_held_again = leg.then.is_some_and(|then| !then.reversal && then.pending != Money::ZERO);
        // One from before holds were kept is not known, and holds until it ends. One that was released stays so if the next entry holds again.
        if known.is_some() && !(is_released && is_held_again) {
            holds.delete(key);
        }
        return Ok(if is_released { Money::ZERO } else { entry.pending });
    }
    let placed_at = entry.effective_at.unwrap_or(leg.source_ts);
    // Of the same time, so it has expired as well.
    let released_at = known
        .filter(|hold| hold.placed_at >= placed_at)
        .and_then(|hold| hold.released_at);
    let hold = Hold {
        amount: entry.pending,
        placed_at,
        released_at,
        source_lsn: leg.source_lsn,
    };
    holds.put(key, hold);
    if released_at.is_some() {
        return Ok(Money::ZERO);
    }
    placed.put((placed_at, account, leg.transaction_id), leg.source_lsn);
    Ok(entry.pending)
}

/// Takes some of the holds that have expired: they hold no longer, and whoever ends them finds that.
pub(super) fn release(
    of: Holds<'_>,
    now: Micros,
    expiry: Duration,
) -> Result<Vec<(AccountId, TransactionId, Hold)>, ProcessError> {
    let Holds { held: holds, placed } = of;
    let before = now.0.saturating_sub(i64::try_from(expiry.as_micros()).unwrap_or(i64::MAX));
    let mut expired = Vec::new();
    placed.scan(.., |key, _| {
        if key.0 > before || expired.len() == RELEASED_MAX {
            return ControlFlow::Break(());
        }
        expired.push(key);
        ControlFlow::Continue(())
    })?;
    let mut released = Vec::with_capacity(expired.len());
    for key in expired {
        let (_, account, transaction) = key;
        placed.delete(key);
        if let Some(mut hold) = holds.get(&(account, transaction))? {
            hold.released_at = Some(now.0);
            holds.put((account, transaction), hold);
            released.push((account, transaction, hold));
        }
    }
    Ok(released)
}
