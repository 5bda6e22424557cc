//! From transactions to what they do to accounts.
//!
//! A version of a transaction has effects on its accounts; a new version takes back the effects that stand and posts its own, if
//! they differ. Entries are never edited. The effects that stand are those of the version in [`crate::stores::POSTED`]. What a change does
//! to one account is one leg, so that it is seen whole or not at all.

use schemas::silver::{Leg, LegEntry, Transaction, TransactionStatus, TransactionType};
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;
use topology::{Context, ProcessError, Processor, Record};

use super::apply::Change;

/// What a transaction does to one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The account.
    pub account: AccountId,
    /// 0: the transaction's own account; 1: the related one.
    pub number: i32,
    /// Change of the booked balance.
    pub booked: Money,
    /// Change of the holds.
    pub pending: Money,
    /// The transaction's own time.
    pub effective_at: i64,
}

/// The effects of a transaction in the state that it is in.
pub fn effects(transaction: &Transaction) -> Vec<Effect> {
    let (own, amount, effective_at) = (transaction.account_id, transaction.amount, transaction.created_at);
    let booked = |account, number, booked| Effect {
        account,
        number,
        booked,
        pending: Money::ZERO,
        effective_at,
    };
    let hold = Effect {
        account: own,
        number: 0,
        booked: Money::ZERO,
        pending: amount,
        effective_at,
    };
    match (transaction.status, transaction.txn_type) {
        (TransactionStatus::Completed, TransactionType::Deposit) => vec![booked(own, 0, amount)],
        (TransactionStatus::Completed, TransactionType::Withdrawal) => vec![booked(own, 0, amount.negated())],
        (TransactionStatus::Completed, TransactionType::Transfer) => {
            let related = transaction.related_account_id.map(|account| booked(account, 1, amount));
            [Some(booked(own, 0, amount.negated())), related]
                .into_iter()
                .flatten()
                .collect()
        }
        (TransactionStatus::Pending, TransactionType::Withdrawal | TransactionType::Transfer) => vec![hold],
        (TransactionStatus::Pending | TransactionStatus::Failed | TransactionStatus::Reversed, _) => Vec::new(),
    }
}

/// Turns changes of transactions into legs.
pub struct Journal;

impl Processor for Journal {
    type KeyIn = TransactionId;
    type In = Change<Transaction>;
    type KeyOut = AccountId;
    type Out = Leg;
    type Stores = KeyValue<TransactionId, i64>;

    fn process(
        &mut self,
        cx: &mut Context<'_, Self>,
        record: &Record<TransactionId, Change<Transaction>>,
    ) -> Result<(), ProcessError> {
        let (id, change) = (record.key, &record.value);
        let standing = change
            .before
            .as_ref()
            .map(|t| (t.txn_type, effects(t)))
            .filter(|(_, e)| !e.is_empty());
        let wanted = change
            .after
            .as_ref()
            .map(|t| (t.txn_type, effects(t)))
            .filter(|(_, e)| !e.is_empty());
        if standing == wanted {
            return Ok(());
        }
        let mut legs = Legs::default();
        if let Some((txn_type, effects)) = &standing {
            let version = cx.stores.get(&id)?.unwrap_or(0);
            effects
                .iter()
                .for_each(|effect| legs.add(effect.entry(*txn_type, version, true), effect.account));
        }
        match &wanted {
            Some((txn_type, effects)) => {
                let version = change.version;
                effects
                    .iter()
                    .for_each(|effect| legs.add(effect.entry(*txn_type, version, false), effect.account));
                cx.stores.put(id, version);
            }
            None => cx.stores.delete(id),
        }
        for (account, first, then) in legs.0 {
            let leg = Leg {
                transaction_id: id,
                version: first.version,
                number: first.number,
                reversal: first.reversal,
                booked: first.booked,
                pending: first.pending,
                txn_type: first.txn_type,
                source_lsn: change.at.lsn,
                source_ts: change.at.committed_at_us.0,
                effective_at: first.effective_at,
                then,
            };
            cx.out.forward(account, leg);
        }
        Ok(())
    }
}

impl Effect {
    /// The entry that posts it, or takes it back.
    fn entry(&self, txn_type: TransactionType, version: i64, reversal: bool) -> LegEntry {
        let signed = |amount: Money| if reversal { amount.negated() } else { amount };
        LegEntry {
            version,
            number: self.number,
            reversal,
            booked: signed(self.booked),
            pending: signed(self.pending),
            txn_type,
            effective_at: Some(self.effective_at),
        }
    }
}

/// Entries by account. A version has one effect on an account at most, so a change has two: one that stood, one that is wanted.
#[derive(Default)]
struct Legs(Vec<(AccountId, LegEntry, Option<LegEntry>)>);

impl Legs {
    fn add(&mut self, entry: LegEntry, account: AccountId) {
        match self.0.iter_mut().find(|(known, _, then)| *known == account && then.is_none()) {
            Some((_, _, then)) => *then = Some(entry),
            None => self.0.push((account, entry, None)),
        }
    }
}
