//! Data rules: what a row must be to become Silver.

use schemas::bronze::UNAVAILABLE_VALUE;

/// A rule that a record breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule's stable name, as metrics and queries have it.
    pub rule: &'static str,
    /// What is wrong, for a person.
    pub reason: String,
}

impl Violation {
    /// A broken rule.
    pub fn new(rule: &'static str, reason: impl Into<String>) -> Self {
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
        .ok_or_else(|| Violation::new("not_null", format!("{column} is null")))
}

/// The column must be a text that is not empty when trimmed. "Unchanged" (a large value that the change log left out) takes what
/// was stored.
pub fn text(column: &str, value: &Option<String>, stored: Option<&str>) -> Result<String, Violation> {
    let value = not_null(column, value)?;
    if value == UNAVAILABLE_VALUE {
        return stored.map(str::to_owned).ok_or_else(|| {
            Violation::new(
                "unavailable_value",
                format!("{column} came as unchanged, but no earlier version of the row is known"),
            )
        });
    }
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err(Violation::new("not_null", format!("{column} is empty")));
    }
    Ok(trimmed.to_owned())
}

/// The column must be one of a list of codes; upper and lower case are alike.
pub fn code<T: std::str::FromStr>(column: &str, value: &Option<String>) -> Result<T, Violation> {
    let text = not_null(column, value)?;
    let code = text.trim().to_uppercase();
    code.parse().map_err(|_| {
        Violation::new(
            "accepted_values",
            format!("{column} is {text:?}, which is none of its accepted values"),
        )
    })
}
