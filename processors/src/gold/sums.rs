//! Rows that add up: what each Gold table says of a group, it can say of a group of one.
//!
//! So a table is made of what each row adds to its group, as a group of one; and what was added is taken back by the same function with
//! the sign turned around, so that adder and subtractor cannot differ. A group of nothing has no row: its key gets a tombstone.

use schemas::{Money, MoneyError};
use topology::dsl::{GroupedTable, Table};
use topology::store::{StoreKey, StoreValue};

/// Whether something is added or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Taken back.
    Minus,
}

impl Sign {
    /// A sum with this amount added or taken back.
    pub fn money(self, sum: Money, amount: Money) -> Result<Money, MoneyError> {
        match self {
            Self::Plus => sum.checked_add(amount),
            Self::Minus => sum.checked_sub(amount),
        }
    }

    /// A count with so many added or taken back.
    pub fn count(self, sum: i64, count: i64) -> i64 {
        match self {
            Self::Plus => sum + count,
            Self::Minus => sum - count,
        }
    }
}

/// What a table says of a group.
pub trait Sums: StoreValue + PartialEq {
    /// The same with another group's sums and counts added or taken back; both are of one key.
    ///
    /// # Errors
    ///
    /// An amount is too large to be exact.
    fn with(&self, other: &Self, sign: Sign) -> Result<Self, MoneyError>;

    /// Whether nothing is left in the group.
    fn is_empty(&self) -> bool;
}

/// What two rows add to a group, in one; `None`: an amount is too large to be exact.
pub fn sum<R: Sums>(one: &R, other: &R) -> Option<R> {
    one.with(other, Sign::Plus).ok()
}

/// What the rows of each group add up to, in a store of this name.
pub fn sums<K: StoreKey, R: Sums>(rows: &GroupedTable<K, R>, store: &str) -> Table<K, R> {
    rows.try_reduce(
        store,
        |sum, row| sum.with(row, Sign::Plus).map(Some),
        |sum, row| sum.with(row, Sign::Minus).map(|sum| (!sum.is_empty()).then_some(sum)),
    )
}
