//! Parts of what is too long for one answer.

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T, U = i64> {
    /// In their order: by id, or by what `U` is.
    pub rows: Vec<T>,
    /// There may be more behind this; none: these are all.
    pub until: Option<U>,
}
