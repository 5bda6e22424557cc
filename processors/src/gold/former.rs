//! What a balance was before the newest transactions.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use schemas::AccountId;
use schemas::gold::AccountBalance;
use schemas::state::FormerBalance;
use topology::store::{KeyValueStore, View};
use topology::{Millis, ProcessError, StoreError};

/// For so long it is known what a balance was: so far apart partitions may be, and what several accounts held together is still known.
pub const FORMER_KEPT: Duration = Duration::from_secs(60);
/// And of so many changes of a partition's balances, at most.
const FORMER_MAX: usize = 1 << 17;
/// So many are forgotten at once, at most.
const FORGOTTEN_MAX: usize = 10_000;

/// What balances were, in a store without a changelog.
#[derive(Default)]
pub struct Former {
    /// What the store has, oldest first, each with when it came: the store is empty when a processor begins.
    kept: VecDeque<(AccountId, i64, Millis)>,
}

impl Former {
    /// Before the first change by a source transaction: what the balance was stays known for a while. `complete`: the number up to which all
    /// transactions are known to have come here.
    ///
    /// Whoever asks for several accounts asks as of such a number. So of what a balance was between two of them only the last is ever asked for;
    /// what is behind the newest of them is kept until a newer change shows that it is not the last.
    pub fn keep(
        &mut self,
        store: &mut KeyValueStore<(AccountId, i64), FormerBalance>,
        balance: &mut AccountBalance,
        (commit_number, complete): (i64, i64),
        now_ms: Millis,
    ) -> Result<(), ProcessError> {
        let (id, since) = (balance.account_id, balance.commit_number);
        // Several changes by one transaction are one; and what has waited for its account belongs to none that is still to come.
        if since.is_some_and(|since| since >= commit_number) {
            return Ok(());
        }
        if let Some(since) = since.filter(|since| *since > complete)
            && let Some(last) = store.get(&(id, since))?
            && last.since.is_some_and(|since| since > complete)
        {
            store.delete((id, since));
        }
        let former = FormerBalance {
            since,
            booked: balance.booked,
            pending: balance.pending,
            opening: balance.opening,
        };
        store.put((id, commit_number), former);
        balance.commit_number = Some(commit_number);
        self.kept.push_back((id, commit_number, now_ms));
        if self.kept.len() > FORMER_MAX {
            self.forget_oldest(store);
        }
        Ok(())
    }

    /// Forgets what nobody asks for any more.
    pub fn forget(&mut self, store: &mut KeyValueStore<(AccountId, i64), FormerBalance>, now_ms: Millis) {
        for _ in 0..FORGOTTEN_MAX {
            match self.kept.front() {
                Some((_, _, at)) if *at + FORMER_KEPT < now_ms => self.forget_oldest(store),
                _ => return,
            }
        }
    }

    fn forget_oldest(&mut self, store: &mut KeyValueStore<(AccountId, i64), FormerBalance>) {
        if let Some((id, number, _)) = self.kept.pop_front() {
            store.delete((id, number));
        }
    }
}

/// What an account's balance was as of a source transaction, up to which all are known to have come. To be asked after the balance was
/// read, and that is of a later one. `None`: it is not known that far back.
pub fn former_as_of(
    view: &View<(AccountId, i64), FormerBalance>,
    id: AccountId,
    commit_number: i64,
) -> Result<Option<FormerBalance>, StoreError> {
    let mut next: Option<FormerBalance> = None;
    view.scan((id, commit_number.saturating_add(1))..=(id, i64::MAX), |_, former| {
        next = Some(former);
        ControlFlow::Break(())
    })?;
    Ok(next.filter(|former| former.since.is_none_or(|since| since <= commit_number)))
}
