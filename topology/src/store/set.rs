//! How a processor names its stores: one, or a tuple of them, handed out as disjoint `&mut`s.

use clock::Millis;

use super::backend::{AnyStore, StoreDef};

mod sealed {
    use super::{AnyStore, StoreDef};

    /// Keeps the engine's inner types out of the public traits' contract.
    pub struct Slots<'t> {
        /// The task's stores.
        pub(crate) all: &'t mut [Box<dyn AnyStore>],
        /// Where the processor's stand among them, in its order.
        pub(crate) at: &'t [usize],
    }
    pub struct Definitions(pub(crate) Vec<StoreDef>);
}
pub(crate) use sealed::{Definitions, Slots};

/// A kind of store: a name with types, and what a processor is handed to work with.
pub trait Store: Copy + Send + Sync + 'static {
    /// What a processor works with.
    type Handle: 'static;
    /// Its name, unique in the topology.
    fn name(&self) -> &'static str;
    #[doc(hidden)]
    fn definition(&self) -> Definitions;
}

/// The stores of a processor: `()`, a [`Store`], or a tuple of them.
pub trait StoreSet: Send + Sync + 'static {
    /// What the processor gets in its context.
    type Handles<'t>;
    #[doc(hidden)]
    fn definitions(&self) -> Definitions;
    #[doc(hidden)]
    fn handles(slots: Slots<'_>) -> Self::Handles<'_>;
}

impl StoreSet for () {
    type Handles<'t> = ();
    fn definitions(&self) -> Definitions {
        Definitions(Vec::new())
    }
    fn handles(_: Slots<'_>) {}
}

fn typed<S: Store>(slot: &mut Box<dyn AnyStore>) -> &mut S::Handle {
    // The graph refuses two stores of one name with different types, so the slot has the type of its definition.
    slot.as_any_mut()
        .downcast_mut()
        .expect("a store has the types of its definition")
}

impl<S: Store> StoreSet for S {
    type Handles<'t> = &'t mut S::Handle;
    fn definitions(&self) -> Definitions {
        self.definition()
    }
    fn handles(slots: Slots<'_>) -> Self::Handles<'_> {
        typed::<S>(&mut slots.all[slots.at[0]])
    }
}

macro_rules! tuple {
    ($(($store:ident, $i:tt)),+) => {
        impl<$($store: Store),+> StoreSet for ($($store,)+) {
            type Handles<'t> = ($(&'t mut $store::Handle,)+);
            fn definitions(&self) -> Definitions {
                Definitions([$(self.$i.definition().0),+].into_iter().flatten().collect())
            }
            fn handles(slots: Slots<'_>) -> Self::Handles<'_> {
                let mine = slots.all.get_disjoint_mut([$(slots.at[$i]),+]);
                let mut mine = mine.expect("a processor's stores are different ones").into_iter();
                ($(typed::<$store>(mine.next().expect("one for each type")),)+)
            }
        }
    };
}
tuple!((S0, 0));
tuple!((S0, 0), (S1, 1));
tuple!((S0, 0), (S1, 1), (S2, 2));
tuple!((S0, 0), (S1, 1), (S2, 2), (S3, 3));
tuple!((S0, 0), (S1, 1), (S2, 2), (S3, 3), (S4, 4));
tuple!((S0, 0), (S1, 1), (S2, 2), (S3, 3), (S4, 4), (S5, 5));
tuple!((S0, 0), (S1, 1), (S2, 2), (S3, 3), (S4, 4), (S5, 5), (S6, 6));
tuple!((S0, 0), (S1, 1), (S2, 2), (S3, 3), (S4, 4), (S5, 5), (S6, 6), (S7, 7));
tuple!(
    (S0, 0),
    (S1, 1),
    (S2, 2),
    (S3, 3),
    (S4, 4),
    (S5, 5),
    (S6, 6),
    (S7, 7),
    (S8, 8)
);

/// The stores of a task, for operators that are put together at run time.
pub(crate) struct TaskStores<'a> {
    pub all: &'a mut [Box<dyn AnyStore>],
    /// The highest event time that the task has seen; kept where rows expire.
    pub stream_time_ms: Option<Millis>,
}

impl TaskStores<'_> {
    /// A store of the task, which the operator was declared with.
    pub fn get<S: Store>(&mut self, store: S) -> &mut S::Handle {
        let place = self.place(store);
        typed::<S>(&mut self.all[place])
    }

    /// Two of them.
    pub fn pair<A: Store, B: Store>(&mut self, one: A, other: B) -> (&mut A::Handle, &mut B::Handle) {
        let places = [self.place(one), self.place(other)];
        let [one, other] = self
            .all
            .get_disjoint_mut(places)
            .expect("an operator's stores are different ones");
        (typed::<A>(one), typed::<B>(other))
    }

    fn place(&self, store: impl Store) -> usize {
        let found = self.all.iter().position(|one| one.name() == store.name());
        found.expect("a task has the stores of its operators")
    }
}
