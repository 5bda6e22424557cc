//! How a processor names its stores: one, or a tuple of them, handed out as disjoint `&mut`s.

use super::backend::AnyStore;
use super::{KeyValue, KeyValueStore, StoreDef, StoreKey, StoreValue};

mod sealed {
    use super::{AnyStore, StoreDef};

    /// Keeps the engine's inner types out of the public trait's contract.
    pub struct Slots<'t> {
        /// The task's stores.
        pub(crate) all: &'t mut [Box<dyn AnyStore>],
        /// Where the processor's stand among them, in its order.
        pub(crate) at: &'t [usize],
    }
    pub struct Definitions(pub(crate) Vec<StoreDef>);
}
pub(crate) use sealed::{Definitions, Slots};

/// The stores of a processor: `()`, a [`KeyValue`], or a tuple of them.
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

fn typed<K: StoreKey, V: StoreValue>(slot: &mut Box<dyn AnyStore>) -> &mut KeyValueStore<K, V> {
    // The graph refuses two stores of one name with different types, so the slot has the type of its definition.
    slot.as_any_mut()
        .downcast_mut()
        .expect("a store has the types of its definition")
}

impl<K: StoreKey, V: StoreValue> StoreSet for KeyValue<K, V> {
    type Handles<'t> = &'t mut KeyValueStore<K, V>;
    fn definitions(&self) -> Definitions {
        Definitions(vec![KeyValueStore::definition(*self)])
    }
    fn handles(slots: Slots<'_>) -> Self::Handles<'_> {
        typed(&mut slots.all[slots.at[0]])
    }
}

macro_rules! tuple {
    ($(($k:ident, $v:ident, $i:tt)),+) => {
        impl<$($k: StoreKey, $v: StoreValue),+> StoreSet for ($(KeyValue<$k, $v>,)+) {
            type Handles<'t> = ($(&'t mut KeyValueStore<$k, $v>,)+);
            fn definitions(&self) -> Definitions {
                Definitions(vec![$(KeyValueStore::definition(self.$i)),+])
            }
            fn handles(slots: Slots<'_>) -> Self::Handles<'_> {
                let mine = slots.all.get_disjoint_mut([$(slots.at[$i]),+]);
                let mut mine = mine.expect("a processor's stores are different ones").into_iter();
                ($(typed::<$k, $v>(mine.next().expect("one for each type")),)+)
            }
        }
    };
}
tuple!((K0, V0, 0));
tuple!((K0, V0, 0), (K1, V1, 1));
tuple!((K0, V0, 0), (K1, V1, 1), (K2, V2, 2));
tuple!((K0, V0, 0), (K1, V1, 1), (K2, V2, 2), (K3, V3, 3));
