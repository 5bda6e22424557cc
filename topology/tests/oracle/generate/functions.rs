//! Functions of the closed set, with parameters.

use rand::RngExt;

use super::Generator;
use crate::case::{Function, feature};

const FOLDS: [(&str, &[&[i64]]); 5] = [("sum", &[]), ("max", &[]), ("last", &[]), ("first", &[]), ("chain", &[&[31]])];

impl Generator<'_> {
    pub(super) fn key(&mut self) -> Option<Function> {
        let with_null = (self.allowed)(feature::NULL_KEY) && self.chance(0.2);
        self.function(&[(if with_null { "fk_mod" } else { "key_mod" }, &[&[2, 3, 4]])])
    }

    pub(super) fn mapper(&mut self) -> Option<Function> {
        let mul_add = ("mul_add", [&[1, 3, -7][..], &[0, 1, 5], &[10, 1_000]]);
        match self.makes_null(false) {
            true => self.function(&[("null_if", &[&[3, 4]])]),
            false => self.function(&[(mul_add.0, &mul_add.1)]),
        }
    }

    /// Whether a function is one that can make null.
    pub(super) fn makes_null(&mut self, of_rows: bool) -> bool {
        (!of_rows || (self.allowed)(feature::NULL_RESULT)) && self.chance(0.3)
    }

    pub(super) fn fold(&mut self, of_rows: bool) -> Option<Function> {
        match self.makes_null(of_rows) {
            true => self.function(&[("chain_null", &[&[31]])]),
            false => self.function(&FOLDS),
        }
    }

    pub(super) fn predicate(&mut self) -> Option<Function> {
        let modulus = self.one_of(&[2, 3]);
        let rest = self.random.random_range(0..modulus);
        Some(Function::new("mod_eq", &[modulus, rest]))
    }

    pub(super) fn joiner(&mut self, of_rows: bool) -> Option<Function> {
        match self.makes_null(of_rows) {
            true => self.function(&[("pair_null", &[&[3, 4]])]),
            false => self.function(&[("pair", &[])]),
        }
    }

    pub(super) fn subtractor(&mut self, of_rows: bool) -> Option<Function> {
        match self.makes_null(of_rows) {
            true => self.function(&[("chain_null", &[&[17]])]),
            false => self.function(&[("sub", &[]), ("sub", &[]), ("chain", &[&[17]])]),
        }
    }
}
