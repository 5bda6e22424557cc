//! Which kind of operation comes next, by the profile's weights.

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;

use crate::profile::Mix;

/// A kind of operation, before it is known on what. In a commit they come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
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
    AccountChange,
    AccountBlock,
    AccountClose,
    AccountRemove,
}

/// The kinds by their weights.
#[derive(Debug)]
pub(crate) struct Kinds {
    kinds: Vec<Kind>,
    weights: WeightedIndex<u64>,
}

impl Kinds {
    /// # Panics
    ///
    /// If every weight is zero.
    pub fn of(mix: &Mix) -> Self {
        let (kinds, weights): (Vec<Kind>, Vec<u64>) = [
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
            (Kind::AccountChange, mix.account_change),
            (Kind::AccountBlock, mix.account_block),
            (Kind::AccountClose, mix.account_close),
            (Kind::AccountRemove, mix.account_remove),
        ]
        .into_iter()
        .unzip();
        let weights = WeightedIndex::new(weights).expect("one of the weights is above zero");
        Self { kinds, weights }
    }

    /// Draws a kind.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Kind {
        self.kinds[self.weights.sample(rng)]
    }
}
