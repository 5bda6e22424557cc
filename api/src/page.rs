//! Lists in pages: sorted by id, each page telling where the next one starts.
//!
//! A cursor names the last row that was given, so rows that come and go between two pages are neither skipped nor given twice.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Rows of a page where the request does not say.
pub const LIMIT_DEFAULT: u16 = 100;
/// Rows of a page at most.
pub const LIMIT_MAX: u16 = 1000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, sorted by id.
    pub items: Vec<T>,
    /// To be sent as `cursor` for the next page; null where this is the last one.
    #[schema(required, example = "accounts-1f4")]
    pub next: Option<String>,
}

/// A row of a list.
pub trait Listed: Serialize + DeserializeOwned + Send + 'static {
    /// The list's name, as cursors have it: one list's cursor is no other's.
    const LIST: &'static str;
    /// The row's id.
    fn id(&self) -> i64;
}

/// Where a page starts: after this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub i64);

impl Cursor {
    /// Reads the cursor of a list.
    pub fn parse<T: Listed>(text: &str) -> Result<Self, Problem> {
        let id = text.strip_prefix(T::LIST).and_then(|rest| rest.strip_prefix('-'));
        id.filter(|id| !id.starts_with(['+', '-']))
            .and_then(|id| i64::from_str_radix(id, 16).ok())
            .map(Self)
            .ok_or_else(|| Problem::malformed("this is no cursor that this list gave").at("cursor"))
    }

    /// Writes the cursor of a list.
    pub fn text<T: Listed>(self) -> String {
        Encoded(T::LIST, self.0).to_string()
    }
}

struct Encoded(&'static str, i64);

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.0, self.1)
    }
}

/// How many rows a page is to have.
pub fn limit(asked: Option<u16>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(usize::from(limit)),
        _ => Err(Problem::malformed(format!("limit must be between 1 and {LIMIT_MAX}")).at("limit")),
    }
}

/// The page that these parts of a list make: each is sorted and holds the first rows of its source, `limit` at most, and tells
/// whether its source has more.
pub fn merge<T: Listed>(parts: Vec<(Vec<T>, bool)>, limit: usize) -> Page<T> {
    let mut has_more = parts.iter().any(|(_, more)| *more);
    let mut items: Vec<T> = parts.into_iter().flat_map(|(items, _)| items).collect();
    items.sort_by_key(Listed::id);
    // While a partition moves, two instances may both have it.
    items.dedup_by_key(|row| row.id());
    has_more |= items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| Cursor(last.id()).text::<T>());
    Page { items, next }
}
