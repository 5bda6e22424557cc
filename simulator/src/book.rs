//! What a lane knows of its accounts: enough never to take what is not there.
//!
//! For each account it keeps what can be spent for certain: the balance, less what pending transactions hold, not
//! counting what other lanes have sent. So no order in which the lanes' commits meet in the bank can overdraw it.

use std::collections::HashMap;

use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{Currency, Money};

use crate::operation::{AccountRef, Draft};

/// An account of this lane.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number.
    pub account: AccountRef,
    /// Its currency.
    pub currency: Currency,
    /// What can be spent for certain, in hundredths; never negative.
    pub spendable: i64,
    /// Pending transactions that name it.
    pub pending: u32,
    /// Whether it may be closed: other lanes never name it.
    pub private: bool,
}

/// The lane's open accounts.
#[derive(Debug, Default)]
pub struct Book {
    open: Vec<Account>,
    places: HashMap<AccountRef, usize>,
}

/// What a transaction does to what an account can spend.
type Effects = Vec<(AccountRef, i64)>;

impl Book {
    /// Adds an account.
    pub fn open(&mut self, account: Account) {
        self.places.insert(account.account, self.open.len());
        self.open.push(account);
    }

    /// Takes an account out.
    pub fn close(&mut self, account: AccountRef) {
        if let Some(place) = self.places.remove(&account) {
            self.open.swap_remove(place);
            if let Some(moved) = self.open.get(place) {
                self.places.insert(moved.account, place);
            }
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The account at a place from 0 to [`Book::len`].
    pub fn at(&self, place: usize) -> &Account {
        &self.open[place]
    }

    /// An account by its number, while it is open and this lane's.
    pub fn get(&self, account: AccountRef) -> Option<&Account> {
        self.places.get(&account).map(|place| &self.open[*place])
    }

    /// Replaces one version of a transaction by another (`None`: not there), if every account's funds suffice; otherwise
    /// nothing changes and the answer is `false`. An account that is not this lane's can only be given to.
    pub fn replace(&mut self, old: Option<&Draft>, new: Option<&Draft>) -> bool {
        let mut net: Vec<(AccountRef, i64)> = Vec::new();
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
                if let Some(place) = self.places.get(&account) {
                    self.open[*place].spendable += amount;
                }
            }
            self.count_pending(old, -1);
            self.count_pending(new, 1);
        }
        suffices
    }

    fn count_pending(&mut self, draft: Option<&Draft>, by: i32) {
        let Some(draft) = draft.filter(|draft| draft.status == TransactionStatus::Pending) else {
            return;
        };
        for account in [Some(draft.account), draft.related].into_iter().flatten() {
            if let Some(place) = self.places.get(&account) {
                let pending = &mut self.open[*place].pending;
                *pending = pending.saturating_add_signed(by);
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
