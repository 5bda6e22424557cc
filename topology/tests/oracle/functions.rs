//! The closed set of functions that a case may name; the Java side has the same in `Functions.java`. Arithmetic wraps at 64 bits, and
//! remainders are never negative.

use crate::case::Function;

impl Function {
    fn at(&self, parameter: usize) -> i64 {
        self.parameters[parameter]
    }

    fn unknown(&self) -> ! {
        panic!("unknown function {self:?}")
    }

    /// What filters and branches ask of a value.
    pub fn accepts(&self, value: Option<i64>) -> bool {
        match self.name.as_str() {
            "mod_eq" => value.is_some_and(|value| value.rem_euclid(self.at(0)) == self.at(1)),
            _ => self.unknown(),
        }
    }

    /// One value from one.
    pub fn map(&self, value: Option<i64>) -> Option<i64> {
        let value = value?;
        match self.name.as_str() {
            "mul_add" => Some(value.wrapping_mul(self.at(0)).wrapping_add(self.at(1)).rem_euclid(self.at(2))),
            "null_if" => Some(value).filter(|value| value.rem_euclid(self.at(0)) != 0),
            _ => self.unknown(),
        }
    }

    /// Any number of values from one.
    pub fn flat_map(&self, value: Option<i64>) -> Vec<i64> {
        match (self.name.as_str(), value) {
            ("copies", None) => Vec::new(),
            ("copies", Some(value)) => (0..value.rem_euclid(3)).map(|i| value.wrapping_add(i)).collect(),
            _ => self.unknown(),
        }
    }

    /// A key from a value: `key_mod` always makes one, `fk_mod` makes none of a null or of a multiple of seven.
    pub fn key(&self, value: Option<i64>) -> Option<String> {
        let of = |value: i64| format!("k{}", value.rem_euclid(self.at(0)));
        match self.name.as_str() {
            "key_mod" => Some(value.map_or("k".to_owned(), of)),
            "fk_mod" => value.filter(|value| value.rem_euclid(7) != 0).map(of),
            _ => self.unknown(),
        }
    }

    /// Reducers, aggregators, adders and subtractors: what has come together, and the value that comes (or goes).
    pub fn fold(&self, all: i64, value: i64) -> Option<i64> {
        let chain = || all.wrapping_mul(self.at(0)).wrapping_add(value);
        match self.name.as_str() {
            "sum" => Some(all.wrapping_add(value)),
            "sub" => Some(all.wrapping_sub(value)),
            "max" => Some(all.max(value)),
            "last" => Some(value),
            "first" => Some(all),
            "chain" => Some(chain()),
            "chain_null" => Some(chain()).filter(|next| next.rem_euclid(5) != 0),
            _ => self.unknown(),
        }
    }

    /// Joins two sides; one that is missing counts as −1.
    pub fn join(&self, left: Option<i64>, right: Option<i64>) -> Option<i64> {
        let both = left.unwrap_or(-1).wrapping_mul(1_000).wrapping_add(right.unwrap_or(-1));
        match self.name.as_str() {
            "pair" => Some(both),
            "pair_null" => Some(both).filter(|both| both.rem_euclid(self.at(0)) != 0),
            _ => self.unknown(),
        }
    }
}
