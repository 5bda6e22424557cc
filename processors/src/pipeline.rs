//! The whole bank, on one page.
//!
//! ```text
//!  bank.public.customers ────► apply ──► silver.customers
//!                                  └───► customer-history ──► gold.customer_history
//!  bank.public.accounts ─────► apply ──► silver.accounts ────────────┐
//!                                  └───► account-history ───► gold.account_history
//!  bank.public.transactions ─► apply ──► silver.transactions         ├─► post-to-balance ──► gold.account_balances
//!  bank.transaction ─► ends ───────────► journal ──► riverbank-legs ─┘                  └──► silver.postings
//!  what breaks a rule ───────► silver.rejected
//!
//!  silver.postings ──► keep-postings, for statements and balances of the past ──┐
//!  silver.accounts, with the source's own balances ─────────────────────────────┴─► reconcile ──► gold.reconciliation
//!
//!  silver.accounts, gold.account_balances ──► by customer and currency ────────────► gold.customer_positions
//!  silver.postings, silver.accounts ────────► by account and day ───────────────────► gold.account_daily
//!  gold.account_daily, silver.accounts ─────► by day, type of account and currency ─► gold.bank_daily
//!  silver.transactions, account-history ────► the version in force at its time ─────► gold.transactions
//!  gold.transactions ───────────────────────► by minute, type, status and currency ─► gold.transaction_minutes
//! ```

use std::time::Duration;

use schemas::TransactionId;
use schemas::bronze::{CdcKey, Envelope, Op, Row};
use schemas::silver::ForAccounts;
use schemas::state::{AccountTerms, AccountTimeline, Applied};
use schemas::topics::*;
use topology::dsl::{Builder, Stream};
use topology::store::StoreValue;
use topology::{EngineError, Millis, OffsetReset, Topology};
use wire::{Topic, Wire};

use crate::gold::{
    AccountEvent, KeepPostings, LedgerEntry, PostToBalance, Reconcile, ToReconcile, account_daily, bank_daily,
    customer_positions, transaction_facts, transaction_minutes,
};
use crate::scd2::{AccountHistory, CustomerHistory, Dimension, History};
use crate::silver::{Accounts, Apply, Customers, Entered, Entity, Journal, Outcome, ToJournal, Transactions, transaction_end};
use crate::stores;

/// The application's name: its consumer group, and the prefix of its internal topics.
pub const APPLICATION: &str = "riverbank";

/// The key of an end, which is of no row.
const NO_TRANSACTION: TransactionId = TransactionId(0);

/// How many partitions the topics of the change log have.
///
/// One is the default, and the one that keeps a sequence a sequence: Postgres commits one change after the other, the connector
/// sends them so, and a balance then only ever is what a prefix of the commits makes. Over several partitions the changes of an
/// account's transactions overtake each other, and while they do, balances are served that never were; in the end they are right.
/// Topics of several partitions (somebody has filled them already) are read all the same: each row's events are brought
/// together by its id first, since with an Avro key the partition of a row changes with the key's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePartitions {
    /// Of the customers' topic.
    pub customers: u32,
    /// Of the accounts' topic.
    pub accounts: u32,
    /// Of the transactions' topic.
    pub transactions: u32,
    /// Of the topic where transactions begin and end: any number will do.
    pub metadata: u32,
}

impl Default for SourcePartitions {
    fn default() -> Self {
        Self {
            customers: 1,
            accounts: 1,
            transactions: 1,
            metadata: 1,
        }
    }
}

impl SourcePartitions {
    /// Whether balances follow the order of the source's commits.
    pub fn in_commit_order(&self) -> bool {
        self.accounts == 1 && self.transactions == 1
    }
}

/// What of the bank can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankSettings {
    /// Of the change log.
    pub partitions: SourcePartitions,
    /// How long after its transaction's own time a hold expires; `None`: never.
    pub hold_expiry: Option<Duration>,
    /// How long postings are kept for statements and balances of the past; `None`: for good. The topic and the lake have them in any case.
    pub postings_kept: Option<Duration>,
}

impl Default for BankSettings {
    /// Holds expire after a week, and postings are kept for good.
    fn default() -> Self {
        Self {
            partitions: SourcePartitions::default(),
            hold_expiry: Some(Duration::from_secs(7 * 86_400)),
            postings_kept: None,
        }
    }
}

/// Builds the bank.
pub fn bank(settings: BankSettings) -> Result<Topology, EngineError> {
    let partitions = settings.partitions;
    let b = Builder::new(APPLICATION);

    let customers = apply::<Customers>(&b, CDC_CUSTOMERS, partitions.customers, CUSTOMERS_BY_ID);
    customers
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_CUSTOMERS);
    let _ = history::<CustomerHistory>(&customers);

    let accounts = apply::<Accounts>(&b, CDC_ACCOUNTS, partitions.accounts, ACCOUNTS_BY_ID);
    accounts
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_ACCOUNTS);
    let timelines = history::<AccountHistory>(&accounts)
        .map_values(|_, versions| AccountTimeline::from(&versions[..]))
        .rekeyed()
        .repartition(ACCOUNT_TIMELINES)
        .to_table_on_change(stores::ACCOUNT_TIMELINES);

    let transactions = apply::<Transactions>(&b, CDC_TRANSACTIONS, partitions.transactions, TRANSACTIONS_BY_ID);
    transactions
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_TRANSACTIONS);

    let in_order = partitions.transactions == 1;
    let changes = transactions.flat_map_values(|_, outcome| outcome.changed().map(ToJournal::Changed));
    // By themselves: whatever is wrong with that topic, the changes go on. What was told before the start, changes have shown since.
    b.partitions(CDC_TRANSACTION_METADATA, 1);
    b.offset_reset(CDC_TRANSACTION_METADATA, OffsetReset::Latest);
    let ends = b
        .stream_by(
            CDC_TRANSACTION_METADATA,
            |_, _| Ok(NO_TRANSACTION),
            |_, metadata, _| Millis(metadata.ts_ms),
        )
        .flat_map_values(|_, metadata| transaction_end(metadata))
        .rekeyed()
        .repartition_with(TRANSACTION_ENDS, 1)
        .map_values(|_, ended| ToJournal::Ended(*ended));
    let entered = changes.merge(&ends).process(
        "journal",
        (stores::POSTED, stores::SOURCE_FRONTIER, stores::TRANSACTIONS_TABLE),
        move || Journal::new(in_order),
    );
    let legs = entered.flat_map_values(|_, entered| match entered {
        Entered::Leg(leg) => Some(ForAccounts::Leg(leg.clone())),
        Entered::Frontier(_) => None,
    });
    let frontier = entered
        .flat_map_values(|_, entered| match entered {
            Entered::Frontier(change) => Some(change.clone()),
            Entered::Leg(_) => None,
        })
        .as_table(stores::SOURCE_FRONTIER)
        .cached("source-frontier-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .flat_map_values(|_, frontier| frontier.map(ForAccounts::Frontier));
    let for_accounts = legs
        .merge(&frontier)
        .rekeyed()
        .repartition_by(LEGS, |_, told| matches!(told, ForAccounts::Frontier(_)));
    let account_rows = b.changes(SILVER_ACCOUNTS);
    let rows = account_rows.map_values(|_, row| AccountEvent::Row(row.clone()));
    let ledger = rows
        .merge(&for_accounts.map_values(|_, told| AccountEvent::from(told.clone())))
        .process(
            "post-to-balance",
            (
                stores::BALANCES,
                stores::WAITING,
                stores::OVERDUE,
                stores::FRONTIER,
                stores::HOLDS,
                stores::HOLDS_PLACED,
                stores::FORMER,
                stores::OPENINGS,
                stores::POSTINGS,
            ),
            move || PostToBalance::new(settings.hold_expiry),
        );
    let postings = ledger.flat_map_values(|_, entry| match entry {
        LedgerEntry::Posting(posting) => Some(posting.clone()),
        LedgerEntry::Balance(_) | LedgerEntry::Rejected(_) => None,
    });
    postings.to(SILVER_POSTINGS);

    let terms = account_rows
        .map_values(|_, row| row.as_ref().map(AccountTerms::from))
        .to_table_on_change(stores::ACCOUNT_TERMS);
    let balances = ledger
        .flat_map_values(|_, entry| match entry {
            LedgerEntry::Balance(change) => Some(change.clone()),
            LedgerEntry::Posting(_) | LedgerEntry::Rejected(_) => None,
        })
        .as_table(stores::BALANCES);
    customer_positions(&terms, &balances)
        .cached("customer-positions-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .to_compacted(CUSTOMER_POSITIONS);
    let of_accounts = postings.filter(|_, posting| !posting.is_cash);
    let kept = of_accounts.process("keep-postings", (stores::POSTINGS, stores::POSTINGS_AHEAD), move || {
        KeepPostings::new(settings.postings_kept)
    });
    let frontiers = for_accounts.flat_map_values(|_, told| match told {
        ForAccounts::Frontier(frontier) => Some(ToReconcile::Frontier(*frontier)),
        ForAccounts::Leg(_) => None,
    });
    let to_reconcile = account_rows.map_values(|_, row| ToReconcile::Row(row.clone()));
    to_reconcile
        .merge(&kept.map_values(|_, posting| ToReconcile::Posting(posting.clone())))
        .merge(&frontiers)
        .process(
            "reconcile",
            (
                stores::BALANCES,
                stores::POSTINGS,
                stores::RECONCILED,
                stores::TO_RECONCILE,
                stores::DIFFERENT,
                stores::FRONTIER,
            ),
            Reconcile::default,
        );
    let days = account_daily(&of_accounts, &terms);
    days.cached("account-days-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .to_compacted(ACCOUNT_DAILY);
    bank_daily(&days, &terms)
        .cached("bank-days-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .to_compacted(BANK_DAILY);
    let facts = transaction_facts(&b.table(SILVER_TRANSACTIONS, stores::TRANSACTION_ROWS), &timelines);
    facts
        .cached("transaction-facts-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .to_compacted(TRANSACTION_FACTS);
    transaction_minutes(&facts)
        .cached("transaction-minutes-told", stores::HELD_BYTES_MAX)
        .to_stream()
        .to_compacted(TRANSACTION_MINUTES);

    reject(&customers, |id| id.0);
    reject(&accounts, |id| id.0);
    reject(&transactions, |id| id.0);
    ledger
        .flat_map(|id, entry| match entry {
            LedgerEntry::Balance(_) | LedgerEntry::Posting(_) => None,
            LedgerEntry::Rejected(rejected) => Some((id.0, rejected.clone())),
        })
        .to(SILVER_REJECTED);

    b.build()
}

/// A table's changes, each once, at the time of their commit.
fn apply<E: Entity>(
    b: &Builder,
    topic: Topic<CdcKey, Envelope<E::Row>>,
    partitions: u32,
    by_id: Topic<CdcKey, Envelope<E::Row>>,
) -> Stream<E::Id, Outcome<E::Clean>>
where
    Envelope<E::Row>: Wire + Clone,
    E::Row: Row,
    Applied<E::Clean>: StoreValue,
{
    b.partitions(topic, 1);
    let events = b.stream_by(topic, row_id, |_, event, _| event.source.committed_at_us().to_millis());
    let in_order = partitions == 1;
    let events = if in_order {
        events
    } else {
        events.rekeyed().repartition_with(by_id, 1)
    };
    events.process(E::NAME, (E::ROWS, E::TABLE), move || Apply::<E>::new(in_order))
}

/// The versions of a table's rows; returned are all versions of a row whenever one of them changes, where that is told.
fn history<D: Dimension>(outcomes: &Stream<D::Id, Outcome<D::Row>>) -> Stream<D::Id, Vec<D::Version>> {
    outcomes
        .flat_map_values(|_, outcome| D::tracked(outcome))
        .process(D::NAME, (D::VERSIONS, D::NEWEST), History::<D>::default)
}

/// The row's own id; the key's where the event shows no row, and none where the event is of no row.
fn row_id<R: Row>(key: Option<&CdcKey>, event: &Envelope<R>) -> Result<CdcKey, String> {
    match (event.row_id(), key) {
        (Some(id), _) => Ok(CdcKey { id }),
        (None, Some(key)) => Ok(*key),
        (None, None) if event.op == Op::Truncate => Ok(CdcKey { id: i64::MIN }),
        (None, None) => Err("neither its key nor its value tells the row's id".to_owned()),
    }
}

fn reject<K: Clone + Send + 'static, T: Clone + Send + 'static>(
    outcomes: &Stream<K, Outcome<T>>,
    id: impl Fn(&K) -> i64 + Clone + Send + Sync + 'static,
) {
    outcomes
        .flat_map(move |key, outcome| outcome.rejected().map(|rejected| (id(key), rejected)))
        .to(SILVER_REJECTED);
}
