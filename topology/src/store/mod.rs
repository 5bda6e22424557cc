//! State: typed stores beneath three layers.
//!
//! ```text
//!   put/delete ──► uncommitted   the open transaction's writes, this task's alone
//!                      │ the Kafka transaction has committed
//!                      ▼
//!                  committed     visible to queries, in one step for all stores of the task
//!                      │ every flush interval, off the worker's path
//!                      ▼
//!                  backend       RocksDB: one batch with the changelog positions that it reflects
//! ```
//!
//! Nothing uncommitted ever reaches the backend, so nothing there ever has to be wiped: a crash costs a replay of the
//! changelog's last seconds. A store is a `const` [`KeyValue`]: a name with its types, and where its changes are kept.

mod ahead;
mod backend;
mod committed;
mod expiring;
#[cfg(feature = "rocksdb")]
mod folder;
mod key_value;
mod layer;
mod layers;
mod live;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
mod set;
mod versioned;
mod view;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::hash::Hash;

use parking_lot::Mutex;
use wire::{OrderedKey, Wire};

pub(crate) use backend::{AnyStore, FlushPart, LookedUp, StoreContext, StoreDef, changelog_name, store_times};
pub use backend::{Backend, Backends, Batch, Entries, Stored};
pub(crate) use expiring::{Expiring, Present, times_of};
pub use key_value::{KeyValue, Timestamped, TimestampedKeyValue};
pub(crate) use layer::Span;
pub use layers::KeyValueStore;
pub use memory::MemoryBackends;
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksBackends, RocksSettings};
pub(crate) use set::{Definitions, Slots, TaskStores};
pub use set::{Store, StoreSet};
pub use versioned::{Put, Version, Versioned, VersionedStore};
pub use view::View;

/// Settings that are known at run time only. As names do, they live as long as the process, and equal ones are one.
pub(crate) fn changelog_settings<N: AsRef<str>, V: Display>(settings: impl IntoIterator<Item = (N, V)>) -> ChangelogSettings {
    static KNOWN: Mutex<BTreeSet<ChangelogSettings>> = Mutex::new(BTreeSet::new());
    let settings = settings.into_iter();
    let settings: Vec<_> = settings
        .map(|(name, value)| (wire::name(name.as_ref()), wire::name(&value.to_string())))
        .collect();
    let mut known = KNOWN.lock();
    if let Some(known) = known.get(settings.as_slice()) {
        return known;
    }
    let settings: ChangelogSettings = settings.leak();
    known.insert(settings);
    settings
}

/// What can be a store's key.
pub trait StoreKey: Wire + OrderedKey + Hash + Eq + Clone {}
impl<T: Wire + OrderedKey + Hash + Eq + Clone> StoreKey for T {}

/// What can be a store's value.
pub trait StoreValue: Wire + Clone {}
impl<T: Wire + Clone> StoreValue for T {}

/// Where a store's changes are kept, to restore it from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// An internal compacted topic, `<application>-<store>-changelog`.
    Changelog,
    /// A public compacted topic that holds the same data: one write serves both.
    Topic(&'static str),
    /// Nowhere: the store is empty whenever its task is opened. See [`KeyValue::without_changelog`].
    Nowhere,
}

/// What a changelog's topic is made with, by Kafka's names, beside [`crate::EngineSettings::topics`]; checked when the topology is built.
pub type ChangelogSettings = &'static [(&'static str, &'static str)];
