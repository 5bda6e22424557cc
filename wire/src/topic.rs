//! Typed topic names.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use parking_lot::Mutex;

/// A name that is known at run time only, as one from settings. It lives as long as the process, and equal names are one: so
/// topics and stores are passed by value, whether they are `const` or not.
pub fn name(text: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    if let Some(known) = names.get(text) {
        return known;
    }
    let name: &'static str = Box::leak(text.into());
    names.insert(name);
    name
}

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

    /// The same, under a name that is known at run time only.
    pub fn named(text: &str) -> Self {
        Self::new(name(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one() {
        let (one, other) = (name(&format!("a-{}", 1)), name("a-1"));
        assert!(std::ptr::eq(one, other));
        assert_eq!(Topic::<i64, i64>::named("a-1").name(), one);
    }
}
