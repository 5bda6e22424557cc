//! What a struct wants of a record: worked out when they first meet, and kept with the record.

use super::found::{View, Wanted};
use super::plan::{Plan, Record};
use super::skip;

impl Record {
    /// The view of a struct with these names.
    #[inline]
    pub fn view(&self, plan: &Plan, names: &'static [&'static str]) -> &View {
        self.views.of(names, || view(plan, self, names))
    }
}

#[cold]
fn view(plan: &Plan, record: &Record, names: &'static [&'static str]) -> View {
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
    View {
        names,
        in_order: in_order && wanted.len() == names.len(),
        wanted,
        tail: steps,
    }
}
