//! The rules of `connect/postgres/migrations`, in memory: what each change does, and what forbids it.

use std::collections::BTreeMap;

use schemas::silver::{AccountStatus, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};

use super::tables::Tables;
use crate::checks::{self, AMOUNT_MAX, resolve};
use crate::{
    Account, AccountDraft, AccountUpdate, Change, Customer, CustomerDraft, Entity, Row, Rule, SystemOfRecordError, Transaction,
    TransactionDraft, TransactionUpdate, Version,
};

type Outcome<T> = Result<T, SystemOfRecordError>;

/// The tables and the ids given so far.
#[derive(Debug, Default)]
pub(super) struct Bank {
    pub tables: Tables,
    last_customer: i64,
    last_account: i64,
    last_transaction: i64,
}

impl Bank {
    /// Applies the changes at this instant (microseconds since the epoch), all or none. What they touched is left in
    /// `tables.touched`, for the caller to take.
    pub fn apply(&mut self, changes: &[Change], now: i64) -> Outcome<Vec<Row>> {
        let mut made = Vec::with_capacity(changes.len());
        for change in changes {
            match self.apply_one(change, &made, now) {
                Ok(row) => made.push(row),
                Err(error) => {
                    self.tables.roll_back();
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn apply_one(&mut self, change: &Change, made: &[Row], now: i64) -> Outcome<Row> {
        let customer_id = |id| resolve(id, made, |row| if let Row::Customer(row) = row { Some(row.id) } else { None });
        let account_id = |id| resolve(id, made, |row| if let Row::Account(row) = row { Some(row.id) } else { None });
        let transaction_id = |id| {
            resolve(
                id,
                made,
                |row| if let Row::Transaction(row) = row { Some(row.id) } else { None },
            )
        };
        let accounts = |draft: &TransactionDraft| -> Outcome<(AccountId, Option<AccountId>)> {
            Ok((
                account_id(draft.account_id)?,
                draft.related_account_id.map(account_id).transpose()?,
            ))
        };
        Ok(match change {
            Change::InsertCustomer(draft) => Row::Customer(self.insert_customer(draft, now)?),
            Change::UpdateCustomer { id, to, expected } => {
                Row::Customer(self.update_customer(customer_id(*id)?, to, *expected, now)?)
            }
            Change::DeleteCustomer { id, expected } => Row::Customer(self.delete_customer(customer_id(*id)?, *expected)?),
            Change::InsertAccount(draft) => Row::Account(self.insert_account(draft, customer_id(draft.customer_id)?, now)?),
            Change::UpdateAccount { id, to, expected } => {
                let owner = customer_id(to.customer_id)?;
                Row::Account(self.update_account(account_id(*id)?, to, owner, *expected, now)?)
            }
            Change::CloseAccount { id, expected } => Row::Account(self.close_account(account_id(*id)?, *expected, now)?),
            Change::DeleteAccount { id, expected } => Row::Account(self.delete_account(account_id(*id)?, *expected)?),
            Change::InsertTransaction(draft) => Row::Transaction(self.insert_transaction(draft, accounts(draft)?, now)?),
            Change::UpdateTransaction { id, to, expected } => {
                let (old, draft) = self.before_update(transaction_id(*id)?, to, *expected)?;
                let accounts = accounts(&draft)?;
                Row::Transaction(self.update_transaction(&old, &draft, accounts, now)?)
            }
            Change::DeleteTransaction { id, expected } => {
                Row::Transaction(self.delete_transaction(transaction_id(*id)?, *expected, now)?)
            }
        })
    }

    fn insert_customer(&mut self, draft: &CustomerDraft, now: i64) -> Outcome<Customer> {
        if self.tables.owner_of_email(&draft.email).is_some() {
            return Err(Rule::EmailUnique.into());
        }
        self.last_customer += 1;
        let id = CustomerId(self.last_customer);
        let row = Customer {
            id,
            first_name: draft.first_name.clone(),
            last_name: draft.last_name.clone(),
            email: draft.email.clone(),
            created_at: now,
            updated_at: now,
        };
        self.tables.put_customer(id, Some(row.clone()));
        Ok(row)
    }

    fn update_customer(&mut self, id: CustomerId, to: &CustomerDraft, expected: Option<Version>, now: i64) -> Outcome<Customer> {
        let old = found(self.tables.customers.get(&id), Entity::Customer, id.0)?;
        at_version(old.version(), expected, Entity::Customer, id.0)?;
        if self.tables.owner_of_email(&to.email).is_some_and(|owner| owner != id) {
            return Err(Rule::EmailUnique.into());
        }
        let row = Customer {
            first_name: to.first_name.clone(),
            last_name: to.last_name.clone(),
            email: to.email.clone(),
            updated_at: now,
            ..old.clone()
        };
        self.tables.put_customer(id, Some(row.clone()));
        Ok(row)
    }

    fn delete_customer(&mut self, id: CustomerId, expected: Option<Version>) -> Outcome<Customer> {
        let old = found(self.tables.customers.get(&id), Entity::Customer, id.0)?.clone();
        at_version(old.version(), expected, Entity::Customer, id.0)?;
        if self.tables.has_accounts(id) {
            return Err(Rule::CustomerInUse.into());
        }
        self.tables.put_customer(id, None);
        Ok(old)
    }

    fn insert_account(&mut self, draft: &AccountDraft, owner: CustomerId, now: i64) -> Outcome<Account> {
        if !self.tables.customers.contains_key(&owner) {
            return Err(Rule::CustomerExists.into());
        }
        self.last_account += 1;
        let id = AccountId(self.last_account);
        let row = Account {
            id,
            customer_id: owner,
            account_type: draft.account_type,
            currency: draft.currency,
            opening_balance: draft.opening_balance.value,
            balance: draft.opening_balance.value,
            status: AccountStatus::Active,
            closed_at: None,
            created_at: now,
            updated_at: now,
        };
        self.tables.put_account(id, Some(row.clone()));
        Ok(row)
    }

    fn update_account(
        &mut self,
        id: AccountId,
        to: &AccountUpdate,
        owner: CustomerId,
        expected: Option<Version>,
        now: i64,
    ) -> Outcome<Account> {
        let old = found(self.tables.accounts.get(&id), Entity::Account, id.0)?;
        at_version(old.version(), expected, Entity::Account, id.0)?;
        if !self.tables.customers.contains_key(&owner) {
            return Err(Rule::CustomerExists.into());
        }
        if to.currency != old.currency {
            checks::current(to.currency)?;
            if self.tables.has_transactions(id) {
                return Err(Rule::CurrencyFixed.into());
            }
        }
        let status = to.status.unwrap_or(old.status);
        let is_closed = status == AccountStatus::Inactive;
        let row = Account {
            customer_id: owner,
            account_type: to.account_type,
            currency: to.currency,
            status,
            closed_at: is_closed.then_some(old.closed_at.unwrap_or(now)),
            updated_at: now,
            ..old.clone()
        };
        checks::account_row(&row)?;
        self.tables.put_account(id, Some(row.clone()));
        Ok(row)
    }

    fn close_account(&mut self, id: AccountId, expected: Option<Version>, now: i64) -> Outcome<Account> {
        let old = found(self.tables.accounts.get(&id), Entity::Account, id.0)?;
        at_version(old.version(), expected, Entity::Account, id.0)?;
        if old.status == AccountStatus::Inactive {
            return Ok(old.clone());
        }
        let row = Account {
            status: AccountStatus::Inactive,
            closed_at: Some(now),
            updated_at: now,
            ..old.clone()
        };
        self.tables.put_account(id, Some(row.clone()));
        Ok(row)
    }

    fn delete_account(&mut self, id: AccountId, expected: Option<Version>) -> Outcome<Account> {
        let old = found(self.tables.accounts.get(&id), Entity::Account, id.0)?.clone();
        at_version(old.version(), expected, Entity::Account, id.0)?;
        if self.tables.has_transactions(id) {
            return Err(Rule::AccountInUse.into());
        }
        self.tables.put_account(id, None);
        Ok(old)
    }

    fn insert_transaction(
        &mut self,
        draft: &TransactionDraft,
        (account_id, related_account_id): (AccountId, Option<AccountId>),
        now: i64,
    ) -> Outcome<Transaction> {
        let row = Transaction {
            id: TransactionId(self.last_transaction + 1),
            account_id,
            txn_type: draft.txn_type,
            amount: draft.amount.value,
            related_account_id,
            status: draft.status,
            created_at: now,
            updated_at: now,
        };
        let currency = self.check_accounts(None, &row)?;
        self.last_transaction += 1;
        self.tables.put_transaction(row.id, Some(row.clone()));
        self.post(None, Some(&row), now)?;
        checks::written_places(draft.amount, currency)?;
        Ok(row)
    }

    /// The row at the expected version, and its columns after the update.
    fn before_update(
        &self,
        id: TransactionId,
        to: &TransactionUpdate,
        expected: Option<Version>,
    ) -> Outcome<(Transaction, TransactionDraft)> {
        let old = found(self.tables.transactions.get(&id), Entity::Transaction, id.0)?.clone();
        at_version(old.version(), expected, Entity::Transaction, id.0)?;
        let draft = to.over(&old);
        checks::transaction(&draft)?;
        Ok((old, draft))
    }

    fn update_transaction(
        &mut self,
        old: &Transaction,
        to: &TransactionDraft,
        (account_id, related_account_id): (AccountId, Option<AccountId>),
        now: i64,
    ) -> Outcome<Transaction> {
        checks::status_flow(old.status, to.status)?;
        let row = Transaction {
            account_id,
            txn_type: to.txn_type,
            amount: to.amount.value,
            related_account_id,
            status: to.status,
            updated_at: now,
            ..old.clone()
        };
        let currency = self.check_accounts(Some(old), &row)?;
        self.tables.put_transaction(row.id, Some(row.clone()));
        self.post(Some(old), Some(&row), now)?;
        checks::written_places(to.amount, currency)?;
        Ok(row)
    }

    fn delete_transaction(&mut self, id: TransactionId, expected: Option<Version>, now: i64) -> Outcome<Transaction> {
        let old = found(self.tables.transactions.get(&id), Entity::Transaction, id.0)?.clone();
        at_version(old.version(), expected, Entity::Transaction, id.0)?;
        self.tables.put_transaction(id, None);
        self.post(Some(&old), None, now)?;
        Ok(old)
    }

    /// Checks a row against its accounts, and returns their currency. An update may leave a closed account what it has, or take
    /// it back; it may not name one newly, nor do something new to its balance.
    fn check_accounts(&self, old: Option<&Transaction>, row: &Transaction) -> Outcome<Currency> {
        let accounts = &self.tables.accounts;
        let account = accounts.get(&row.account_id).ok_or(Rule::AccountExists)?;
        let related = match row.related_account_id {
            Some(id) => Some(accounts.get(&id).ok_or(Rule::RelatedAccountExists)?),
            None => None,
        };
        let is_closed = |id: &AccountId| {
            accounts
                .get(id)
                .is_some_and(|account| account.status == AccountStatus::Inactive)
        };
        let before: Vec<AccountId> = old.into_iter().flat_map(named).collect();
        let legs_before: Vec<(AccountId, Money)> = old.into_iter().flat_map(legs).collect();
        let is_newly_named = named(row).any(|id| is_closed(&id) && !before.contains(&id));
        let is_newly_posted = legs(row).iter().any(|leg| is_closed(&leg.0) && !legs_before.contains(leg));
        if is_newly_named || is_newly_posted {
            return Err(Rule::AccountActive.into());
        }
        if related.is_some_and(|related| related.currency != account.currency) {
            return Err(Rule::OneCurrency.into());
        }
        checks::transaction_row(row, account.currency)?;
        Ok(account.currency)
    }

    /// The ledger rule: takes back what the old row did to balances, and does what the new one does.
    fn post(&mut self, old: Option<&Transaction>, new: Option<&Transaction>, now: i64) -> Outcome<()> {
        let mut changes: BTreeMap<AccountId, Money> = BTreeMap::new();
        let legs = new.into_iter().flat_map(legs);
        let reversed = old.into_iter().flat_map(legs_reversed);
        for (account, amount) in legs.chain(reversed) {
            let sum = changes.entry(account).or_default();
            *sum = sum.checked_add(amount).map_err(|_| Rule::BalanceInRange)?;
        }
        for (id, amount) in changes.into_iter().filter(|(_, amount)| *amount != Money::ZERO) {
            let account = found(self.tables.accounts.get(&id), Entity::Account, id.0)?;
            let balance = account.balance.checked_add(amount).map_err(|_| Rule::BalanceInRange)?;
            if balance < Money::ZERO {
                return Err(Rule::NotOverdrawn.into());
            }
            if balance > AMOUNT_MAX {
                return Err(Rule::BalanceInRange.into());
            }
            let moved = Account {
                balance,
                updated_at: now,
                ..account.clone()
            };
            self.tables.put_account(id, Some(moved));
        }
        Ok(())
    }
}

/// The accounts that a transaction names.
fn named(row: &Transaction) -> impl Iterator<Item = AccountId> + use<> {
    [Some(row.account_id), row.related_account_id].into_iter().flatten()
}

/// What a transaction does to balances: nothing unless it is COMPLETED.
fn legs(row: &Transaction) -> Vec<(AccountId, Money)> {
    if row.status != TransactionStatus::Completed {
        return Vec::new();
    }
    let own = if row.txn_type == TransactionType::Deposit {
        row.amount
    } else {
        row.amount.negated()
    };
    let mut legs = vec![(row.account_id, own)];
    legs.extend(row.related_account_id.map(|related| (related, row.amount)));
    legs
}

fn legs_reversed(row: &Transaction) -> Vec<(AccountId, Money)> {
    legs(row)
        .into_iter()
        .map(|(account, amount)| (account, amount.negated()))
        .collect()
}

fn found<T>(row: Option<&T>, entity: Entity, id: i64) -> Outcome<&T> {
    row.ok_or(SystemOfRecordError::NotFound { entity, id })
}

fn at_version(current: Version, expected: Option<Version>, entity: Entity, id: i64) -> Outcome<()> {
    match expected {
        Some(expected) if expected != current => Err(SystemOfRecordError::VersionMismatch { entity, id }),
        _ => Ok(()),
    }
}
