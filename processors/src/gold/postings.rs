//! The postings of accounts, one after the other: what statements, balances of the past and explanations are read from.
//!
//! Each has its number on its account, the balance after it, and the time by which it was known, which never goes back from one to the next.
//! So the newest one of an instant is found in a few look-ups, and the balance then is the one after it.

use std::ops::ControlFlow;
use std::time::Duration;

use schemas::AccountId;
use schemas::silver::Posting;
use topology::store::KeyValue;
use topology::{Context, ProcessError, Processor, Record};

/// Old postings of an account are looked for once in so many of its postings.
const TIDY_EVERY: i64 = 64;
/// And so many of them go, at most.
const TIDY_MAX: usize = 256;

/// Keeps the postings of accounts.
pub struct KeepPostings {
    /// For how long; `None`: for good.
    kept: Option<Duration>,
}

impl KeepPostings {
    /// Those that are older than this are forgotten here, when the account has newer ones; the topic has them still.
    pub fn new(kept: Option<Duration>) -> Self {
        Self { kept }
    }
}

impl Processor for KeepPostings {
    type KeyIn = AccountId;
    type In = Posting;
    type KeyOut = AccountId;
    type Out = Posting;
    type Stores = (KeyValue<(AccountId, i64), Posting>, KeyValue<(AccountId, i64), i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<AccountId, Posting>) -> Result<(), ProcessError> {
        let (account, posting) = (record.key, &record.value);
        let (Some(number), Some(recorded_at)) = (posting.entry_number, posting.recorded_at) else {
            return Ok(());
        };
        cx.stores.0.put((account, number), posting.clone());
        // Whoever asks what was true at an instant takes back what was known later. What was known before, of a time to come, is found here.
        if let Some(effective_at) = posting.effective_at.filter(|at| *at > recorded_at) {
            cx.stores.1.put((account, number), effective_at);
        }
        if let Some(kept) = self.kept.filter(|_| number % TIDY_EVERY == 0) {
            let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
            forget(cx, (account, number), recorded_at.saturating_sub(kept))?;
        }
        cx.out.forward(account, posting.clone());
        Ok(())
    }
}

/// Forgets postings of an account before this one that were recorded before an instant.
fn forget(cx: &mut Context<'_, KeepPostings>, (account, number): (AccountId, i64), before: i64) -> Result<(), ProcessError> {
    let mut old = Vec::new();
    cx.stores.0.scan((account, 0)..(account, number), |key, posting| {
        if old.len() == TIDY_MAX || posting.recorded_at.is_some_and(|at| at >= before) {
            return ControlFlow::Break(());
        }
        old.push(key);
        ControlFlow::Continue(())
    })?;
    for key in old {
        cx.stores.0.delete(key);
        cx.stores.1.delete(key);
    }
    Ok(())
}

/// The newest of an account's postings, up to a number, that is one of those which come first: of which `is_in` says yes, and no of all behind
/// them. `get` looks a posting up by its number. Those near the end take few look-ups. `None`: none of those that are kept is.
///
/// # Errors
///
/// Those of the look-ups.
pub fn newest<E>(
    entries: i64,
    mut get: impl FnMut(i64) -> Result<Option<Posting>, E>,
    is_in: impl Fn(&Posting) -> bool,
) -> Result<Option<Posting>, E> {
    // Above `out`, all are behind; up to `known`, none is.
    let (mut out, mut step) = (entries + 1, 1);
    let mut found = None;
    let mut known = 0;
    while out > 1 {
        let number = (out - step).max(1);
        match get(number)? {
            Some(posting) if is_in(&posting) => {
                (known, found) = (number, Some(posting));
                break;
            }
            Some(_) => out = number,
            // Forgotten: what is before it is, too.
            None => {
                known = number;
                break;
            }
        }
        step *= 2;
    }
    while out - known > 1 {
        let number = known + (out - known) / 2;
        match get(number)? {
            Some(posting) if is_in(&posting) => (known, found) = (number, Some(posting)),
            Some(_) => out = number,
            None => known = number,
        }
    }
    Ok(found)
}
