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
mod folder;
mod layer;
mod layers;
mod memory;
mod rocks;
mod set;
mod view;

use std::hash::Hash;
use std::marker::PhantomData;

use wire::{OrderedKey, Topic, Wire};

pub(crate) use backend::{AnyStore, FlushPart, LookedUp, StoreContext, StoreDef};
pub use backend::{Backend, Backends, Batch, Entries, Stored};
pub use layers::KeyValueStore;
pub use memory::MemoryBackends;
pub use rocks::{RocksBackends, RocksSettings};
pub(crate) use set::Slots;
pub use set::StoreSet;
pub use view::View;

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
}

/// A key-value store: its name and its types.
pub struct KeyValue<K, V> {
    name: &'static str,
    backing: Backing,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> KeyValue<K, V> {
    /// A store with a changelog of its own.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            backing: Backing::Changelog,
            types: PhantomData,
        }
    }

    /// A store whose changelog is this public compacted topic. Its records are the last value of each key in each
    /// transaction, which is all that a reader of committed records could rely on anyway.
    pub const fn backed_by(name: &'static str, topic: Topic<K, V>) -> Self {
        Self {
            name,
            backing: Backing::Topic(topic.name()),
            types: PhantomData,
        }
    }

    /// The store's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where its changes are kept.
    pub const fn backing(&self) -> Backing {
        self.backing
    }
}

impl<K, V> Clone for KeyValue<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for KeyValue<K, V> {}
