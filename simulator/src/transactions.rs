//! Operations on transactions, such that their accounts' funds suffice.
//!
//! Where there is nothing to operate on (no pending transaction, no money) a deposit takes its place: the stream never stalls.

use rand::RngExt;
use schemas::Money;
use schemas::silver::{TransactionStatus, TransactionType};

use crate::amounts;
use crate::bank::{Known, SimulatedBank};
use crate::book::{Account, hundredths};
use crate::draw::{PENDING_MAX, take};
use crate::mix::Kind;
use crate::operation::{AccountRef, ChangeReason, Draft, Operation, Purpose};
use crate::profile::Range;
use crate::standing::{Due, Monthly};

/// Transactions that a lane keeps in mind for later changes, at most; the oldest one is forgotten.
const RECENT_MAX: usize = 512;
/// What an overdraw tries to take, in hundredths: more than everything that was ever deposited.
const OVERDRAFT: i64 = 999_999_999_999_900;
/// What a salary, a standing order and a correction keep to.
const ANY: Range = Range {
    min: 1,
    max: 100_000_000_000,
};

impl SimulatedBank {
    /// Operations of this kind, or none where there is nothing to operate on.
    pub(super) fn operations(&mut self, kind: Kind) -> Vec<Operation> {
        let one = |operation: Option<Operation>| operation.into_iter().collect();
        match kind {
            Kind::Deposit => vec![self.deposit()],
            Kind::Withdrawal => vec![self.withdraw()],
            Kind::Transfer => vec![self.transfer()],
            Kind::Settle => one(self.settle()),
            Kind::Reverse => one(self.reverse()),
            Kind::Correct => one(self.correct()),
            Kind::Remove => one(self.remove()),
            Kind::Overdraw => vec![self.overdraw()],
            Kind::CustomerChange => one(self.change_customer()),
            Kind::CustomerAdd => vec![self.add_customer()],
            Kind::CustomerRemove => one(self.remove_customer()),
            Kind::AccountOpen => one(self.open_account()),
            Kind::AccountChange => one(self.change_account()),
            Kind::AccountBlock => one(self.block_account()),
            Kind::AccountClose => self.close_account(),
            Kind::AccountRemove => self.remove_account(),
        }
    }

    /// A deposit, which is always possible.
    pub(super) fn deposit(&mut self) -> Operation {
        let account = self.draw_main();
        self.deposit_on(&account)
    }

    fn deposit_on(&mut self, account: &Account) -> Operation {
        let (spread, range) = (self.profile.deposit, self.profile.amount);
        let amount = match self.rng.random_ratio(1, 3) {
            true => amounts::agreed(&mut self.rng, spread, range, account.currency),
            false => amounts::odd(&mut self.rng, spread, range, account.currency),
        };
        let draft = Draft {
            account: account.account,
            txn_type: TransactionType::Deposit,
            amount,
            related: None,
            status: self.draw_status(),
        };
        self.post(draft, Purpose::Deposit).expect("a deposit needs no funds")
    }

    /// An attempt to take what is not there.
    pub(super) fn overdraw(&mut self) -> Operation {
        let draft = Draft {
            account: self.draw_main().account,
            txn_type: TransactionType::Withdrawal,
            amount: Money::from_hundredths(OVERDRAFT.into()),
            related: None,
            status: TransactionStatus::Completed,
        };
        Operation::Post {
            transaction: self.next_transaction(),
            purpose: Purpose::Overdraft,
            draft,
        }
    }

    /// Cash or a card payment; a deposit on the same account, where that has too little: who is busy stays busy.
    fn withdraw(&mut self) -> Operation {
        let account = self.draw_main();
        let range = self.profile.amount;
        let (purpose, amount) = if self.rng.random_ratio(self.profile.cash_percent, 100) {
            let amount = amounts::cash(&mut self.rng, self.profile.cash, range, account.currency);
            (Purpose::Cash, amount)
        } else {
            let amount = amounts::odd(&mut self.rng, self.profile.card, range, account.currency);
            (Purpose::Card, amount)
        };
        let draft = Draft {
            account: account.account,
            txn_type: TransactionType::Withdrawal,
            amount,
            related: None,
            status: self.draw_status(),
        };
        self.post(draft, purpose).unwrap_or_else(|| self.deposit_on(&account))
    }

    /// To another customer, or between a customer's own accounts; a deposit, where there is too little or nobody to give it to.
    fn transfer(&mut self) -> Operation {
        let account = self.draw_main();
        let own = self.rng.random_ratio(self.profile.own_transfers_percent, 100);
        let ends = if own { self.own_ends(&account) } else { None };
        let (from, to, purpose) = match ends {
            Some((from, to)) => (from, Some(to), Purpose::Own),
            None => (account.account, self.draw_payee(&account), Purpose::Payment),
        };
        let Some(related) = to else {
            return self.deposit_on(&account);
        };
        let amount = amounts::agreed(&mut self.rng, self.profile.transfer, self.profile.amount, account.currency);
        let draft = Draft {
            account: from,
            txn_type: TransactionType::Transfer,
            amount,
            related: Some(related),
            status: self.draw_status(),
        };
        self.post(draft, purpose).unwrap_or_else(|| self.deposit_on(&account))
    }

    /// From a main account to another one of its customer, or, one time in three, back.
    fn own_ends(&mut self, main: &Account) -> Option<(AccountRef, AccountRef)> {
        let others = &self.roll.get(main.customer)?.others;
        let place = (!others.is_empty()).then(|| self.rng.random_range(0..others.len() as u64) as usize)?;
        let other = self.book.get(others[place])?.account;
        Some(if self.rng.random_ratio(1, 3) {
            (other, main.account)
        } else {
            (main.account, other)
        })
    }

    /// A salary, or a standing order; nothing where its customer is gone or their account is not open.
    pub(super) fn pay(&mut self, due: Due) -> Option<Operation> {
        let owner = self.roll.get(due.customer)?;
        let income = owner.income?;
        let savings = owner.others.first().copied();
        self.standing.again(due, &income);
        let owner = self.roll.get(due.customer)?;
        let account = self.book.get(owner.main?)?;
        let (account, currency) = (account.account, account.currency);
        let (txn_type, amount, related, purpose) = match due.what {
            Monthly::Salary => {
                // Hours differ a little from month to month.
                let percent = self.rng.random_range(99..=101);
                (TransactionType::Deposit, income.salary * percent / 100, None, Purpose::Salary)
            }
            Monthly::Rent => {
                let (amount, landlord) = income.rent?;
                (TransactionType::Transfer, amount, Some(landlord), Purpose::Rent)
            }
            Monthly::Saving => {
                let savings = self.book.get(savings?)?.account;
                (TransactionType::Transfer, income.saving?, Some(savings), Purpose::Saving)
            }
        };
        let draft = Draft {
            account,
            txn_type,
            amount: amounts::within(amount, ANY, currency),
            related,
            status: TransactionStatus::Completed,
        };
        let refused = Draft {
            status: TransactionStatus::Failed,
            ..draft.clone()
        };
        self.post(draft, purpose).or_else(|| self.post(refused, purpose))
    }

    fn post(&mut self, draft: Draft, purpose: Purpose) -> Option<Operation> {
        if !self.book.replace(None, Some(&draft)) {
            return None;
        }
        let transaction = self.next_transaction();
        self.remember(Known {
            transaction,
            draft: draft.clone(),
        });
        Some(Operation::Post {
            transaction,
            purpose,
            draft,
        })
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
        // A tip too much, a digit too little.
        let percent = self.rng.random_range(50..=150);
        let amount = hundredths(known.draft.amount) * percent / 100;
        let draft = Draft {
            amount: amounts::within(amount, ANY, currency),
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
    pub(super) fn is_open(&self, draft: &Draft) -> bool {
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
