//! Postings, statements, holds, balances of the past, and the streamed balance beside the source's.

use schemas::{AccountId, Currency, TransactionId, gold, silver, state};
use serde::{Deserialize, Serialize};
use topology::Micros;
use utoipa::ToSchema;

use super::{AsOf, instant, money};
use crate::routes::Group;

/// An entry of the journal, on this account. It never changes: a mistake is taken back by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Posting {
    /// Which posting of the account it is, from 1 on.
    #[schema(example = 17)]
    pub number: i64,
    /// Its name in the journal.
    #[schema(example = "8-1-0")]
    pub posting_id: String,
    /// Its transaction.
    #[schema(value_type = i64, example = 8)]
    pub transaction_id: TransactionId,
    /// The currency of the amounts; the account's may have changed since.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Above zero: to the account. Below: from it.
    #[schema(example = "-12.30")]
    pub amount: String,
    /// The account's booked balance with it.
    #[schema(example = "87.70")]
    pub balance_after: String,
    /// The posting that it takes back; null: none.
    #[schema(required, example = json!(null))]
    pub reverses: Option<String>,
    /// When its transaction was made, by the transaction's own time.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00Z")]
    pub effective_at: String,
    /// When the source committed it.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub booked_at: String,
    /// When it was known: as `booked_at`, or later where more was known by then. It never goes back from one posting to the next.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub recorded_at: String,
    /// The position in the source's log (LSN) of the change that made it.
    #[schema(example = 26_700_120)]
    pub source_lsn: i64,
}

impl From<silver::Posting> for Posting {
    fn from(posting: silver::Posting) -> Self {
        let amount = |amount| money(amount, posting.currency);
        Self {
            number: posting.entry_number.unwrap_or_default(),
            transaction_id: posting.transaction_id,
            currency: posting.currency,
            amount: amount(posting.amount),
            balance_after: amount(posting.balance_after.unwrap_or_default()),
            effective_at: instant(Micros(posting.effective_at.unwrap_or(posting.booked_at))),
            booked_at: instant(Micros(posting.booked_at)),
            recorded_at: instant(Micros(posting.recorded_at.unwrap_or(posting.booked_at))),
            source_lsn: posting.source_lsn,
            posting_id: posting.posting_id,
            reverses: posting.reverses,
        }
    }
}

/// Postings, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Postings {
    /// The postings.
    pub items: Vec<Posting>,
    /// Whether each transaction of the source is in it whole or not at all, as in `/accounts/{id}/balance`.
    pub is_whole: bool,
    /// To be sent as `before` for those that come next; null where there are none, or none is kept any longer.
    #[schema(required, example = 17)]
    pub next: Option<i64>,
}

/// An account's statement of a month: opening, postings, closing. A posting is in the month in which it was known, so a statement that is
/// closed does not change: what comes late for its month is in a later one, and says which month it corrects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// The month (UTC).
    #[schema(example = "2026-01")]
    pub month: String,
    /// The currency of the amounts, but for those of postings, which say their own: the account's at the month's end. It may change while the account has no transactions.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Booked when the month began.
    #[schema(example = "100.00")]
    pub opening: String,
    /// The currency of `opening`, where it was another one; else it is not there.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_currency: Option<Currency>,
    /// Booked when it ended, or so far.
    #[schema(example = "87.70")]
    pub closing: String,
    /// By how much the balance that the account opened with was changed since its last posting: its row was made anew, or corrected. It is in `closing`;
    /// where there was none, it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_change: Option<String>,
    /// How many postings the month has.
    #[schema(example = 1)]
    pub entries: i64,
    /// Whether the source's commits have passed the month's end: then it does not change any more.
    pub is_closed: bool,
    /// Whether each transaction of the source is in it whole or not at all, as in `/accounts/{id}/balance`.
    pub is_whole: bool,
    /// The month's postings, in order.
    pub items: Vec<Line>,
    /// To be sent as `after` for those that come next; null where there are none.
    #[schema(required, example = 17)]
    pub next: Option<i64>,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// The posting.
    #[serde(flatten)]
    pub posting: Posting,
    /// The month of the transaction's own time, where that is an earlier one: the line corrects its statement. Null: it is of this month.
    #[schema(required, example = json!(null))]
    pub corrects: Option<String>,
    /// By how much the balance that the account opened with was changed between the posting before and this one: its row was made anew, or
    /// corrected. It is in `balance_after`; where there was none, it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_change: Option<String>,
}

/// What was booked at an instant of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PastBalance {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// The currency of the amount.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What was booked: of transactions that were made until `effective_at`, what was known at `recorded_at`.
    #[schema(example = "112.30")]
    pub booked: String,
    /// As asked; null: whatever is booked.
    #[schema(required, format = DateTime)]
    pub effective_at: Option<String>,
    /// As asked; null: as known now.
    #[schema(required, format = DateTime)]
    pub recorded_at: Option<String>,
    /// How many of the account's postings were known.
    #[schema(example = 17)]
    pub known: i64,
    /// How many of these are of transactions later than `effective_at`, and not in `booked`.
    #[schema(example = 0)]
    pub later: i64,
    /// Whether the answer stays for good: with `recorded_at`, once a transaction of the bank is known that was committed behind it. Before, what was
    /// committed up to then may still be on its way.
    pub is_final: bool,
    /// Whether each transaction of the source is in it whole or not at all, as in `/accounts/{id}/balance`.
    pub is_whole: bool,
    /// What the answer reflects.
    pub as_of: AsOf,
}

/// What a pending withdrawal or transfer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// The transaction.
    #[schema(value_type = i64, example = 8)]
    pub transaction_id: TransactionId,
    /// How much.
    #[schema(example = "10.00")]
    pub amount: String,
    /// The transaction's own time.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00Z")]
    pub placed_at: String,
    /// When it was released since it had expired: it holds nothing any more, though the transaction is PENDING. Null: it holds.
    #[schema(required, format = DateTime)]
    pub released_at: Option<String>,
    /// The position in the source's log (LSN) of the change that placed it.
    #[schema(example = 26_700_120)]
    pub source_lsn: i64,
}

impl Hold {
    /// Of a transaction, in its account's currency.
    pub fn new(transaction_id: TransactionId, hold: &state::Hold, currency: Currency) -> Self {
        Self {
            transaction_id,
            amount: money(hold.amount, currency),
            placed_at: instant(Micros(hold.placed_at)),
            released_at: hold.released_at.map(Micros).map(instant),
            source_lsn: hold.source_lsn,
        }
    }
}

/// What a balance is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// The currency of all amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What the account had before the first posting that is added up here: what it opened with, if all are. Those that are no longer kept
    /// are not, nor those in another currency that the account had, and of very many the newest 500,000 are.
    #[schema(example = "100.00")]
    pub brought_forward: String,
    /// Sum of the postings that brought money.
    #[schema(example = "22.30")]
    pub credits: String,
    /// Sum of those that took some; not below zero.
    #[schema(example = "10.00")]
    pub debits: String,
    /// How many postings these are. `/accounts/{id}/postings` names them.
    #[schema(example = 3)]
    pub entries: i64,
    /// How many of them take back another one.
    #[schema(example = 0)]
    pub reversals: i64,
    /// By how much the balance that the account opened with was changed since the first of these: its row was made anew, or corrected, or what had
    /// been posted in another currency was taken back. Where it was not, it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_change: Option<String>,
    /// Brought forward, plus credits, less debits, plus a change of what it opened with.
    #[schema(example = "112.30")]
    pub booked: String,
    /// What pending transactions hold, one by one.
    pub holds: Vec<Hold>,
    /// Sum of the holds that are not released.
    #[schema(example = "10.00")]
    pub pending: String,
    /// Booked less pending.
    #[schema(example = "102.30")]
    pub available: String,
    /// The first posting of these; null: there is none.
    #[schema(required)]
    pub first: Option<Posting>,
    /// The last one.
    #[schema(required)]
    pub last: Option<Posting>,
    /// Whether what one transaction of the source does to the account is in it whole or not at all; while one is open that changes the account,
    /// `/accounts/{id}/balance` does not have it yet.
    pub is_whole: bool,
    /// What the answer reflects.
    pub as_of: AsOf,
}

/// An account's streamed balance beside the one that the source keeps, as of the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// The currency of the amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Opening plus all postings that were committed at the source until then.
    #[schema(example = "112.30")]
    pub streamed: String,
    /// What the source's row of the account says.
    #[schema(example = "112.30")]
    pub source: String,
    /// Streamed less source: zero where the books agree.
    #[schema(example = "0.00")]
    pub difference: String,
    /// Whether every transaction until then is known to have been counted; else nothing more came for a while.
    pub is_complete: bool,
    /// The position in the source's log (LSN) of the account's row.
    #[schema(example = 26_700_120)]
    pub source_lsn: i64,
    /// When the source committed it: both balances are as of then. One that agrees is written anew once a minute at most.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub source_time: String,
}

impl Group for Reconciliation {
    type Stored = gold::Reconciliation;

    fn of(row: &gold::Reconciliation) -> Self {
        let amount = |amount| money(amount, row.currency);
        Self {
            account_id: row.account_id,
            currency: row.currency,
            streamed: amount(row.streamed),
            source: amount(row.source),
            difference: amount(row.difference),
            is_complete: row.is_complete,
            source_lsn: row.source_lsn,
            source_time: instant(Micros(row.source_ts)),
        }
    }

    fn place(&self) -> String {
        place(self.account_id)
    }
}

/// Sorts as the ids do.
pub(crate) fn place(id: AccountId) -> String {
    format!("{:016x}", id.0.cast_unsigned() ^ (1 << 63))
}
