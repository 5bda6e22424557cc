//! What was found out once about a plan or a record, and is kept with it: lists that only grow, to as many as the program has
//! types. Reading them takes no lock.

use std::sync::OnceLock;

use super::step::{NodeId, Step};

/// By what it was found out: text, or texts, that live for ever, and so are the same whenever place and length are.
pub(crate) trait Found {
    type Key: ?Sized + 'static;
    fn key(&self) -> &'static Self::Key;
}

/// What was found out, by key.
pub(crate) struct List<T>(OnceLock<Box<Link<T>>>);

struct Link<T> {
    found: T,
    next: List<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Found> List<T> {
    /// What was found out by this key, or is now.
    #[inline]
    pub fn of(&self, key: &'static T::Key, find: impl FnOnce() -> T) -> &T {
        let (mut list, mut find) = (self, Some(find));
        loop {
            let link = match list.0.get() {
                Some(link) => link,
                None => list.0.get_or_init(|| {
                    let find = find.take().expect("it is found once, and returned then");
                    Box::new(Link {
                        found: find(),
                        next: Self::default(),
                    })
                }),
            };
            if std::ptr::eq(link.found.key(), key) {
                return &link.found;
            }
            list = &link.next;
        }
    }
}

/// Whether a type may be read by a plan.
pub(crate) struct Fit {
    /// The type's own schema.
    pub schema: &'static str,
    /// Where the plan is none of its: the name that it needs.
    pub needs: Option<String>,
}

impl Found for Fit {
    type Key = str;
    fn key(&self) -> &'static str {
        self.schema
    }
}

pub(crate) struct View {
    /// The struct's names of its fields, aliases among them.
    pub names: &'static [&'static str],
    /// The wanted fields, in the writer's order.
    pub wanted: Vec<Wanted>,
    /// Over what comes after them.
    pub tail: Vec<Step>,
    /// Whether the writer has all the names, and in their order: the struct can then be read as a sequence, without its keys.
    pub in_order: bool,
}

pub(crate) struct Wanted {
    /// Over what comes before it.
    pub before: Vec<Step>,
    pub name: &'static str,
    pub node: NodeId,
}

impl Found for View {
    type Key = [&'static str];
    fn key(&self) -> &'static [&'static str] {
        self.names
    }
}
