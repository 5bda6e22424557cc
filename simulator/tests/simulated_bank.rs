//! What the simulated bank promises: it repeats, it never takes what is not there but on purpose, it keeps the pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{Currency, Money};
use simulator::{
    AccountRef, Batch, CustomerRef, Draft, Operation, Outcome, Pace, Profile, SimulatedBank, Target, TargetError, Totals,
    TransactionRef, drive,
};

/// A bank with every rule of the real one, checked row by row and at once.
#[derive(Debug, Default, Clone)]
struct StrictBank {
    emails: BTreeMap<CustomerRef, String>,
    accounts: BTreeMap<AccountRef, StrictAccount>,
    transactions: BTreeMap<TransactionRef, Draft>,
}

#[derive(Debug, Clone)]
struct StrictAccount {
    customer: CustomerRef,
    currency: Currency,
    balance: i128,
    open: bool,
}

impl StrictBank {
    fn apply(&mut self, operation: &Operation) -> Result<(), String> {
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
            Operation::Post { transaction, draft } => {
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
struct StrictTarget {
    bank: Mutex<StrictBank>,
    calls: AtomicU64,
    fail_one_in: u64,
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

fn small() -> Profile {
    Profile {
        customers: 12,
        ..Profile::default()
    }
}

async fn run(seed: u64, profile: Profile, lanes: usize, fail_one_in: u64, pace: Pace) -> (Totals, StrictBank) {
    let target = Arc::new(StrictTarget {
        fail_one_in,
        ..StrictTarget::default()
    });
    let totals = drive(SimulatedBank::lanes(seed, profile, lanes), Arc::clone(&target), pace).await;
    let totals = totals.unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let bank = target.bank.lock().clone();
    (totals, bank)
}

fn count(count: u64) -> Pace {
    Pace {
        count: Some(count),
        ..Pace::default()
    }
}

#[test]
fn the_same_seed_makes_the_same_operations_and_another_seed_others() {
    let draw = |seed: u64| -> Vec<(Vec<Batch>, Vec<Batch>)> {
        let lanes = SimulatedBank::lanes(seed, Profile::default(), 4);
        lanes
            .into_iter()
            .map(|lane| (lane.population(), lane.take(1_000).collect()))
            .collect()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn every_kind_of_operation_occurs() {
    let bank = SimulatedBank::new(42, Profile::default());
    let kinds: BTreeSet<&str> = bank
        .population()
        .into_iter()
        .chain(bank.take(5_000))
        .flat_map(|batch| batch.operations)
        .map(|op| op.kind())
        .collect();
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_refuses_only_what_was_meant_to_be_refused() {
    for seed in 0..12 {
        let lanes = 1 + seed as usize % 4;
        let (totals, bank) = run(seed, small(), lanes, 0, count(1_500)).await;
        assert_eq!(totals.unexpected_refusals, 0, "seed {seed}, {lanes} lanes: {totals}");
        assert!(totals.refusals() > 0, "seed {seed}: nothing was overdrawn on purpose");
        let founded = 12 + 24;
        assert_eq!(totals.operations() + totals.refusals(), 1_500 + founded, "seed {seed}");
        assert!(bank.accounts.values().all(|account| account.balance >= 0));
    }
}

#[tokio::test]
async fn a_tiny_bank_of_many_lanes_goes_on_for_ever() {
    for seed in 0..8 {
        let profile = Profile {
            customers: 3,
            accounts_per_customer: 1,
            ..Profile::default()
        };
        let (totals, _) = run(seed, profile, 16, 0, count(2_000)).await;
        assert_eq!(totals.unexpected_refusals, 0, "seed {seed}: {totals}");
    }
}

#[tokio::test]
async fn amounts_of_a_currency_without_cents_are_whole() {
    let profile = Profile {
        currencies: vec!["JPY".parse().expect("yen")],
        ..small()
    };
    let (totals, bank) = run(5, profile, 2, 0, count(1_000)).await;
    assert_eq!(totals.unexpected_refusals, 0, "{totals}");
    assert!(bank.transactions.values().all(|draft| draft.amount.fits_scale(0)));
}

#[tokio::test]
async fn commits_that_failed_are_tried_again_and_nothing_is_missing() {
    let (calm, quiet_bank) = run(3, small(), 1, 0, count(500)).await;
    let (rough, shaken_bank) = run(3, small(), 1, 5, count(500)).await;
    assert!(rough.retries > 0);
    assert_eq!((calm.applied, calm.refused), (rough.applied, rough.refused));
    assert_eq!(quiet_bank.transactions, shaken_bank.transactions);
}

#[tokio::test]
async fn the_same_seed_twice_into_the_same_bank_is_refused_with_advice() {
    let target = Arc::new(StrictTarget::default());
    drive(SimulatedBank::lanes(1, small(), 2), Arc::clone(&target), count(10))
        .await
        .expect("the first run");
    let error = drive(SimulatedBank::lanes(1, small(), 2), target, count(10))
        .await
        .expect_err("the second run");
    assert!(format!("{error:#}").contains("give another --seed"), "{error:#}");
}

#[tokio::test]
async fn the_rate_is_kept_and_the_time_ends_the_run() {
    let started = Instant::now();
    let (totals, _) = run(
        9,
        small(),
        3,
        0,
        Pace {
            rate: Some(400),
            ..count(200)
        },
    )
    .await;
    assert_eq!(totals.operations() + totals.refusals(), 200 + 36);
    // The last commit of a few operations is due when those before it were.
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());

    let pace = Pace {
        rate: Some(1_000),
        run_for: Some(Duration::from_millis(300)),
        ..Pace::default()
    };
    let (totals, _) = run(9, small(), 3, 0, pace).await;
    assert!((1..=400).contains(&(totals.operations() - 36)), "{totals}");

    let pace = Pace::default();
    pace.stop.cancel();
    let (totals, _) = run(9, small(), 3, 0, pace).await;
    assert_eq!(totals.operations(), 0);
}
