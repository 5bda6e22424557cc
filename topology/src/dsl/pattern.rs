//! The topics of a source by a regular expression.

use std::fmt;
use std::marker::PhantomData;

use crate::graph::OffsetReset;

/// All topics whose whole name matches a regular expression, and the types of their keys and values: Kafka Streams' `Pattern`. Declared once as a
/// `const`, and passed by value to [`Builder::stream_matching`](super::Builder::stream_matching).
///
/// Never among them are the application's own internal topics, and what the log keeps for itself. A topic that a source reads by its name may not
/// match, nor may one match the patterns of two sources.
///
/// ```
/// use std::time::Duration;
/// use topology::dsl::{OffsetReset, TopicPattern};
///
/// // The name is that of the source, as a topic's is: it names its tasks and their state.
/// const ORDERS: TopicPattern<i64, String> = TopicPattern::new("orders", r"orders-(north|south)");
/// // Where each of its topics begins: here, with the last hour.
/// const RECENT: TopicPattern<i64, String> = ORDERS.offset_reset(OffsetReset::ByDuration(Duration::from_secs(3_600)));
/// assert_eq!((RECENT.name(), RECENT.expression()), ("orders", "orders-(north|south)"));
/// ```
pub struct TopicPattern<K, V> {
    name: &'static str,
    expression: &'static str,
    reset: OffsetReset,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TopicPattern<K, V> {
    /// A source of this name, whose topics match this expression from their first letter to their last.
    pub const fn new(name: &'static str, expression: &'static str) -> Self {
        Self {
            name,
            expression,
            reset: OffsetReset::Earliest,
            types: PhantomData,
        }
    }

    /// The same, under a name and of an expression that are known at run time only, as from settings.
    pub fn named(name: &str, expression: &str) -> Self {
        Self::new(wire::name(name), wire::name(expression))
    }

    /// Says where each of its topics begins of which nothing was ever committed, if not with the first record that is there. `Latest` passes over what was
    /// written to a new topic before it was found.
    pub const fn offset_reset(self, reset: OffsetReset) -> Self {
        Self { reset, ..self }
    }

    /// The source's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The regular expression.
    pub const fn expression(&self) -> &'static str {
        self.expression
    }

    pub(super) const fn reset(&self) -> OffsetReset {
        self.reset
    }
}

impl<K, V> Clone for TopicPattern<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for TopicPattern<K, V> {}

impl<K, V> fmt::Debug for TopicPattern<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({}: {})", self.name, self.expression)
    }
}
