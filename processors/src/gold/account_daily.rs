//! Accounts by day.
//!
//! ```text
//!  postings, with reversals ─► by account and day ─► running ──┐
//!                                                              ├─ join ─► gold.account_daily
//!                                       terms of accounts ─────┘
//! ```
//!
//! A posting counts on the day of its transaction's own time, whenever it comes, and its reversal on the same day: so the days have what
//! stands now. Each day's row is kept with what all earlier days come to, in the order of days, in the account's own partition. A posting for
//! the newest day, as most are, changes one row; a late one changes its day, and what was brought into each later day that has a row.
//!
//! *Why not sums alone, and the opening when somebody asks?* The rows are a topic, and files of a lake: who reads a row reads its opening. *Why is
//! what the account opened with not among the sums?* It is the account's, whose row comes over another topic, earlier or later, and may
//! change: it is added behind them, as are its owner and kind.

use schemas::gold::AccountDay;
use schemas::silver::Posting;
use schemas::state::{AccountTerms, DaySums};
use schemas::{AccountId, Money, MoneyError};
use topology::dsl::{Parts, Stream, Table};

use super::sums::Sign;
use crate::stores;

/// A day, in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// The day of an instant, in days since the epoch, UTC.
pub fn day_of(instant_us: i64) -> i32 {
    // Instants that are kept are of years 1 to 9999.
    instant_us.div_euclid(DAY_US) as i32
}

/// The days of accounts, of the postings that are accounts' own and lie in their partitions.
pub fn account_daily(
    postings: &Stream<AccountId, Posting>,
    accounts: &Table<AccountId, AccountTerms>,
) -> Parts<AccountId, i32, AccountDay> {
    let day = |_: &AccountId, posting: &Posting| day_of(posting.effective_at.unwrap_or(posting.booked_at));
    let days = postings
        .group_by_key()
        .aggregate_running(stores::ACCOUNT_DAYS, day, with_posting, behind);
    days.try_join(accounts, account_day)
}

/// The day's sums with a posting, or without the one that it takes back.
fn with_posting(posting: &Posting, sums: Option<DaySums>) -> Result<Option<DaySums>, MoneyError> {
    let (sign, amount) = match posting.reverses {
        None => (Sign::Plus, posting.amount),
        Some(_) => (Sign::Minus, posting.amount.negated()),
    };
    let mut sums = match (sums, sign) {
        (Some(sums), _) => sums,
        (None, Sign::Plus) => DaySums::default(),
        // It was posted before days were kept.
        (None, Sign::Minus) => return Ok(None),
    };
    if amount < Money::ZERO {
        sums.debits = sign.money(sums.debits, amount.negated())?;
    } else {
        sums.credits = sign.money(sums.credits, amount)?;
    }
    sums.entries = sign.count(sums.entries, 1);
    Ok((sums.entries != 0).then_some(sums))
}

/// What a day comes to, with all before it.
fn left(sums: &DaySums) -> Result<Money, MoneyError> {
    sums.brought.checked_add(sums.credits)?.checked_sub(sums.debits)
}

/// A day's sums behind those of the one before it.
fn behind(before: Option<&DaySums>, sums: &DaySums) -> Result<DaySums, MoneyError> {
    let brought = before.map_or(Ok(Money::ZERO), left)?;
    Ok(DaySums { brought, ..*sums })
}

/// The row of a day, of its sums and the account's terms.
///
/// # Errors
///
/// An amount is too large to be exact.
pub fn account_day((account, day): &(AccountId, i32), sums: &DaySums, terms: &AccountTerms) -> Result<AccountDay, MoneyError> {
    Ok(AccountDay {
        account_id: *account,
        day: *day,
        customer_id: terms.customer_id,
        account_type: terms.account_type,
        currency: terms.currency,
        opening: terms.opening_balance.checked_add(sums.brought)?,
        credits: sums.credits,
        debits: sums.debits,
        entries: sums.entries,
        closing: terms.opening_balance.checked_add(left(sums)?)?,
    })
}
