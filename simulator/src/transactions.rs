//! Operations on transactions, such that their accounts' funds suffice.
//!
//! Where there is nothing to operate on (no pending transaction, no money) there is no operation, and a deposit takes its
//! place: the stream never stalls.

use rand::RngExt;
use schemas::Money;
use schemas::silver::{TransactionStatus, TransactionType};

use crate::bank::{Known, SimulatedBank};
use crate::draw::{PENDING_MAX, take};
use crate::mix::Kind;
use crate::operation::{AccountRef, ChangeReason, Draft, Operation};
use crate::population;

/// Transactions that a lane keeps in mind for later changes, at most; the oldest one is forgotten.
const RECENT_MAX: usize = 512;
/// What an overdraw tries to take, in hundredths: more than everything that was ever deposited.
const OVERDRAFT: i64 = 999_999_999_999_900;

impl SimulatedBank {
    /// Operations of this kind, or none where there is nothing to operate on.
    pub(super) fn operations(&mut self, kind: Kind) -> Vec<Operation> {
        let one = |operation: Option<Operation>| operation.into_iter().collect();
        match kind {
            Kind::Deposit => vec![self.fallback()],
            Kind::Withdrawal => one(self.withdraw()),
            Kind::Transfer => one(self.transfer()),
            Kind::Settle => one(self.settle()),
            Kind::Reverse => one(self.reverse()),
            Kind::Correct => one(self.correct()),
            Kind::Remove => one(self.remove()),
            Kind::Overdraw => vec![self.overdraw()],
            Kind::CustomerChange => one(self.change_customer()),
            Kind::CustomerAdd => vec![self.add_customer()],
            Kind::CustomerRemove => one(self.remove_customer()),
            Kind::AccountOpen => one(self.open_account()),
            Kind::AccountClose => self.close_account(),
        }
    }

    /// A deposit, which is always possible.
    pub(super) fn fallback(&mut self) -> Operation {
        let account = self.draw_account();
        let amount = population::amount(&mut self.rng, self.profile.amount, account.currency);
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Deposit,
            amount,
            related: None,
            status,
        })
        .expect("a deposit needs no funds")
    }

    /// An attempt to take what is not there.
    pub(super) fn overdraw(&mut self) -> Operation {
        let draft = Draft {
            account: self.draw_account().account,
            txn_type: TransactionType::Withdrawal,
            amount: Money::from_hundredths(OVERDRAFT.into()),
            related: None,
            status: TransactionStatus::Completed,
        };
        Operation::Post {
            transaction: self.next_transaction(),
            draft,
        }
    }

    fn withdraw(&mut self) -> Option<Operation> {
        let (account, amount) = self.draw_spendable()?;
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Withdrawal,
            amount,
            related: None,
            status,
        })
    }

    fn transfer(&mut self) -> Option<Operation> {
        let (account, amount) = self.draw_spendable()?;
        let related = self.draw_receiver(account.account, account.currency)?;
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Transfer,
            amount,
            related: Some(related),
            status,
        })
    }

    fn post(&mut self, draft: Draft) -> Option<Operation> {
        if !self.book.replace(None, Some(&draft)) {
            return None;
        }
        let transaction = self.next_transaction();
        self.remember(Known {
            transaction,
            draft: draft.clone(),
        });
        Some(Operation::Post { transaction, draft })
    }

    fn settle(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.pending)?;
        let failed = self.rng.random_ratio(self.profile.failed_percent, 100);
        let status = if failed {
            TransactionStatus::Failed
        } else {
            TransactionStatus::Completed
        };
        let draft = Draft {
            status,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Settle)
    }

    fn reverse(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.recent)?;
        if known.draft.status != TransactionStatus::Completed || !self.is_open(&known.draft) {
            self.remember(known);
            return None;
        }
        let draft = Draft {
            status: TransactionStatus::Reversed,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Reverse)
    }

    fn correct(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.recent)?;
        let currency = self.book.get(known.draft.account).map(|account| account.currency);
        let live = known.draft.status == TransactionStatus::Completed && self.is_open(&known.draft);
        let (Some(currency), true) = (currency, live) else {
            self.remember(known);
            return None;
        };
        let amount = population::amount(&mut self.rng, self.profile.amount, currency);
        let draft = Draft {
            amount,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Correct)
    }

    /// Changes a transaction, if its accounts' funds suffice; it is remembered in either case.
    fn change(&mut self, known: Known, draft: Draft, reason: ChangeReason) -> Option<Operation> {
        if draft == known.draft || !self.book.replace(Some(&known.draft), Some(&draft)) {
            self.remember(known);
            return None;
        }
        let transaction = known.transaction;
        self.remember(Known {
            transaction,
            draft: draft.clone(),
        });
        Some(Operation::ChangeTransaction {
            transaction,
            draft,
            reason,
        })
    }

    fn remove(&mut self) -> Option<Operation> {
        let from_pending = self.rng.random_ratio(1, 4) && !self.pending.is_empty();
        let known = take(&mut self.rng, if from_pending { &mut self.pending } else { &mut self.recent })?;
        if !self.is_open(&known.draft) || !self.book.replace(Some(&known.draft), None) {
            self.remember(known);
            return None;
        }
        Some(Operation::RemoveTransaction {
            transaction: known.transaction,
        })
    }

    fn remember(&mut self, known: Known) {
        let pending = known.draft.status == TransactionStatus::Pending;
        let (list, max) = if pending {
            (&mut self.pending, PENDING_MAX)
        } else {
            (&mut self.recent, RECENT_MAX)
        };
        list.push_back(known);
        if list.len() > max {
            list.pop_front();
        }
    }

    /// Whether every account that a transaction names is open still.
    fn is_open(&self, draft: &Draft) -> bool {
        let public = |account: AccountRef| {
            self.population
                .accounts
                .get(account.0 as usize)
                .is_some_and(|account| !account.private)
        };
        let open = |account: AccountRef| self.book.get(account).is_some() || public(account);
        self.book.get(draft.account).is_some() && draft.related.is_none_or(open)
    }
}
