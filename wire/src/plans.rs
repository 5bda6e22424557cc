//! Plans by schema id, read without a lock.

use std::sync::OnceLock;

use crate::avro::Plan;

/// Lists by the id's last bits: registries give ids in sequence.
const LISTS: usize = 16;

/// Plans are only added, and as many as a topic has schemas: versions of one, mostly.
#[derive(Default)]
pub(crate) struct Plans([List; LISTS]);

#[derive(Default)]
struct List(OnceLock<Box<Known>>);

struct Known {
    id: u32,
    plan: Plan,
    next: List,
}

impl Plans {
    #[inline]
    #[cfg(feature = "avro")]
    pub fn get(&self, id: u32) -> Option<&Plan> {
        let mut list = &self.0[id as usize % LISTS];
        loop {
            let known = list.0.get()?;
            if known.id == id {
                return Some(&known.plan);
            }
            list = &known.next;
        }
    }

    /// Adds a plan, unless another thread was faster.
    pub fn add(&self, id: u32, plan: Plan) -> &Plan {
        let mut list = &self.0[id as usize % LISTS];
        let mut new = Some(plan);
        loop {
            let known = list.0.get_or_init(|| {
                let plan = new.take().expect("a list is joined once");
                let next = List::default();
                Box::new(Known { id, plan, next })
            });
            if known.id == id {
                return &known.plan;
            }
            list = &known.next;
        }
    }
}
