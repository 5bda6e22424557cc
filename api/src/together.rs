//! Balances of several accounts as they were together.
//!
//! The source's transactions are counted, in the order of their commits. Each partition of the balances knows up to which number it has all
//! of them, and of each balance what it was before the newest. So the lowest of these numbers is one that all have reached, and all balances
//! are told as of it, wherever they are and however far they have gone on since. Where one is not known that far back (its partition was
//! just restored), a moment later it is: the answer waits for that, but not for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use schemas::gold::AccountBalance;
use schemas::silver::Frontier;
use schemas::{AccountId, Currency, CustomerId, Money, MoneyError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use topology::Micros;

use crate::model::{AsOfCommit, BalanceTogether, Balances, instant, money};
use crate::problem::Problem;
use crate::reads::{Balanced, Instance, Located, ReadError, Reading, Reads};
use crate::state::App;

/// Between two looks, while a part is not far enough: first so long, then longer.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// Behind the accounts, where one instance asks another.
const AS_OF: &str = "&commit_number=";

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

/// What an account held, as of one of the source's transactions or as it is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    customer_id: CustomerId,
    currency: Currency,
    #[serde(with = "text")]
    opening: Money,
    is_deleted: bool,
    /// The transaction that made it so; `None`: it was so from the beginning.
    commit_number: Option<i64>,
    #[serde(with = "text")]
    booked: Money,
    #[serde(with = "text")]
    pending: Money,
}

/// What another instance asks with: the accounts, and as of which transaction.
pub(crate) fn of_another(query: &str) -> Result<(&str, Option<i64>), Problem> {
    let Some((accounts, number)) = query.split_once(AS_OF) else {
        return Ok((query, None));
    };
    let number = number
        .parse()
        .map_err(|_| Problem::malformed("a transaction's number is a whole number"))?;
    Ok((accounts, Some(number)))
}

/// The balances of accounts that are all here; for another instance.
pub(crate) async fn here(app: &App, ids: Vec<AccountId>, commit_number: Option<i64>) -> Result<Told, Problem> {
    let found = look_up(app, ids, commit_number).await?;
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
        let known = gather(app, ids, None).await?;
        let heard_at = app.source.as_ref().and_then(|source| source.heard_at_us()).map(instant);
        let together = reached(&known).filter(|_| app.in_commit_order);
        // A snapshot takes its time.
        if !app.in_commit_order || together.is_some_and(|complete| complete.is_partial) {
            return newest(&known, heard_at);
        }
        if let Some(complete) = together {
            let then = taken_back(app, &known, complete.commit_number).await?;
            if let Some(balances) = as_of(&then, complete, heard_at.clone()) {
                return Ok(balances);
            }
        }
        if Instant::now() >= deadline {
            return newest(&known, heard_at);
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

/// Those that have gone on since a transaction are asked for again, as of it.
async fn taken_back(app: &App, known: &[Known], commit_number: i64) -> Result<Vec<Known>, Problem> {
    let ahead: Vec<AccountId> = known
        .iter()
        .filter(|known| known.is_after(commit_number))
        .map(|known| AccountId(known.id))
        .collect();
    let mut all = known.to_vec();
    if ahead.is_empty() {
        return Ok(all);
    }
    let mut then = gather(app, &ahead, Some(commit_number)).await?.into_iter();
    for known in all.iter_mut().filter(|known| known.is_after(commit_number)) {
        *known = then.next().ok_or_else(moving)?;
    }
    Ok(all)
}

/// Asks whoever has them.
async fn gather(app: &App, ids: &[AccountId], commit_number: Option<i64>) -> Result<Vec<Known>, Problem> {
    let mut all = BTreeMap::new();
    let mut others: BTreeMap<Instance, Vec<String>> = BTreeMap::new();
    for (id, located) in ids.iter().zip(look_up(app, ids.to_vec(), commit_number).await?) {
        match located {
            Located::Here(known) => drop(all.insert(known.id, known)),
            Located::Elsewhere(instance) => others.entry(instance).or_default().push(format!("account_id={}", id.0)),
        }
    }
    let asked = others.iter().map(async |(instance, parameters)| {
        let as_of = commit_number.map(|number| format!("{AS_OF}{number}"));
        let path = format!("/balances?{}{}", parameters.join("&"), as_of.unwrap_or_default());
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
async fn look_up(app: &App, ids: Vec<AccountId>, commit_number: Option<i64>) -> Result<Vec<Located<Known>>, Problem> {
    let reads = app.reads.clone();
    let look_up = move || {
        let found = ids.iter().map(|&id| known(&*reads, id, commit_number));
        found.collect::<Result<_, ReadError>>()
    };
    let found = tokio::task::spawn_blocking(look_up).await;
    Ok(found.map_err(|error| Problem::internal(&error))??)
}

/// What is known of an account here; as of a transaction, where it is known that far back.
fn known(reads: &dyn Reads, id: AccountId, commit_number: Option<i64>) -> Result<Located<Known>, ReadError> {
    let Balanced {
        frontier,
        mut balance,
        is_awaited,
    } = match reads.balance(id)? {
        Located::Here(reading) => reading.value,
        Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
    };
    if let (Some(number), Some(now)) = (commit_number, &balance)
        && is_after(now.commit_number, number)
    {
        match reads.former(now, number)? {
            Located::Here(reading) => balance = reading.value.or(balance),
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        }
    }
    Ok(Located::Here(Known {
        id: id.0,
        frontier: frontier.map(Complete::from),
        account: balance.map(Account::from),
        is_awaited,
    }))
}

/// An account's balance with the source's transactions whole: one that is open, of which more may come, is not in it. Returns whether that is so:
/// where what was before is not known, as for a moment behind a restart, or there is no such state, it is the balance as it is.
pub(crate) fn settled(reads: &dyn Reads, balanced: Balanced) -> Result<(Option<AccountBalance>, bool), ReadError> {
    let (Some(now), Some(frontier)) = (&balanced.balance, balanced.frontier) else {
        return Ok((balanced.balance, false));
    };
    // While a snapshot reads the transactions, there is no state that the source had.
    if frontier.is_partial || !is_after(now.commit_number, frontier.commit_number) {
        return Ok((balanced.balance, !frontier.is_partial));
    }
    match reads.former(now, frontier.commit_number)? {
        Located::Here(Reading { value: Some(former), .. }) => Ok((Some(former), true)),
        _ => Ok((balanced.balance, false)),
    }
}

fn is_after(newest: Option<i64>, commit_number: i64) -> bool {
    newest.is_some_and(|newest| newest > commit_number)
}

impl Known {
    /// Whether the balance is of a later transaction.
    fn is_after(&self, commit_number: i64) -> bool {
        is_after(self.account.as_ref().and_then(|account| account.commit_number), commit_number)
    }

    /// Whether it is what all transactions up to one have made, and no other.
    fn is_as_of(&self, commit_number: i64) -> bool {
        let is_complete = self.frontier.is_some_and(|complete| complete.commit_number >= commit_number);
        is_complete && !self.is_awaited && !self.is_after(commit_number)
    }
}

/// The newest transaction that is in all of them; `None`: the partition of one has not heard of any.
fn reached(known: &[Known]) -> Option<Complete> {
    let all: Option<Vec<Complete>> = known.iter().map(|known| known.frontier).collect();
    all?.into_iter().min_by_key(|complete| complete.commit_number)
}

/// All of them as of one transaction, if each is known that far back.
fn as_of(known: &[Known], complete: Complete, source_heard_at: Option<String>) -> Option<Balances> {
    let number = complete.commit_number;
    if !known.iter().all(|known| known.is_as_of(number)) {
        return None;
    }
    let is_none_yet = number == 0;
    let as_of = AsOfCommit {
        is_consistent: true,
        commit_number: Some(number),
        source_lsn: (!is_none_yet).then_some(complete.source_lsn),
        source_time: (!is_none_yet).then(|| instant(Micros(complete.source_ts))),
        is_assumed_complete: complete.is_assumed,
        source_heard_at,
    };
    answer(known, as_of).ok()
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
    answer(known, as_of).map_err(|error| Problem::internal(&error))
}

fn answer(known: &[Known], as_of: AsOfCommit) -> Result<Balances, MoneyError> {
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    for known in known {
        let account_id = AccountId(known.id);
        // A row that is gone may be ahead of its transactions, which go before it at the source.
        let is_there =
            |account: &&Account| !account.is_deleted || (account.booked, account.pending) != (account.opening, Money::ZERO);
        let Some(account) = known.account.as_ref().filter(is_there) else {
            missing.push(account_id);
            continue;
        };
        let available = account.booked.checked_sub(account.pending)?;
        items.push(BalanceTogether {
            account_id,
            customer_id: account.customer_id,
            currency: account.currency,
            booked: money(account.booked, account.currency),
            pending: money(account.pending, account.currency),
            available: money(available, account.currency),
        });
    }
    Ok(Balances { items, missing, as_of })
}

/// Amounts between instances.
mod text {
    use schemas::Money;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(amount: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn moving() -> Problem {
    Problem::not_ready("a part of the data is being restored or is moving to another instance")
}

impl From<AccountBalance> for Account {
    fn from(balance: AccountBalance) -> Self {
        Self {
            customer_id: balance.customer_id,
            currency: balance.currency,
            opening: balance.opening,
            is_deleted: balance.is_deleted,
            commit_number: balance.commit_number,
            booked: balance.booked,
            pending: balance.pending,
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
