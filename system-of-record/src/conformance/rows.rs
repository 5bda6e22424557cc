//! Rows come back as they were written; versions tell them apart; a commit is all or nothing.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus};
use schemas::{CustomerId, Money, TransactionId};

use super::samples::{account, account_of, balance, customer, deposit, money, person, post, transfer, withdrawal};
use crate::{
    AccountDraft, AccountUpdate, Change, CustomerDraft, Entity, Ref, Rule, SystemOfRecord, SystemOfRecordError,
    SystemOfRecordExt, Transaction, TransactionDraft,
};

pub async fn check(records: &dyn SystemOfRecord) {
    customers(records).await;
    accounts(records).await;
    transactions(records).await;
    versions(records).await;
    several_changes(records).await;
    in_order(records).await;
}

async fn customers(records: &dyn SystemOfRecord) {
    let draft = person();
    let made = records.insert_customer(draft.clone()).await.expect("insert");
    assert_eq!(
        (&made.first_name, &made.last_name, &made.email),
        (&draft.first_name, &draft.last_name, &draft.email)
    );
    assert!(
        made.created_at > 1_500_000_000_000_000,
        "microseconds since the epoch: {}",
        made.created_at
    );
    assert_eq!(made.created_at, made.updated_at);
    assert_eq!(records.customer(made.id).await, Ok(Some(made.clone())));

    let moved = CustomerDraft {
        email: draft.email.replace("ada", "Countess"),
        ..draft
    };
    let changed = records.update_customer(made.id, moved.clone(), None).await.expect("update");
    assert_eq!(
        (changed.id, &changed.email, changed.created_at),
        (made.id, &moved.email, made.created_at)
    );
    assert!(changed.updated_at > made.updated_at);
    assert_ne!(changed.version(), made.version());
    assert_eq!(records.customer(made.id).await, Ok(Some(changed.clone())));
    // The same e-mail address in other letters is still their own.
    let shouting = CustomerDraft {
        email: moved.email.to_uppercase(),
        ..moved
    };
    let changed = records
        .update_customer(made.id, shouting, None)
        .await
        .expect("update to the same address");

    assert_eq!(records.delete_customer(made.id, None).await, Ok(changed));
    assert_eq!(records.customer(made.id).await, Ok(None));
    let gone = SystemOfRecordError::NotFound {
        entity: Entity::Customer,
        id: made.id.0,
    };
    assert_eq!(records.delete_customer(made.id, None).await, Err(gone.clone()));
    assert_eq!(records.update_customer(made.id, person(), None).await, Err(gone));
}

async fn accounts(records: &dyn SystemOfRecord) {
    let owner = customer(records).await;
    let made = records
        .insert_account(account_of(owner.id, "EUR", "12.30"))
        .await
        .expect("insert");
    assert_eq!((made.balance, made.opening_balance), (money("12.30"), money("12.30")));
    assert_eq!((made.status, made.closed_at), (AccountStatus::Active, None));
    assert_eq!(records.account(made.id).await, Ok(Some(made.clone())));

    let heir = customer(records).await;
    let to = AccountUpdate {
        customer_id: heir.id.into(),
        account_type: AccountType::Savings,
        currency: "USD".parse().expect("a currency"),
        status: Some(AccountStatus::Active),
    };
    let changed = records.update_account(made.id, to.clone(), None).await.expect("update");
    assert_eq!((changed.customer_id, changed.account_type), (heir.id, AccountType::Savings));
    assert_eq!((changed.currency.as_str(), changed.balance), ("USD", made.balance));

    let closed = records.close_account(made.id, None).await.expect("close");
    assert_eq!(closed.status, AccountStatus::Inactive);
    assert_eq!(closed.closed_at, Some(closed.updated_at));
    assert_eq!(
        records.close_account(made.id, None).await,
        Ok(closed.clone()),
        "closing is safe to repeat"
    );
    let unnamed = AccountUpdate {
        account_type: AccountType::Checking,
        status: None,
        ..to.clone()
    };
    let kept = records.update_account(made.id, unnamed.clone(), None).await.expect("update");
    assert_eq!(
        (kept.account_type, kept.status, kept.closed_at),
        (AccountType::Checking, AccountStatus::Inactive, closed.closed_at)
    );
    let opened = records.update_account(made.id, to, None).await.expect("open again");
    assert_eq!((opened.status, opened.closed_at), (AccountStatus::Active, None));
    let kept = records.update_account(made.id, unnamed, None).await.expect("update");
    assert_eq!((kept.status, kept.closed_at), (AccountStatus::Active, None));

    let booked = post(records, deposit(made.id, "1.00")).await;
    let moved = records.account(made.id).await.expect("a look-up").expect("the account");
    assert_eq!(records.delete_account(made.id, None).await, Err(Rule::AccountInUse.into()));
    let gone = SystemOfRecordError::NotFound {
        entity: Entity::Account,
        id: made.id.0,
    };
    let both = [
        Change::DeleteTransaction {
            id: booked.id.into(),
            expected: None,
        },
        Change::DeleteAccount {
            id: made.id.into(),
            expected: Some(moved.version()),
        },
    ];
    assert!(records.commit(&both).await.is_ok(), "its transactions first");
    assert_eq!(records.account(made.id).await, Ok(None));
    assert_eq!(records.delete_account(made.id, None).await, Err(gone));

    let unknown = schemas::AccountId(i64::MAX);
    let missing = SystemOfRecordError::NotFound {
        entity: Entity::Account,
        id: i64::MAX,
    };
    assert_eq!(records.close_account(unknown, None).await, Err(missing));
    assert_eq!(records.account(unknown).await, Ok(None));
}

async fn transactions(records: &dyn SystemOfRecord) {
    let (from, to) = (account(records, "EUR", "10.00").await, account(records, "EUR", "0").await);
    let made = post(records, transfer(from.id, to.id, "2.50")).await;
    assert_eq!(
        (made.account_id, made.related_account_id, made.amount),
        (from.id, Some(to.id), money("2.50"))
    );
    assert_eq!(records.transaction(made.id).await, Ok(Some(made.clone())));
    let smaller = transfer(from.id, to.id, "1.00");
    let changed = records.update_transaction(made.id, smaller, None).await.expect("update");
    assert_eq!((changed.amount, changed.created_at), (money("1.00"), made.created_at));
    assert_eq!(records.delete_transaction(made.id, None).await, Ok(changed));
    assert_eq!(records.transaction(made.id).await, Ok(None));
    let gone = SystemOfRecordError::NotFound {
        entity: Entity::Transaction,
        id: made.id.0,
    };
    assert_eq!(records.delete_transaction(made.id, None).await, Err(gone));
    assert_eq!(records.transaction(TransactionId(i64::MAX)).await, Ok(None));
}

async fn versions(records: &dyn SystemOfRecord) {
    let first = customer(records).await;
    let second = records
        .update_customer(first.id, person(), Some(first.version()))
        .await
        .expect("the version in force");
    let stale = SystemOfRecordError::VersionMismatch {
        entity: Entity::Customer,
        id: first.id.0,
    };
    assert_eq!(
        records.update_customer(first.id, person(), Some(first.version())).await,
        Err(stale.clone())
    );
    assert_eq!(records.delete_customer(first.id, Some(first.version())).await, Err(stale));
    assert_eq!(records.customer(first.id).await, Ok(Some(second)));

    let made = account(records, "EUR", "1.00").await;
    let booked = post(records, deposit(made.id, "1.00")).await;
    let moved = records.account(made.id).await.expect("a look-up").expect("the account");
    assert!(moved.updated_at > made.updated_at && moved.balance == money("2.00"));
    assert_eq!(moved.version(), made.version(), "a moved balance makes no new version");
    let closed = records.close_account(made.id, Some(made.version())).await.expect("close");
    let stale = SystemOfRecordError::VersionMismatch {
        entity: Entity::Account,
        id: made.id.0,
    };
    assert_eq!(records.close_account(made.id, Some(made.version())).await, Err(stale));
    assert_ne!(closed.version(), made.version());

    let reversed = TransactionDraft {
        status: TransactionStatus::Reversed,
        ..deposit(made.id, "1.00")
    };
    let corrected = records.update_transaction(booked.id, reversed, Some(booked.version())).await;
    let corrected = corrected.expect("the version in force");
    let stale = SystemOfRecordError::VersionMismatch {
        entity: Entity::Transaction,
        id: booked.id.0,
    };
    assert_eq!(
        records.delete_transaction(booked.id, Some(booked.version())).await,
        Err(stale)
    );
    assert_eq!(
        records.delete_transaction(booked.id, Some(corrected.version())).await,
        Ok(corrected)
    );
}

async fn several_changes(records: &dyn SystemOfRecord) {
    // A later change speaks of what an earlier one makes.
    let opening = account_of(CustomerId(0), "EUR", "5.00");
    let changes = [
        Change::InsertCustomer(person()),
        Change::InsertAccount(AccountDraft {
            customer_id: Ref::Made(0),
            ..opening.clone()
        }),
        Change::InsertAccount(AccountDraft {
            customer_id: Ref::Made(0),
            ..opening
        }),
        Change::InsertTransaction(TransactionDraft {
            account_id: Ref::Made(1),
            related_account_id: Some(Ref::Made(2)),
            status: TransactionStatus::Pending,
            ..transfer(schemas::AccountId(0), schemas::AccountId(0), "4.00")
        }),
    ];
    let rows = records.commit(&changes).await.expect("all of it");
    let from = rows[1].clone().account().expect("an account");
    let to = rows[2].clone().account().expect("an account");
    let moved = rows[3].clone().transaction().expect("a transaction");
    assert_eq!(from.customer_id, rows[0].clone().customer().expect("a customer").id);
    assert_eq!((moved.account_id, moved.related_account_id), (from.id, Some(to.id)));
    // One commit, one time.
    assert_eq!(from.created_at, moved.created_at);

    // None of it, when the last change is refused.
    let owner = person();
    let refused = [
        Change::InsertCustomer(owner.clone()),
        Change::UpdateTransaction {
            id: moved.id.into(),
            to: transfer(from.id, to.id, "4.00").into(),
            expected: None,
        },
        Change::InsertTransaction(transfer(from.id, to.id, "1.01")),
    ];
    let error = records.commit(&refused).await.expect_err("more than is there");
    assert_eq!(error, Rule::NotOverdrawn.into());
    assert_eq!(
        (balance(records, from.id).await, balance(records, to.id).await),
        (money("5.00"), money("5.00"))
    );
    assert_eq!(records.transaction(moved.id).await, Ok(Some(moved)));
    records.insert_customer(owner).await.expect("the e-mail address is free");

    let not_made = [
        Change::InsertCustomer(person()),
        Change::DeleteTransaction {
            id: Ref::Made(0),
            expected: None,
        },
    ];
    let error = records.commit(&not_made).await.expect_err("a customer is no transaction");
    assert!(matches!(error, SystemOfRecordError::Internal(_)), "{error:?}");
    assert!(records.commit(&[]).await.is_err(), "a commit of nothing");
}

/// Many new rows are in force in their order: each gets an id after the one before it, and sees what that did.
async fn in_order(records: &dyn SystemOfRecord) {
    let (from, to) = (account(records, "EUR", "5.00").await, account(records, "EUR", "5.00").await);
    let amounts = (1..=40).map(|cents| Money::from_hundredths(cents.into()));
    let many: Vec<Change> = amounts
        .map(|amount| match amount.minor_units(2).unwrap_or_default() % 3 {
            0 => transfer(from.id, to.id, &amount.to_string()),
            1 => deposit(from.id, &amount.to_string()),
            _ => deposit(to.id, &amount.to_string()),
        })
        .map(Change::InsertTransaction)
        .collect();
    let rows = records.commit(&many).await.expect("all of it");
    let rows: Vec<Transaction> = rows
        .into_iter()
        .map(|row| row.transaction().expect("a transaction"))
        .collect();
    for ((change, row), next) in many.iter().zip(&rows).zip(rows.iter().skip(1)) {
        let Change::InsertTransaction(draft) = change else {
            unreachable!()
        };
        assert_eq!((draft.amount.value, draft.txn_type), (row.amount, row.txn_type));
        assert!(row.id < next.id, "{row:?}, then {next:?}");
    }
    let before = balance(records, from.id).await;
    let [take, give] = [withdrawal(from.id, "900.00"), deposit(from.id, "900.00")].map(Change::InsertTransaction);
    let refused = records.commit(&[take.clone(), give.clone()]).await;
    assert_eq!(refused, Err(Rule::NotOverdrawn.into()), "it is taken before it is there");
    let nowhere = Change::InsertTransaction(deposit(schemas::AccountId(i64::MAX), "1.00"));
    let refused = records.commit(&[take.clone(), nowhere.clone()]).await;
    assert_eq!(refused, Err(Rule::NotOverdrawn.into()), "the first that is at fault is told");
    let refused = records.commit(&[give.clone(), nowhere, take.clone()]).await;
    assert_eq!(refused, Err(Rule::AccountExists.into()));
    assert!(records.commit(&[give, take]).await.is_ok());
    assert_eq!(balance(records, from.id).await, before);
}
