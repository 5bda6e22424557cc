//! A type's place in its plan, and a step over a value of it.

/// A type's place in its plan.
pub(crate) type NodeId = u32;

/// One step over a value, or over several next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes.
    Bytes(usize),
    Varint,
    /// A length and so many bytes.
    Prefixed,
    /// A union of null, whose index is this, and a [`Step::Varint`].
    OptionalVarint(u64),
    /// A union of null, whose index is this, and a [`Step::Prefixed`].
    OptionalPrefixed(u64),
    /// Any other type.
    Node(NodeId),
}
