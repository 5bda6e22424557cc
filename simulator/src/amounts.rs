//! How much is moved: log-normal amounts, round where people draw cash or send what they have agreed on.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use schemas::{Currency, Money};

use crate::profile::{Range, Spread};

/// Beyond so many standard deviations nothing is drawn: an amount of one in ten thousand would otherwise be absurd.
const DEVIATIONS_MAX: f64 = 3.5;
/// One banknote, in hundredths.
const NOTE: i64 = 1_000;

/// Draws from the distribution, in hundredths; at least one.
pub fn log_normal(rng: &mut ChaCha8Rng, spread: Spread) -> i64 {
    let normal: f64 = StandardNormal.sample(rng);
    let normal = normal.clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX);
    let drawn = spread.median as f64 * (normal * f64::from(spread.sigma) / 100.0).exp();
    (drawn.round() as i64).max(1)
}

/// An odd amount, as a card payment has.
pub fn odd(rng: &mut ChaCha8Rng, spread: Spread, range: Range, currency: Currency) -> Money {
    within(log_normal(rng, spread), range, currency)
}

/// What a cash machine gives: tens, fifties beyond a hundred, hundreds beyond a thousand.
pub fn cash(rng: &mut ChaCha8Rng, spread: Spread, range: Range, currency: Currency) -> Money {
    let drawn = log_normal(rng, spread);
    let step = match drawn {
        ..10_000 => NOTE,
        10_000..100_000 => 5 * NOTE,
        _ => 10 * NOTE,
    };
    within(rounded(drawn, step), range, currency)
}

/// What people send each other: half of them agree on a round figure.
pub fn agreed(rng: &mut ChaCha8Rng, spread: Spread, range: Range, currency: Currency) -> Money {
    let drawn = log_normal(rng, spread);
    let round = rng.random_ratio(1, 2);
    within(if round { rounded(drawn, NOTE / 2) } else { drawn }, range, currency)
}

/// The nearest multiple of `step`, and at least that.
pub fn rounded(amount: i64, step: i64) -> i64 {
    ((amount + step / 2) / step).max(1) * step
}

/// The amount within the range, in whole units where the currency has no smaller ones.
pub fn within(amount: i64, range: Range, currency: Currency) -> Money {
    let unit = 10_i64.pow(2 - currency.minor_digits().min(2));
    let amount = amount.clamp(range.min, range.max.max(range.min));
    let whole = (amount / unit) * unit;
    Money::from_hundredths(if whole == 0 && range.min > 0 { unit } else { whole }.into())
}
