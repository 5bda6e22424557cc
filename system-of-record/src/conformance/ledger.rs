//! Balances follow transactions: exactly, whatever happens to them, and however many write at once.

use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{AccountId, Money};

use super::samples::{account, balance, deposit, money, post, transfer, withdrawal};
use crate::{Account, Rule, SystemOfRecord, SystemOfRecordError, SystemOfRecordExt, Transaction, TransactionDraft};

pub async fn check(records: &dyn SystemOfRecord) {
    by_hand(records).await;
    at_random(records).await;
    at_once(records).await;
}

async fn by_hand(records: &dyn SystemOfRecord) {
    let (a, b) = (
        account(records, "EUR", "100.00").await.id,
        account(records, "EUR", "0").await.id,
    );
    post(records, deposit(a, "20.00")).await;
    post(records, withdrawal(a, "0.01")).await;
    let moved = post(records, transfer(a, b, "50.00")).await;
    assert_eq!(
        (balance(records, a).await, balance(records, b).await),
        (money("69.99"), money("50.00"))
    );
    for status in [
        TransactionStatus::Pending,
        TransactionStatus::Failed,
        TransactionStatus::Reversed,
    ] {
        post(
            records,
            TransactionDraft {
                status,
                ..withdrawal(b, "50.00")
            },
        )
        .await;
    }
    assert_eq!(
        balance(records, b).await,
        money("50.00"),
        "only what is completed moves a balance"
    );

    // The money has gone on: it cannot be taken back.
    let spent = post(records, withdrawal(b, "30.00")).await;
    let reversed = TransactionDraft {
        status: TransactionStatus::Reversed,
        ..transfer(a, b, "50.00")
    };
    let refused = Err(SystemOfRecordError::from(Rule::NotOverdrawn));
    assert_eq!(records.update_transaction(moved.id, reversed.clone(), None).await, refused);
    assert_eq!(records.delete_transaction(moved.id, None).await, refused);
    records.delete_transaction(spent.id, None).await.expect("delete");
    records.update_transaction(moved.id, reversed, None).await.expect("reverse");
    assert_eq!(
        (balance(records, a).await, balance(records, b).await),
        (money("119.99"), money("0"))
    );

    // To another account, of another kind, all at once.
    let c = account(records, "EUR", "0").await.id;
    let other = post(records, withdrawal(a, "1.00")).await;
    records
        .update_transaction(other.id, deposit(c, "7.00"), None)
        .await
        .expect("change");
    assert_eq!(
        (balance(records, a).await, balance(records, c).await),
        (money("119.99"), money("7.00"))
    );
}

async fn at_random(records: &dyn SystemOfRecord) {
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut accounts: Vec<Account> = Vec::new();
    for _ in 0..4 {
        accounts.push(account(records, "EUR", "20.00").await);
    }
    let mut rows: Vec<Transaction> = Vec::new();
    for _ in 0..300 {
        let draft = random_draft(&mut random, &accounts);
        let outcome = match random.random_range(0..10) {
            0..5 => records.insert_transaction(draft).await.map(|row| rows.push(row)),
            5..8 if !rows.is_empty() => {
                let place = random.random_range(0..rows.len());
                let updated = records.update_transaction(rows[place].id, draft, None).await;
                updated.map(|row| rows[place] = row)
            }
            _ if !rows.is_empty() => {
                let place = random.random_range(0..rows.len());
                let deleted = records.delete_transaction(rows[place].id, None).await;
                deleted.map(|_| _ = rows.swap_remove(place))
            }
            _ => Ok(()),
        };
        assert!(
            matches!(
                outcome,
                Ok(())
                    | Err(SystemOfRecordError::Refused {
                        rule: Rule::NotOverdrawn | Rule::StatusFlow
                    })
            ),
            "seed {seed}: {outcome:?}"
        );
    }
    for account in &accounts {
        let posted = rows
            .iter()
            .map(|row| effect(row, account.id))
            .try_fold(account.opening_balance, Money::checked_add);
        assert_eq!(
            Ok(balance(records, account.id).await),
            posted,
            "seed {seed}, account {}",
            account.id
        );
    }
}

fn random_draft(random: &mut impl Rng, accounts: &[Account]) -> TransactionDraft {
    let from = random.random_range(0..accounts.len());
    let to = (from + random.random_range(1..accounts.len())) % accounts.len();
    let amount = Money::from_hundredths(random.random_range(1..1500)).to_string();
    let draft = match random.random_range(0..3) {
        0 => deposit(accounts[from].id, &amount),
        1 => withdrawal(accounts[from].id, &amount),
        _ => transfer(accounts[from].id, accounts[to].id, &amount),
    };
    let statuses = TransactionStatus::ALL;
    let status = if random.random_bool(0.7) {
        TransactionStatus::Completed
    } else {
        statuses[random.random_range(0..statuses.len())]
    };
    TransactionDraft { status, ..draft }
}

/// What a transaction does to an account's balance.
fn effect(row: &Transaction, account: AccountId) -> Money {
    let is_own = row.account_id == account;
    match (row.status, row.txn_type) {
        (TransactionStatus::Completed, TransactionType::Deposit) if is_own => row.amount,
        (TransactionStatus::Completed, _) if is_own => row.amount.negated(),
        (TransactionStatus::Completed, _) if row.related_account_id == Some(account) => row.amount,
        _ => Money::ZERO,
    }
}

async fn at_once(records: &dyn SystemOfRecord) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(account(records, "EUR", "100.00").await.id);
    }
    // Round and round, in both directions: whoever takes locks in the order of the request would deadlock.
    let transfers = (0..60).map(|n| {
        let (from, to) = (ids[n % 3], ids[(n + 1 + n / 3 % 2) % 3]);
        records.insert_transaction(transfer(from, to, "1.00"))
    });
    for outcome in join_all(transfers).await {
        outcome.expect("there is enough for all");
    }
    let mut sum = Money::ZERO;
    for id in ids {
        sum = sum.checked_add(balance(records, id).await).expect("a sum");
    }
    assert_eq!(sum, money("300.00"));
}
