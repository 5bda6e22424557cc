//! Parts of what is too long for one answer.

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// By id.
    pub rows: Vec<T>,
    /// There may be more behind this id; none: these are all.
    pub until: Option<i64>,
}
