//! What a struct wants of a record: worked out when they first meet, and kept with the record.

use std::sync::OnceLock;

use super::plan::{NodeId, Plan, Record};
use super::skip::{self, Step};

/// A record's views, one for each struct that it was ever read as: a list that only grows, to as many as the program has types.
/// Reading it takes no lock.
#[derive(Default)]
pub(crate) struct Views(OnceLock<Box<Link>>);

struct Link {
    view: View,
    next: Views,
}

pub(crate) struct View {
    /// The struct's names of its fields, aliases among them.
    names: &'static [&'static str],
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

impl Views {
    /// The view of a struct with these names.
    #[inline]
    pub fn of(&self, plan: &Plan, record: &Record, names: &'static [&'static str]) -> &View {
        let mut views = self;
        loop {
            let link = match views.0.get() {
                Some(link) => link,
                None => views.0.get_or_init(|| {
                    Box::new(Link {
                        view: View::new(plan, record, names),
                        next: Views::default(),
                    })
                }),
            };
            // What lives for ever is the same whenever place and length are.
            if std::ptr::eq(link.view.names, names) {
                return &link.view;
            }
            views = &link.next;
        }
    }
}

impl View {
    #[cold]
    fn new(plan: &Plan, record: &Record, names: &'static [&'static str]) -> Self {
        let (mut wanted, mut steps) = (Vec::new(), Vec::new());
        let mut in_order = true;
        for field in &record.fields {
            match names.iter().position(|name| *name == field.name) {
                Some(index) => {
                    in_order &= index == wanted.len();
                    wanted.push(Wanted {
                        before: std::mem::take(&mut steps),
                        name: names[index],
                        node: field.node,
                    });
                }
                None => skip::add_steps(plan, field.node, &mut steps),
            }
        }
        Self {
            names,
            in_order: in_order && wanted.len() == names.len(),
            wanted,
            tail: steps,
        }
    }
}
