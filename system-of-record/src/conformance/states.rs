//! What may become of a transaction, on an open account and on a closed one, and what an update leaves as it is.

use schemas::silver::{TransactionStatus, TransactionType};

use super::samples::{account, balance, deposit, money, post, transfer, withdrawal};
use crate::{
    Amount, Change, Rule, SystemOfRecord, SystemOfRecordError, SystemOfRecordExt, Transaction, TransactionDraft,
    TransactionUpdate,
};

pub async fn check(records: &dyn SystemOfRecord) {
    one_way(records).await;
    closed_accounts(records).await;
    what_is_not_named_stays(records).await;
    places_as_written(records).await;
}

/// An update that names nothing but what it must.
fn same(row: &Transaction) -> TransactionUpdate {
    TransactionUpdate {
        account_id: row.account_id.into(),
        txn_type: row.txn_type,
        amount: row.amount.into(),
        related_account_id: None,
        status: None,
    }
}

fn becoming(row: &Transaction, status: TransactionStatus) -> TransactionUpdate {
    TransactionUpdate {
        status: Some(status),
        ..same(row)
    }
}

async fn one_way(records: &dyn SystemOfRecord) {
    use TransactionStatus::{Completed, Failed, Pending, Reversed};
    let id = account(records, "EUR", "0").await.id;
    let allowed = [(Pending, Completed), (Pending, Failed), (Completed, Reversed)];
    for from in TransactionStatus::ALL {
        for to in TransactionStatus::ALL {
            let row = post(
                records,
                TransactionDraft {
                    status: *from,
                    ..deposit(id, "5.00")
                },
            )
            .await;
            let before = balance(records, id).await;
            let updated = records.update_transaction(row.id, becoming(&row, *to), None).await;
            if from == to || allowed.contains(&(*from, *to)) {
                assert_eq!(updated.map(|row| row.status), Ok(*to), "{from} to {to}");
            } else {
                assert_eq!(updated, Err(Rule::StatusFlow.into()), "{from} to {to}");
                assert_eq!(records.transaction(row.id).await, Ok(Some(row)));
                assert_eq!(balance(records, id).await, before);
            }
        }
    }
    // Three that stayed COMPLETED, and one that became it.
    assert_eq!(balance(records, id).await, money("20.00"));
    let failed = TransactionDraft {
        status: Failed,
        ..deposit(id, "5.00")
    };
    let row = post(records, failed).await;
    let other = TransactionUpdate {
        amount: money("6.00").into(),
        ..same(&row)
    };
    let row = records.update_transaction(row.id, other, None).await.expect("another amount");
    assert_eq!((row.amount, row.status), (money("6.00"), Failed));
}

async fn closed_accounts(records: &dyn SystemOfRecord) {
    use TransactionStatus::{Completed, Failed, Pending, Reversed};
    let (open, closed) = (
        account(records, "EUR", "50.00").await.id,
        account(records, "EUR", "50.00").await.id,
    );
    let pending = TransactionDraft {
        status: Pending,
        ..deposit(closed, "7.00")
    };
    let waiting = post(records, pending.clone()).await;
    let doomed = post(records, pending.clone()).await;
    let done = post(records, deposit(closed, "8.00")).await;
    let received = post(records, transfer(open, closed, "9.00")).await;
    let elsewhere = post(records, deposit(open, "10.00")).await;
    let on_its_way = TransactionDraft {
        status: Pending,
        ..transfer(open, account(records, "EUR", "0").await.id, "2.00")
    };
    let on_its_way = post(records, on_its_way).await;
    records.close_account(closed, None).await.expect("close");

    let refused = [
        (waiting.id, becoming(&waiting, Completed)),
        (done.id, deposit(closed, "80.00").into()),
        (done.id, withdrawal(closed, "8.00").into()),
        (received.id, transfer(open, closed, "90.00").into()),
        (elsewhere.id, deposit(closed, "10.00").into()),
        (
            on_its_way.id,
            TransactionUpdate {
                related_account_id: Some(Some(closed.into())),
                ..same(&on_its_way)
            },
        ),
    ];
    for (id, to) in refused {
        let said = records.update_transaction(id, to.clone(), None).await;
        assert_eq!(said, Err(Rule::AccountActive.into()), "{to:?}");
    }
    assert_eq!(
        (balance(records, open).await, balance(records, closed).await),
        (money("51.00"), money("67.00"))
    );
    let taken = [
        // Its money is left alone, by rows that stay and by the other end of a transfer.
        (done.id, same(&done)),
        (waiting.id, same(&waiting)),
        (
            received.id,
            TransactionUpdate {
                account_id: account(records, "EUR", "9.00").await.id.into(),
                ..same(&received)
            },
        ),
        // What was done to it is taken back.
        (doomed.id, becoming(&doomed, Failed)),
        (done.id, becoming(&done, Reversed)),
        (
            received.id,
            transfer(open, account(records, "EUR", "0").await.id, "9.00").into(),
        ),
    ];
    for (id, to) in taken {
        let said = records.update_transaction(id, to.clone(), None).await;
        assert!(said.is_ok(), "{to:?}: {said:?}");
    }
    records.delete_transaction(waiting.id, None).await.expect("delete");
    assert_eq!(balance(records, closed).await, money("50.00"), "what it opened with");
}

async fn what_is_not_named_stays(records: &dyn SystemOfRecord) {
    let (from, to) = (
        account(records, "EUR", "50.00").await.id,
        account(records, "EUR", "0").await.id,
    );
    let failed = TransactionDraft {
        status: TransactionStatus::Failed,
        ..transfer(from, to, "5.00")
    };
    let row = post(records, failed).await;
    let more = TransactionUpdate {
        amount: money("6.00").into(),
        ..same(&row)
    };
    let row = records.update_transaction(row.id, more, None).await.expect("update");
    assert_eq!(
        (row.status, row.related_account_id, row.amount),
        (TransactionStatus::Failed, Some(to), money("6.00"))
    );
    assert_eq!(balance(records, from).await, money("50.00"));
    // Only a transfer has another account: with its kind it loses it, and a new transfer must name one.
    let kind = |txn_type| TransactionUpdate { txn_type, ..same(&row) };
    let none = TransactionUpdate {
        related_account_id: Some(None),
        ..same(&row)
    };
    let named = TransactionUpdate {
        related_account_id: Some(Some(to.into())),
        ..kind(TransactionType::Deposit)
    };
    for to in [none, named] {
        let said = records.update_transaction(row.id, to.clone(), None).await;
        assert!(
            matches!(
                said,
                Err(SystemOfRecordError::Invalid {
                    field: "related_account_id",
                    ..
                })
            ),
            "{to:?}: {said:?}"
        );
    }
    let update = kind(TransactionType::Deposit);
    let changed = records.update_transaction(row.id, update, None).await.expect("update");
    assert_eq!(
        (changed.txn_type, changed.related_account_id),
        (TransactionType::Deposit, None)
    );
    let said = records
        .update_transaction(row.id, kind(TransactionType::Transfer), None)
        .await;
    assert!(
        matches!(
            said,
            Err(SystemOfRecordError::Invalid {
                field: "related_account_id",
                ..
            })
        ),
        "{said:?}"
    );
}

async fn places_as_written(records: &dyn SystemOfRecord) {
    let (eur, jpy) = (account(records, "EUR", "0").await.id, account(records, "JPY", "0").await.id);
    let written = |text: &str, places| Amount {
        value: money(text),
        places,
    };
    for (id, amount, fits) in [
        (eur, written("12.30", 2), true),
        (eur, written("12.30", 3), false),
        (jpy, written("500", 0), true),
        (jpy, written("500", 1), false),
        (jpy, written("0.50", 2), false),
    ] {
        let draft = TransactionDraft {
            amount,
            ..deposit(id, "1")
        };
        let said = records.insert_transaction(draft).await.map(|row| row.amount);
        let expected = if fits {
            Ok(amount.value)
        } else {
            Err(Rule::AmountScale.into())
        };
        assert_eq!(said, expected, "{amount:?}");
    }
    assert_eq!(balance(records, jpy).await, money("500"), "nothing of what was refused");
    // What an answer showed may be sent back: the amount stays.
    let row = post(records, deposit(jpy, "7")).await;
    let sent_back = |amount| Change::UpdateTransaction {
        id: row.id.into(),
        to: TransactionUpdate { amount, ..same(&row) },
        expected: None,
    };
    records.commit(&[sent_back(written("7", 2))]).await.expect("the same amount");
    let refused = records.commit(&[sent_back(written("8", 2))]).await;
    assert_eq!(refused, Err(Rule::AmountScale.into()));
}
