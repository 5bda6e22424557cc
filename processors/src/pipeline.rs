//! The whole bank, on one page.
//!
//! ```text
//!  bank.public.customers ────► apply ──► silver.customers
//!  bank.public.accounts ─────► apply ──► silver.accounts ────────────┐
//!  bank.public.transactions ─► apply ──► silver.transactions         ├─► post-to-balance ──► gold.account_balances
//!                                  └───► journal ──► riverbank-legs ─┘                  └──► silver.postings
//!  what breaks a rule ───────► silver.rejected
//! ```

use schemas::bronze::{CdcKey, Envelope};
use schemas::topics::*;
use topology::dsl::{Builder, Stream};
use topology::{EngineError, Topology};
use wire::{Topic, Wire};

use crate::gold::{AccountEvent, LedgerEntry, PostToBalance};
use crate::silver::{Accounts, Apply, Customers, Entity, Journal, Outcome, Transactions};

/// The application's name: its consumer group, and the prefix of its internal topics.
pub const APPLICATION: &str = "riverbank";

/// Builds the bank.
pub fn bank() -> Result<Topology, EngineError> {
    let b = Builder::new(APPLICATION);

    let customers = apply::<Customers>(&b, CDC_CUSTOMERS);
    customers
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_CUSTOMERS);

    let accounts = apply::<Accounts>(&b, CDC_ACCOUNTS);
    accounts
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_ACCOUNTS);

    let transactions = apply::<Transactions>(&b, CDC_TRANSACTIONS);
    transactions
        .flat_map_values(|_, outcome| outcome.row())
        .to_compacted(SILVER_TRANSACTIONS);

    let legs = transactions
        .flat_map_values(|_, outcome| outcome.changed())
        .process(|| Journal)
        .rekeyed()
        .repartition(LEGS);
    let rows = b.changes(SILVER_ACCOUNTS).map_values(|_, row| AccountEvent::Row(row.clone()));
    let ledger = rows
        .merge(&legs.map_values(|_, leg| AccountEvent::Leg(leg.clone())))
        .process(|| PostToBalance);
    ledger
        .flat_map_values(|_, entry| match entry {
            LedgerEntry::Posting(posting) => Some(posting.clone()),
            LedgerEntry::Rejected(_) => None,
        })
        .to(SILVER_POSTINGS);

    reject(&customers, |id| id.0);
    reject(&accounts, |id| id.0);
    reject(&transactions, |id| id.0);
    ledger
        .flat_map(|id, entry| match entry {
            LedgerEntry::Posting(_) => None,
            LedgerEntry::Rejected(rejected) => Some((id.0, rejected.clone())),
        })
        .to(SILVER_REJECTED);

    b.build()
}

/// A table's changes, each once, at the time of their commit.
fn apply<E: Entity>(b: &Builder, topic: Topic<CdcKey, Envelope<E::Row>>) -> Stream<E::Id, Outcome<E::Clean>>
where
    Envelope<E::Row>: Wire,
{
    b.stream_at(topic, |_, event, _| event.source.committed_at_us() / 1000)
        .process(Apply::<E>::default)
}

fn reject<K: Clone + Send + 'static, T: Clone + Send + 'static>(
    outcomes: &Stream<K, Outcome<T>>,
    id: impl Fn(&K) -> i64 + Clone + Send + Sync + 'static,
) {
    outcomes
        .flat_map(move |key, outcome| outcome.rejected().map(|rejected| (id(key), rejected)))
        .to(SILVER_REJECTED);
}
