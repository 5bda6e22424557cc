//! Lists in pages: sorted by id, each page telling where the next one starts. Ids below zero, which the bank gives to nobody but
//! an import may have, come first.
//!
//! A cursor names the id up to which all was given, so rows that come and go between two pages are neither skipped nor given
//! twice. A page looks at a bounded number of rows, so one may be short, or empty, with more behind it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Rows of a page where the request does not say.
pub const LIMIT_DEFAULT: u16 = 100;
/// Rows of a page at most.
pub const LIMIT_MAX: u16 = 1000;
/// Rows that an instance looks at for a page, at most: some tenths of a second.
pub const VISITS_MAX: usize = 50_000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, sorted by id. A page may be short, or even empty, while there are more: a filter looks at a limited number of
    /// rows for each page.
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
        let is_hex = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        id.filter(|id| id.len() <= 16 && id.bytes().all(is_hex))
            .and_then(|id| u64::from_str_radix(id, 16).ok())
            .map(|id| Self(id.cast_signed()))
            .ok_or_else(|| Problem::malformed("this is no cursor that this list gave").at("cursor"))
    }

    /// Writes the cursor of a list.
    pub fn text<T: Listed>(self) -> String {
        // A negative id has its sixteen digits of two's complement.
        format!("{}-{:x}", T::LIST, self.0)
    }
}

/// How many rows a page is to have.
pub fn limit(asked: Option<u16>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(usize::from(limit)),
        _ => Err(Problem::malformed(format!("limit must be between 1 and {LIMIT_MAX}")).at("limit")),
    }
}

/// How many rows an answer is to have of which there are at most a hundred at once.
pub fn limit_of_hundred(asked: Option<u16>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_DEFAULT => Ok(usize::from(limit)),
        _ => Err(Problem::malformed(format!("limit must be between 1 and {LIMIT_DEFAULT}")).at("limit")),
    }
}

/// The page that these parts of a list make: each is sorted and holds the first rows of its source, and tells behind which id its
/// source may have more.
pub fn merge<T: Listed>(parts: Vec<(Vec<T>, Option<i64>)>, limit: usize) -> Page<T> {
    // Behind where one source was left, the others' rows are not all that there are.
    let mut until = parts.iter().filter_map(|(_, until)| *until).min();
    let mut items: Vec<T> = parts.into_iter().flat_map(|(items, _)| items).collect();
    items.retain(|row| until.is_none_or(|until| row.id() <= until));
    items.sort_by_key(Listed::id);
    if items.len() > limit {
        items.truncate(limit);
        until = items.last().map(Listed::id);
    }
    let next = until.map(|id| Cursor(id).text::<T>());
    Page { items, next }
}
