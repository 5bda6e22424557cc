//! Balances of several accounts as they were together.
//!
//! The source's transactions are counted, in the order of their commits. Each partition of the balances knows up to which number it has all
//! of them, and of each balance what it was before the newest. So the lowest of these numbers is one that all have reached, and all balances
//! are told as of it, wherever they are and however far they have gone on since. Where one is not known that far back (its partition was
//! just restored), a moment later it is: the answer waits for that, but not for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use schemas::silver::Frontier;
use schemas::state::RecentBalance;
use schemas::{AccountId, Currency, CustomerId, Money};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use topology::Micros;

use crate::model::{AsOfCommit, BalanceTogether, Balances, instant, money};
use crate::problem::Problem;
use crate::reads::{Instance, Located, ReadError};
use crate::state::App;

/// Between two looks, while a part is not far enough: first so long, then longer.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// Balances as one instance tells them to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    accounts: Vec<Known>,
}

/// What is known of one account.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    id: i64,
    /// `None`: its partition has not heard of any.
    frontier: Option<Complete>,
    account: Option<Account>,
    /// Transactions wait for its row.
    is_awaited: bool,
}

/// Up to where all transactions are in; number 0: none is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Complete {
    commit_number: i64,
    source_lsn: i64,
    source_ts: i64,
    is_assumed: bool,
    is_partial: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    customer_id: CustomerId,
    currency: Currency,
    opening: String,
    is_deleted: bool,
    /// What it held, newest first.
    held: Vec<Held>,
}

/// What an account held from a transaction on, up to another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    /// `None`: from the beginning.
    since: Option<i64>,
    /// `None`: it still does.
    until: Option<i64>,
    booked: String,
    pending: String,
}

/// The balances of accounts that are all here; for another instance.
pub(crate) async fn here(app: &App, ids: Vec<AccountId>) -> Result<Told, Problem> {
    let found = look_up(app, ids).await?;
    let accounts = found.into_iter().map(|located| match located {
        Located::Here(known) => Ok(known),
        Located::Elsewhere(_) => Err(moving()),
    });
    Ok(Told {
        accounts: accounts.collect::<Result<_, Problem>>()?,
    })
}

/// The balances of accounts, wherever they are, as they were together.
pub(crate) async fn read(app: &App, ids: &[AccountId]) -> Result<Balances, Problem> {
    let deadline = Instant::now() + app.together_timeout;
    let mut pause = PAUSE_MIN;
    loop {
        let known = gather(app, ids).await?;
        let heard_at = app.source.as_ref().and_then(|source| source.heard_at_us()).map(instant);
        let together = reached(&known).filter(|_| app.in_commit_order);
        if let Some(balances) = together.and_then(|complete| as_of(&known, complete, heard_at.clone())) {
            return Ok(balances);
        }
        // A snapshot takes its time.
        let is_hopeless = !app.in_commit_order || together.is_some_and(|complete| complete.is_partial);
        if is_hopeless || Instant::now() >= deadline {
            return newest(&known, heard_at);
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

/// Asks whoever has them.
async fn gather(app: &App, ids: &[AccountId]) -> Result<Vec<Known>, Problem> {
    let mut all = BTreeMap::new();
    let mut others: BTreeMap<Instance, Vec<String>> = BTreeMap::new();
    for (id, located) in ids.iter().zip(look_up(app, ids.to_vec()).await?) {
        match located {
            Located::Here(known) => drop(all.insert(known.id, known)),
            Located::Elsewhere(instance) => others.entry(instance).or_default().push(format!("account_id={}", id.0)),
        }
    }
    let asked = others.iter().map(async |(instance, parameters)| {
        let path = format!("/balances?{}", parameters.join("&"));
        app.forwarder.get(instance, &path, &[]).await
    });
    for reply in join_all(asked).await {
        let told: Told = serde_json::from_slice(&reply?.body).map_err(|error| {
            tracing::warn!(%error, "another instance did not answer with balances");
            Problem::not_ready("the instance that has the data did not answer")
        })?;
        all.extend(told.accounts.into_iter().map(|known| (known.id, known)));
    }
    let in_order = ids.iter().map(|id| all.remove(&id.0).ok_or_else(moving));
    in_order.collect()
}

/// Looks for accounts here, off the threads that serve requests: many look-ups take a while where the state is on a disk.
async fn look_up(app: &App, ids: Vec<AccountId>) -> Result<Vec<Located<Known>>, Problem> {
    let reads = app.reads.clone();
    let look_up = move || {
        let found = ids.iter().map(|&id| {
            Ok(match reads.balance(id)? {
                Located::Here(reading) => Located::Here(Known {
                    id: id.0,
                    frontier: reading.value.frontier.map(Complete::from),
                    account: reading.value.balance.map(Account::from),
                    is_awaited: reading.value.is_awaited,
                }),
                Located::Elsewhere(instance) => Located::Elsewhere(instance),
            })
        });
        found.collect::<Result<_, ReadError>>()
    };
    let found = tokio::task::spawn_blocking(look_up).await;
    Ok(found.map_err(|error| Problem::internal(&error))??)
}

/// The newest transaction that is in all of them; `None`: the partition of one has not heard of any.
fn reached(known: &[Known]) -> Option<Complete> {
    let all: Option<Vec<Complete>> = known.iter().map(|known| known.frontier).collect();
    all?.into_iter().min_by_key(|complete| complete.commit_number)
}

/// All of them as of one transaction, if each is known that far back.
fn as_of(known: &[Known], complete: Complete, source_heard_at: Option<String>) -> Option<Balances> {
    let number = complete.commit_number;
    if complete.is_partial || known.iter().any(|known| known.is_awaited) {
        return None;
    }
    let holds = |held: &Held| held.since.is_none_or(|since| since <= number) && held.until.is_none_or(|until| number < until);
    let held = |account: &Account| account.held.iter().position(holds);
    let is_none_yet = number == 0;
    answer(
        known,
        held,
        AsOfCommit {
            is_consistent: true,
            commit_number: Some(number),
            source_lsn: (!is_none_yet).then_some(complete.source_lsn),
            source_time: (!is_none_yet).then(|| instant(Micros(complete.source_ts))),
            is_assumed_complete: complete.is_assumed,
            source_heard_at,
        },
    )
}

/// Each as it is now.
fn newest(known: &[Known], source_heard_at: Option<String>) -> Result<Balances, Problem> {
    let as_of = AsOfCommit {
        is_consistent: false,
        commit_number: None,
        source_lsn: None,
        source_time: None,
        is_assumed_complete: false,
        source_heard_at,
    };
    answer(known, |_| Some(0), as_of).ok_or_else(moving)
}

/// The answer with what each account held by this choice; `None` where it chooses nothing.
fn answer(known: &[Known], held: impl Fn(&Account) -> Option<usize>, as_of: AsOfCommit) -> Option<Balances> {
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    for known in known {
        let account_id = AccountId(known.id);
        let Some(account) = &known.account else {
            missing.push(account_id);
            continue;
        };
        let held = account.held.get(held(account)?)?;
        let amount = |text: &str| text.parse::<Money>().ok();
        let (booked, pending) = (amount(&held.booked)?, amount(&held.pending)?);
        // A row that is gone may be ahead of its transactions, which go before it at the source.
        if account.is_deleted && (booked, pending) == (amount(&account.opening)?, Money::ZERO) {
            missing.push(account_id);
            continue;
        }
        let available = booked.checked_sub(pending).ok()?;
        items.push(BalanceTogether {
            account_id,
            customer_id: account.customer_id,
            currency: account.currency,
            booked: money(booked, account.currency),
            pending: money(pending, account.currency),
            available: money(available, account.currency),
        });
    }
    Some(Balances { items, missing, as_of })
}

fn moving() -> Problem {
    Problem::not_ready("a part of the data is being restored or is moving to another instance")
}

impl From<RecentBalance> for Account {
    fn from(balance: RecentBalance) -> Self {
        let RecentBalance { now, former } = balance;
        let newest = Held {
            since: now.commit_number,
            until: None,
            booked: now.booked.to_string(),
            pending: now.pending.to_string(),
        };
        let former = former.into_iter().rev().map(|former| Held {
            since: Some(former.since),
            until: Some(former.until),
            booked: former.booked.to_string(),
            pending: former.pending.to_string(),
        });
        Self {
            customer_id: now.customer_id,
            currency: now.currency,
            opening: now.opening.to_string(),
            is_deleted: now.is_deleted,
            held: std::iter::once(newest).chain(former).collect(),
        }
    }
}

impl From<Frontier> for Complete {
    fn from(frontier: Frontier) -> Self {
        Self {
            commit_number: frontier.commit_number,
            source_lsn: frontier.source_lsn,
            source_ts: frontier.source_ts,
            is_assumed: frontier.is_assumed,
            is_partial: frontier.is_partial,
        }
    }
}
