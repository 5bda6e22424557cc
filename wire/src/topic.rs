//! Typed topic names.

use std::fmt;
use std::marker::PhantomData;

/// A topic: its name, and the types of its keys and values. Declared once as a `const`, and passed by value.
pub struct Topic<K, V> {
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Topic<K, V> {
    /// A topic of this name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            types: PhantomData,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The registry's subject for its keys.
    pub fn key_subject(&self) -> String {
        format!("{}-key", self.name)
    }

    /// The registry's subject for its values.
    pub fn value_subject(&self) -> String {
        format!("{}-value", self.name)
    }
}

impl<K, V> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Topic<K, V> {}

impl<K, V> fmt::Debug for Topic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.name)
    }
}
