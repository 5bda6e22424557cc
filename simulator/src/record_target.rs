//! A system of record as the target, Postgres or the in-process implementation: each batch is one commit.

use std::sync::Arc;

use parking_lot::RwLock;
use system_of_record::{
    AccountDraft, AccountUpdate, Change, CustomerDraft, Ref, Row, SystemOfRecord, SystemOfRecordError, TransactionDraft,
};

use crate::ids::{Ids, Missing};
use crate::operation::{AccountRef, Batch, CustomerRef, Draft, Operation, Person, TransactionRef};
use crate::target::{Outcome, Target, TargetError};

/// A system of record, with what the simulation's rows are called there.
pub struct RecordTarget {
    record: Arc<dyn SystemOfRecord>,
    ids: RwLock<Ids>,
}

impl RecordTarget {
    /// Writes to this system of record.
    pub fn new(record: Arc<dyn SystemOfRecord>) -> Self {
        Self {
            record,
            ids: RwLock::default(),
        }
    }

    fn changes(&self, batch: &Batch) -> Result<Vec<Change>, Missing> {
        let names = Names {
            ids: &self.ids.read(),
            batch,
        };
        batch.operations.iter().map(|operation| names.change(operation)).collect()
    }
}

impl Target for RecordTarget {
    async fn commit(&self, batch: &Batch) -> Result<Outcome, TargetError> {
        let changes = match self.changes(batch) {
            Ok(changes) => changes,
            Err(missing) => return Ok(Outcome::Refused(missing.to_string())),
        };
        match self.record.commit(&changes).await {
            Ok(rows) => {
                self.ids.write().keep(batch, rows.iter().map(Row::id));
                Ok(Outcome::Committed)
            }
            Err(error) => outcome(&error),
        }
    }
}

fn outcome(error: &SystemOfRecordError) -> Result<Outcome, TargetError> {
    use SystemOfRecordError as E;
    match error {
        E::Refused { .. } | E::Invalid { .. } | E::NotFound { .. } | E::VersionMismatch { .. } => {
            Ok(Outcome::Refused(error.to_string()))
        }
        E::Unavailable(_) | E::Busy(_) => Err(TargetError::Retry(error.to_string())),
        E::OutcomeUnknown(_) | E::Internal(_) => Err(TargetError::GiveUp(error.to_string())),
    }
}

/// Turns the simulation's numbers into what the system of record calls the rows.
struct Names<'a> {
    ids: &'a Ids,
    batch: &'a Batch,
}

impl Names<'_> {
    fn change(&self, operation: &Operation) -> Result<Change, Missing> {
        Ok(match operation {
            Operation::AddCustomer { person, .. } => Change::InsertCustomer(customer(person)),
            Operation::ChangeCustomer { customer: who, person } => Change::UpdateCustomer {
                id: self.customer(*who)?,
                to: customer(person),
                expected: None,
            },
            Operation::RemoveCustomer { customer } => Change::DeleteCustomer {
                id: self.customer(*customer)?,
                expected: None,
            },
            Operation::OpenAccount {
                customer,
                account_type,
                currency,
                opening_balance,
                ..
            } => Change::InsertAccount(AccountDraft {
                customer_id: self.customer(*customer)?,
                account_type: *account_type,
                currency: *currency,
                opening_balance: (*opening_balance).into(),
            }),
            Operation::ChangeAccount {
                account,
                customer,
                account_type,
                currency,
                status,
                ..
            } => Change::UpdateAccount {
                id: self.account(*account)?,
                to: AccountUpdate {
                    customer_id: self.customer(*customer)?,
                    account_type: *account_type,
                    currency: *currency,
                    status: Some(*status),
                },
                expected: None,
            },
            Operation::RemoveAccount { account } => Change::DeleteAccount {
                id: self.account(*account)?,
                expected: None,
            },
            Operation::CloseAccount { account } => Change::CloseAccount {
                id: self.account(*account)?,
                expected: None,
            },
            Operation::Post { draft, .. } => Change::InsertTransaction(self.draft(draft)?),
            Operation::ChangeTransaction { transaction, draft, .. } => Change::UpdateTransaction {
                id: self.transaction(*transaction)?,
                to: self.draft(draft)?.into(),
                expected: None,
            },
            Operation::RemoveTransaction { transaction } => Change::DeleteTransaction {
                id: self.transaction(*transaction)?,
                expected: None,
            },
        })
    }

    fn draft(&self, draft: &Draft) -> Result<TransactionDraft, Missing> {
        Ok(TransactionDraft {
            account_id: self.account(draft.account)?,
            txn_type: draft.txn_type,
            amount: draft.amount.into(),
            related_account_id: draft.related.map(|related| self.account(related)).transpose()?,
            status: draft.status,
        })
    }

    fn customer(&self, wanted: CustomerRef) -> Result<Ref<schemas::CustomerId>, Missing> {
        let makes = |operation: &Operation| matches!(operation, Operation::AddCustomer { customer, .. } if *customer == wanted);
        self.made(makes)
            .map_or_else(|| self.ids.customer(wanted).map(Ref::Id), |made| Ok(Ref::Made(made)))
    }

    fn account(&self, wanted: AccountRef) -> Result<Ref<schemas::AccountId>, Missing> {
        let makes = |operation: &Operation| matches!(operation, Operation::OpenAccount { account, .. } if *account == wanted);
        self.made(makes)
            .map_or_else(|| self.ids.account(wanted).map(Ref::Id), |made| Ok(Ref::Made(made)))
    }

    fn transaction(&self, wanted: TransactionRef) -> Result<Ref<schemas::TransactionId>, Missing> {
        let makes = |operation: &Operation| matches!(operation, Operation::Post { transaction, .. } if *transaction == wanted);
        self.made(makes)
            .map_or_else(|| self.ids.transaction(wanted).map(Ref::Id), |made| Ok(Ref::Made(made)))
    }

    /// Which operation of the same batch makes the row.
    fn made(&self, makes: impl Fn(&Operation) -> bool) -> Option<usize> {
        self.batch.operations.iter().position(makes)
    }
}

fn customer(person: &Person) -> CustomerDraft {
    CustomerDraft {
        first_name: person.first_name.clone(),
        last_name: person.last_name.clone(),
        email: person.email.clone(),
    }
}
