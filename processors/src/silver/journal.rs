//! From transactions to what they do to accounts.
//!
//! A version of a transaction has effects on its accounts; a new version takes back the effects that stand and posts its own, if
//! they differ. Entries are never edited. The effects that stand are those of the version whose LSN is in [`stores::POSTED`].

use schemas::silver::{Leg, Transaction, TransactionStatus, TransactionType};
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;
use topology::{Context, ProcessError, Processor, Record};

use super::apply::Change;
use crate::stores;

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
}

/// The effects of a transaction in the state that it is in.
pub fn effects(transaction: &Transaction) -> Vec<Effect> {
    let (own, amount) = (transaction.account_id, transaction.amount);
    let booked = |account, number, booked| Effect {
        account,
        number,
        booked,
        pending: Money::ZERO,
    };
    let hold = Effect {
        account: own,
        number: 0,
        booked: Money::ZERO,
        pending: amount,
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
    const NAME: &'static str = "journal";
    const STORES: Self::Stores = stores::POSTED;

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
        let leg = |effect: &Effect, txn_type, posted_lsn, reversal: bool| Leg {
            transaction_id: id,
            posted_lsn,
            number: effect.number,
            reversal,
            booked: if reversal { effect.booked.negated() } else { effect.booked },
            pending: if reversal { effect.pending.negated() } else { effect.pending },
            txn_type,
            source_lsn: change.lsn,
            source_ts: change.committed_at_us,
        };
        if let Some((txn_type, effects)) = &standing {
            let posted_lsn = cx.stores.get(&id)?.unwrap_or(0);
            for effect in effects {
                cx.out.forward(effect.account, leg(effect, *txn_type, posted_lsn, true));
            }
        }
        match &wanted {
            Some((txn_type, effects)) => {
                for effect in effects {
                    cx.out.forward(effect.account, leg(effect, *txn_type, change.lsn, false));
                }
                cx.stores.put(id, change.lsn);
            }
            None => cx.stores.delete(id),
        }
        Ok(())
    }
}
