//! What a query sees of a store: the committed state of one task.

use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;

use super::committed::Shared;
use super::layer::Span;
use super::{StoreKey, StoreValue};
use crate::error::StoreError;

/// The committed state of one partition of a store. Cheap to clone; every call sees the newest commit.
pub struct View<K, V> {
    shared: Arc<Shared<K, V>>,
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K: StoreKey, V: StoreValue> View<K, V> {
    pub(crate) fn new(shared: Arc<Shared<K, V>>) -> Self {
        Self { shared }
    }

    /// The committed value of a key.
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        self.shared.get(key)
    }

    /// Visits the committed keys of a range in order, until told to stop.
    pub fn scan(&self, range: impl RangeBounds<K>, mut visit: impl FnMut(K, V) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.shared.scan(&Span::of(&range), &mut visit)
    }

    /// The same of a range of the keys' bytes.
    pub(crate) fn scan_span(&self, span: &Span, mut visit: impl FnMut(K, V) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.shared.scan(span, &mut visit)
    }

    /// All of it, in key order. For tests and small stores.
    pub fn to_vec(&self) -> Result<Vec<(K, V)>, StoreError> {
        let mut all = Vec::new();
        self.scan(.., |key, value| {
            all.push((key, value));
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }
}
