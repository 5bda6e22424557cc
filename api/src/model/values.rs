//! Texts for money and instants.

use jiff::Timestamp;
use schemas::{Currency, Money};

/// An amount with its currency's decimal places: `12.30`, or `1230` in a currency without minor units. What the source holds is
/// never rounded: should it have more places, they are shown.
pub fn money(amount: Money, currency: Currency) -> String {
    amount.in_currency(currency).to_string()
}

/// An instant, given in microseconds since the epoch, as RFC 3339 in UTC.
pub fn instant(micros: i64) -> String {
    // Beyond the years of the calendar there is no text; the nearest instant says as much as can be said.
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(nearest).to_string()
}
