//! A bank that refuses whatever the real one refuses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use schemas::silver::{AccountStatus, TransactionStatus, TransactionType};
use schemas::{Currency, Money};
use simulator::{AccountRef, Batch, CustomerRef, Draft, Operation, Outcome, Target, TargetError, TransactionRef};

/// A bank with every rule of the real one, checked row by row and at once.
#[derive(Debug, Default, Clone)]
pub struct StrictBank {
    pub emails: BTreeMap<CustomerRef, String>,
    pub accounts: BTreeMap<AccountRef, StrictAccount>,
    pub transactions: BTreeMap<TransactionRef, Draft>,
}

#[derive(Debug, Clone)]
pub struct StrictAccount {
    pub customer: CustomerRef,
    pub currency: Currency,
    pub balance: i128,
    pub open: bool,
}

impl StrictBank {
    pub fn apply(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::AddCustomer { customer, person } => self.set_email(*customer, &person.email, false),
            Operation::ChangeCustomer { customer, person } => self.set_email(*customer, &person.email, true),
            Operation::RemoveCustomer { customer } => {
                refuse_if(
                    self.accounts.values().any(|account| account.customer == *customer),
                    "has accounts",
                )?;
                self.emails.remove(customer).map(drop).ok_or("no such customer".into())
            }
            Operation::OpenAccount {
                account,
                customer,
                currency,
                opening_balance,
                ..
            } => {
                refuse_if(!self.emails.contains_key(customer), "no such customer")?;
                let balance = opening_balance.ten_thousandths();
                let row = StrictAccount {
                    customer: *customer,
                    currency: *currency,
                    balance,
                    open: true,
                };
                refuse_if(self.accounts.insert(*account, row).is_some(), "account number taken")
            }
            Operation::CloseAccount { account } => {
                let account = self.accounts.get_mut(account).ok_or("no such account")?;
                refuse_if(account.balance != 0 || !account.open, "not empty, or closed")?;
                account.open = false;
                Ok(())
            }
            Operation::ChangeAccount {
                account,
                customer,
                currency,
                status,
                ..
            } => {
                let row = self.accounts.get_mut(account).ok_or("no such account")?;
                refuse_if(
                    row.customer != *customer || row.currency != *currency,
                    "another owner, or currency",
                )?;
                row.open = *status == AccountStatus::Active;
                Ok(())
            }
            Operation::RemoveAccount { account } => {
                let named = |draft: &Draft| draft.account == *account || draft.related == Some(*account);
                refuse_if(self.transactions.values().any(named), "has transactions")?;
                let row = self.accounts.remove(account).ok_or("no such account")?;
                refuse_if(row.balance != 0, "not empty")
            }
            Operation::Post { transaction, draft, .. } => {
                self.check_draft(draft)?;
                self.move_money(None, Some(draft))?;
                refuse_if(
                    self.transactions.insert(*transaction, draft.clone()).is_some(),
                    "transaction number taken",
                )
            }
            Operation::ChangeTransaction { transaction, draft, .. } => {
                self.check_draft(draft)?;
                let old = self
                    .transactions
                    .insert(*transaction, draft.clone())
                    .ok_or("no such transaction")?;
                self.move_money(Some(&old), Some(draft))
            }
            Operation::RemoveTransaction { transaction } => {
                let old = self.transactions.remove(transaction).ok_or("no such transaction")?;
                self.move_money(Some(&old), None)
            }
        }
    }

    fn set_email(&mut self, customer: CustomerRef, email: &str, known: bool) -> Result<(), String> {
        let email = email.to_lowercase();
        refuse_if(
            self.emails.iter().any(|(other, taken)| *other != customer && *taken == email),
            "e-mail taken",
        )?;
        refuse_if(
            self.emails.insert(customer, email).is_some() != known,
            "customer known, or not",
        )
    }

    fn check_draft(&self, draft: &Draft) -> Result<(), String> {
        let account = self.accounts.get(&draft.account).ok_or("no such account")?;
        refuse_if(draft.amount <= Money::ZERO, "amount not above zero")?;
        refuse_if(
            (draft.txn_type == TransactionType::Transfer) != draft.related.is_some(),
            "related account",
        )?;
        refuse_if(!account.open, "closed")?;
        if let Some(related) = draft.related {
            let related_row = self.accounts.get(&related).ok_or("no such related account")?;
            refuse_if(related == draft.account, "to itself")?;
            refuse_if(
                !related_row.open || related_row.currency != account.currency,
                "closed, or another currency",
            )?;
        }
        Ok(())
    }

    fn move_money(&mut self, old: Option<&Draft>, new: Option<&Draft>) -> Result<(), String> {
        for (draft, sign) in [(old, -1), (new, 1)] {
            let Some(draft) = draft.filter(|draft| draft.status == TransactionStatus::Completed) else {
                continue;
            };
            let amount = draft.amount.ten_thousandths() * sign;
            let on_account = if draft.txn_type == TransactionType::Deposit {
                amount
            } else {
                -amount
            };
            self.accounts.get_mut(&draft.account).ok_or("no such account")?.balance += on_account;
            if let Some(related) = draft.related {
                self.accounts.get_mut(&related).ok_or("no such account")?.balance += amount;
            }
        }
        let named = [old, new]
            .into_iter()
            .flatten()
            .flat_map(|draft| [Some(draft.account), draft.related])
            .flatten();
        refuse_if(
            named.into_iter().any(|account| self.accounts[&account].balance < 0),
            "overdrawn",
        )
    }
}

fn refuse_if(refused: bool, reason: &str) -> Result<(), String> {
    if refused { Err(reason.to_owned()) } else { Ok(()) }
}

/// Commits to a strict bank; fails as often as it is told to, and gives the other lanes a turn.
#[derive(Default)]
pub struct StrictTarget {
    pub bank: Mutex<StrictBank>,
    pub calls: AtomicU64,
    pub fail_one_in: u64,
}

impl Target for StrictTarget {
    async fn commit(&self, batch: &Batch) -> Result<Outcome, TargetError> {
        tokio::task::yield_now().await;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.fail_one_in > 0 && call.is_multiple_of(self.fail_one_in) {
            return Err(TargetError::Retry("deadlock detected".into()));
        }
        let mut bank = self.bank.lock();
        let mut next = bank.clone();
        for operation in &batch.operations {
            if let Err(reason) = next.apply(operation) {
                return Ok(Outcome::Refused(format!("{reason}: {operation:?}")));
            }
        }
        *bank = next;
        Ok(Outcome::Committed)
    }
}
