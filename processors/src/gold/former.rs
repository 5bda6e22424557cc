//! What a balance was before the newest transactions.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use schemas::gold::AccountBalance;
use schemas::{AccountId, MoneyError};
use topology::store::{KeyValueStore, View};
use topology::{Millis, ProcessError, StoreError};

/// For so long it is known what a balance was: so far apart partitions may be, and what several accounts held together is still known.
pub const FORMER_KEPT: Duration = Duration::from_secs(60);
/// And of so many changes of a partition's balances.
const FORMER_MAX: usize = 1 << 17;
/// Of a transaction that is open all is kept, but of no more than so many changes.
const OPEN_MAX: usize = 1 << 20;

/// What balances were, in a store without a changelog.
#[derive(Default)]
pub struct Former {
    /// What the store has, oldest first, each with when it came. `None`: not known yet. A task that begins has an empty store, and one whose
    /// transaction was discarded has what was committed before.
    kept: Option<VecDeque<(AccountId, i64, Millis)>>,
}

impl Former {
    /// Before the first change by a source transaction: what the balance was stays known for a while. `complete`: the number up to which all
    /// transactions are known to have come here.
    ///
    /// Whoever asks for several accounts asks as of such a number. So of what a balance was between two of them only the last is ever asked for;
    /// what is behind the newest of them is kept until a newer change shows that it is not the last.
    pub fn keep(
        &mut self,
        store: &mut KeyValueStore<(AccountId, i64), AccountBalance>,
        balance: &mut AccountBalance,
        (commit_number, complete): (i64, i64),
        now_ms: Millis,
    ) -> Result<(), ProcessError> {
        let (id, since) = (balance.account_id, balance.commit_number);
        // Several changes by one transaction are one.
        if since == Some(commit_number) {
            return Ok(());
        }
        if since.is_some_and(|since| since > commit_number) {
            return unknown_since(store, id, commit_number);
        }
        self.known(store, now_ms)?.push_back((id, commit_number, now_ms));
        if let Some(since) = since.filter(|since| *since > complete)
            && let Some(last) = store.get(&(id, since))?
            && last.commit_number.is_some_and(|since| since > complete)
        {
            store.delete((id, since));
        }
        store.put((id, commit_number), balance.clone());
        balance.commit_number = Some(commit_number);
        Ok(())
    }

    /// Forgets what nobody asks for any more. To be called last: what is undone afterwards would be kept for good.
    pub fn forget(
        &mut self,
        store: &mut KeyValueStore<(AccountId, i64), AccountBalance>,
        complete: i64,
        now_ms: Millis,
    ) -> Result<(), ProcessError> {
        let kept = self.known(store, now_ms)?;
        while let Some((id, number, at)) = kept.front().copied() {
            let is_old = at + FORMER_KEPT < now_ms || kept.len() > FORMER_MAX;
            if !(is_old && number <= complete || kept.len() > OPEN_MAX) {
                break;
            }
            kept.pop_front();
            store.delete((id, number));
        }
        Ok(())
    }

    /// What the store has: what it had at the beginning, as if it had come now.
    fn known(
        &mut self,
        store: &KeyValueStore<(AccountId, i64), AccountBalance>,
        now_ms: Millis,
    ) -> Result<&mut VecDeque<(AccountId, i64, Millis)>, ProcessError> {
        if self.kept.is_none() {
            let mut found = Vec::new();
            store.scan(.., |(id, number), _| {
                found.push((id, number, now_ms));
                ControlFlow::Continue(())
            })?;
            found.sort_unstable_by_key(|(_, number, _)| *number);
            self.kept = Some(found.into());
        }
        Ok(self.kept.get_or_insert_default())
    }
}

/// What has waited at its account is booked late: what the balance was since then, is not what it should have been.
fn unknown_since(
    store: &mut KeyValueStore<(AccountId, i64), AccountBalance>,
    id: AccountId,
    commit_number: i64,
) -> Result<(), ProcessError> {
    let mut later = Vec::new();
    store.scan((id, commit_number.saturating_add(1))..=(id, i64::MAX), |key, _| {
        later.push(key);
        ControlFlow::Continue(())
    })?;
    later.into_iter().for_each(|key| store.delete(key));
    Ok(())
}

/// What an account's balance was as of a source transaction, up to which all are known to have come. To be asked after the balance as it is
/// `now` was read, and that is of a later one. `None`: it is not known that far back.
pub fn former_as_of(
    view: &View<(AccountId, i64), AccountBalance>,
    now: &AccountBalance,
    commit_number: i64,
) -> Result<Option<AccountBalance>, StoreError> {
    let (id, mut next) = (now.account_id, None);
    view.scan((id, commit_number.saturating_add(1))..=(id, i64::MAX), |_, former| {
        next = Some(former);
        ControlFlow::Break(())
    })?;
    let is_it = |former: &AccountBalance| former.commit_number.is_none_or(|since| since <= commit_number);
    Ok(next.filter(is_it).and_then(|former| with_terms(former, now).ok()))
}

/// A former balance with what the account's row says now: what it opened with, it had from the beginning.
fn with_terms(former: AccountBalance, now: &AccountBalance) -> Result<AccountBalance, MoneyError> {
    let posted = former.booked.checked_sub(former.opening)?;
    let booked = now.opening.checked_add(posted)?;
    Ok(AccountBalance {
        customer_id: now.customer_id,
        currency: now.currency,
        opening: now.opening,
        booked,
        available: booked.checked_sub(former.pending)?,
        is_deleted: now.is_deleted,
        ..former
    })
}
