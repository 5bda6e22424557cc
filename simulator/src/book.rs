//! What a lane knows of its accounts: enough never to take what is not there.
//!
//! For each account it keeps what can be spent for certain: the balance, less what pending transactions hold, not
//! counting what other lanes have sent. So no order in which the lanes' commits meet in the bank can overdraw it.

use std::collections::HashMap;

use schemas::silver::{AccountType, TransactionStatus, TransactionType};
use schemas::{Currency, Money};

use crate::operation::{AccountRef, CustomerRef, Draft};

/// An account of this lane.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number.
    pub account: AccountRef,
    /// Whose it is.
    pub customer: CustomerRef,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What can be spent for certain, in hundredths; never negative.
    pub spendable: i64,
    /// Pending transactions that name it.
    pub pending: u32,
    /// This lane's transactions that name it.
    pub named: u32,
    /// Whether it may be closed: other lanes never name it.
    pub private: bool,
    /// Whether its customer's life goes over it: salary, cards, transfers.
    pub main: bool,
}

/// The lane's open accounts.
#[derive(Debug, Default)]
pub struct Book {
    open: Vec<Account>,
    places: HashMap<AccountRef, usize>,
    /// The main ones, the busiest first, and where each stands.
    mains: Vec<AccountRef>,
    ranks: HashMap<AccountRef, usize>,
}

/// What a transaction does to what an account can spend.
type Effects = Vec<(AccountRef, i64)>;

impl Book {
    /// Adds an account; a main one as the quietest.
    pub fn open(&mut self, account: Account) {
        if account.main {
            self.ranks.insert(account.account, self.mains.len());
            self.mains.push(account.account);
        }
        self.places.insert(account.account, self.open.len());
        self.open.push(account);
    }

    /// Takes an account out, to be closed or to be left alone. The quietest takes a main one's rank.
    pub fn close(&mut self, account: AccountRef) -> Option<Account> {
        let place = self.places.remove(&account)?;
        let closed = self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place) {
            self.places.insert(moved.account, place);
        }
        if let Some(rank) = self.ranks.remove(&account) {
            self.mains.swap_remove(rank);
            if let Some(moved) = self.mains.get(rank) {
                self.ranks.insert(*moved, rank);
            }
        }
        Some(closed)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The account at a place from 0 to [`Book::len`].
    pub fn at(&self, place: usize) -> &Account {
        &self.open[place]
    }

    /// The main accounts, the busiest first.
    pub fn mains(&self) -> &[AccountRef] {
        &self.mains
    }

    /// An account by its number, while it is open and this lane's.
    pub fn get(&self, account: AccountRef) -> Option<&Account> {
        self.places.get(&account).map(|place| &self.open[*place])
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, account: AccountRef) -> Option<&mut Account> {
        self.places.get(&account).map(|place| &mut self.open[*place])
    }

    /// Whether an account may leave the book: no other lane and no pending transaction names it, and another main one remains.
    pub fn may_leave(&self, account: &Account) -> bool {
        account.private && account.pending == 0 && (!account.main || self.mains.len() > 1)
    }

    /// Replaces one version of a transaction by another (`None`: not there), if every account's funds suffice; otherwise
    /// nothing changes and the answer is `false`. An account that is not this lane's can only be given to.
    pub fn replace(&mut self, old: Option<&Draft>, new: Option<&Draft>) -> bool {
        let mut net: Effects = Vec::new();
        let undone = old
            .map(effects)
            .unwrap_or_default()
            .into_iter()
            .map(|(account, amount)| (account, -amount));
        for (account, amount) in undone.chain(new.map(effects).unwrap_or_default()) {
            match net.iter_mut().find(|(known, _)| *known == account) {
                Some((_, sum)) => *sum += amount,
                None => net.push((account, amount)),
            }
        }
        let suffices = net.iter().all(|(account, amount)| match self.get(*account) {
            Some(known) => known.spendable + amount >= 0,
            None => *amount >= 0,
        });
        if suffices {
            for (account, amount) in net {
                if let Some(account) = self.get_mut(account) {
                    account.spendable += amount;
                }
            }
            self.count(old, -1);
            self.count(new, 1);
        }
        suffices
    }

    fn count(&mut self, draft: Option<&Draft>, by: i32) {
        let Some(draft) = draft else { return };
        let pending = if draft.status == TransactionStatus::Pending { by } else { 0 };
        for account in [Some(draft.account), draft.related].into_iter().flatten() {
            if let Some(account) = self.get_mut(account) {
                account.named = account.named.saturating_add_signed(by);
                account.pending = account.pending.saturating_add_signed(pending);
            }
        }
    }
}

/// A completed transaction moves money; a pending one holds what it will take.
fn effects(draft: &Draft) -> Effects {
    let amount = hundredths(draft.amount);
    let completed = match draft.status {
        TransactionStatus::Completed => true,
        TransactionStatus::Pending => false,
        TransactionStatus::Failed | TransactionStatus::Reversed => return Vec::new(),
    };
    let mut effects = Vec::with_capacity(2);
    match draft.txn_type {
        TransactionType::Deposit if completed => effects.push((draft.account, amount)),
        TransactionType::Deposit => {}
        TransactionType::Withdrawal | TransactionType::Transfer => effects.push((draft.account, -amount)),
    }
    if let (Some(related), true) = (draft.related, completed) {
        effects.push((related, amount));
    }
    effects
}

/// An amount in hundredths: the profile has none that is smaller, and none that is large.
pub fn hundredths(amount: Money) -> i64 {
    let hundredths = amount.minor_units(2).and_then(|amount| i64::try_from(amount).ok());
    hundredths.expect("the profile's amounts are whole hundredths, and small")
}
