//! The values that steps are measured on, one by one: by time in `benches/hot_path.rs`, by instructions in [`crate::steps`].

use std::sync::Arc;

use schemas::Money;
use wire::{Codec, Registry, Wire, WireError};

use crate::reference::input::{Changes, SCHEMA};
use crate::reference::program::OneSchema;
use crate::reference::work::{Balance, Change, Posting, postings};

/// A registry that knows the schema of the change events.
pub fn registry() -> Arc<dyn Registry> {
    Arc::new(OneSchema::new(SCHEMA))
}

/// Values of so many change events.
pub fn envelopes(count: usize, accounts: i64) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut changes = Changes::new(1, accounts)?;
    (0..count).map(|_| Ok(changes.event()?.value)).collect()
}

/// A posting, as the first change event has it.
pub fn posting() -> anyhow::Result<Posting> {
    let codec = Codec::reader(registry());
    let change = Change::decode(&envelopes(1, 100_000)?[0], &codec)?;
    postings(&change)
        .next()
        .ok_or_else(|| anyhow::anyhow!("the first change is an insert"))
}

/// A balance.
pub fn balance() -> Balance {
    Balance {
        account_id: 12_345,
        balance: Money::from_hundredths(-1_234_567),
        postings: 17,
    }
}

/// A codec for a type of ours.
pub fn codec<T: Wire>() -> Result<Codec, WireError> {
    Codec::register::<T>(registry(), "values")
}
