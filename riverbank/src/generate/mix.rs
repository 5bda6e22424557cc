//! Which kind of operation comes next, by the profile's weights.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::profile::Mix;

/// A kind of operation, before it is known on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Deposit,
    Withdrawal,
    Transfer,
    Settle,
    Reverse,
    Correct,
    Remove,
    Overdraw,
    CustomerChange,
    CustomerAdd,
    CustomerRemove,
    AccountOpen,
    AccountClose,
}

/// Draws a kind. The weights' sum is above zero: the profile's check has seen to it.
pub(super) fn draw_kind(rng: &mut ChaCha8Rng, mix: &Mix) -> Kind {
    let weights = [
        (Kind::Deposit, mix.deposit),
        (Kind::Withdrawal, mix.withdrawal),
        (Kind::Transfer, mix.transfer),
        (Kind::Settle, mix.settle),
        (Kind::Reverse, mix.reverse),
        (Kind::Correct, mix.correct),
        (Kind::Remove, mix.remove),
        (Kind::Overdraw, mix.overdraw),
        (Kind::CustomerChange, mix.customer_change),
        (Kind::CustomerAdd, mix.customer_add),
        (Kind::CustomerRemove, mix.customer_remove),
        (Kind::AccountOpen, mix.account_open),
        (Kind::AccountClose, mix.account_close),
    ];
    let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..sum);
    for (kind, weight) in weights {
        if left < weight {
            return kind;
        }
        left -= weight;
    }
    Kind::Deposit
}
