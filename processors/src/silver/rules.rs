//! What a row must be to become Silver: the checks that several tables share. All rules are in [`schemas::rules`].

use schemas::bronze::UNAVAILABLE_VALUE;
use schemas::rules::Rule;
use schemas::time::{INSTANT_MAX, INSTANT_MIN, NO_INSTANT};
use schemas::{Currency, Money};

use super::position::ChangePosition;

/// A rule that a record breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What is wrong, for a person.
    pub reason: String,
}

impl Violation {
    /// A broken rule.
    pub fn new(rule: Rule, reason: impl Into<String>) -> Self {
        Self {
            rule,
            reason: reason.into(),
        }
    }
}

/// The column must have a value.
pub fn not_null<T: Clone>(column: &str, value: &Option<T>) -> Result<T, Violation> {
    value
        .clone()
        .ok_or_else(|| Violation::new(Rule::NotNull, format!("{column} is null")))
}

/// What cleaning a row knows beside the row.
pub struct Cleaning<'a, T> {
    /// The version of the row that is in force.
    pub stored: Option<&'a T>,
    /// Whether the change log may have left out large values that did not change: then the row before the change is not in the
    /// event either. Elsewhere the placeholder is a text that somebody wrote.
    pub may_omit: bool,
    /// Where in the source the change was made.
    pub at: ChangePosition,
    /// Whether it came in its place among the source's commits; else a snapshot showed it.
    pub is_streamed: bool,
    /// Rules that the row breaks without being refused for it.
    pub notes: Vec<Violation>,
}

impl<T> Cleaning<'_, T> {
    /// The column must be a text that is not empty when trimmed. "Unchanged" (a large value that the change log left out) takes
    /// what was stored.
    pub fn text(&self, column: &str, value: &Option<String>, of: impl Fn(&T) -> &str) -> Result<String, Violation> {
        let value = not_null(column, value)?;
        if self.may_omit && value == UNAVAILABLE_VALUE {
            return self.stored.map(|row| of(row).to_owned()).ok_or_else(|| {
                Violation::new(
                    Rule::UnavailableValue,
                    format!("{column} came as unchanged, but no earlier version of the row is known"),
                )
            });
        }
        let trimmed = value.trim();
        if trimmed.is_empty() {
            return Err(Violation::new(Rule::NotNull, format!("{column} is empty")));
        }
        Ok(trimmed.to_owned())
    }

    /// An instant that can be kept; a note of one that cannot, which is taken for the nearest one, or for none.
    pub fn instant(&mut self, column: &str, value: Option<i64>) -> Option<i64> {
        let (kept, what) = match value? {
            NO_INSTANT => (None, "is no instant; it is left out"),
            INSTANT_MIN => (Some(INSTANT_MIN), "is before the year 1; it is kept as that year's beginning"),
            INSTANT_MAX => (Some(INSTANT_MAX), "is after the year 9999; it is kept as that year's end"),
            kept => return Some(kept),
        };
        self.notes
            .push(Violation::new(Rule::InstantInRange, format!("{column} {what}")));
        kept
    }
}

/// The column must have an amount that can be kept.
pub fn amount(column: &str, value: &Option<Money>) -> Result<Money, Violation> {
    match not_null(column, value)? {
        Money::UNFIT => Err(Violation::new(
            Rule::AmountInRange,
            format!("{column} has more than four decimal places, or too many digits"),
        )),
        amount => Ok(amount),
    }
}

/// The amount must be a whole number of its currency's smallest units.
pub fn in_scale(column: &str, amount: Money, currency: Currency) -> Result<(), Violation> {
    if amount.fits_scale(currency.minor_digits()) {
        return Ok(());
    }
    Err(Violation::new(
        Rule::CurrencyScale,
        format!(
            "{column} is {amount}, and {currency} has {} decimal places",
            currency.minor_digits()
        ),
    ))
}

/// The column must be one of a list of codes; upper and lower case are alike.
pub fn code<T: std::str::FromStr>(column: &str, value: &Option<String>) -> Result<T, Violation> {
    let text = not_null(column, value)?;
    let code = text.trim().to_uppercase();
    code.parse().map_err(|_| {
        Violation::new(
            Rule::AcceptedValues,
            format!("{column} is {text:?}, which is none of its accepted values"),
        )
    })
}
