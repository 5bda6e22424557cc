//! Sources whose topics are those that match a regular expression, whenever they come.

use regex_lite::Regex;

use super::reset::OffsetReset;

/// A source whose topics match.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub name: &'static str,
    /// The source's node.
    pub node: usize,
    pub reset: OffsetReset,
    /// Of the whole name.
    regex: Regex,
}

impl Pattern {
    pub fn new(name: &'static str, expression: &str, reset: OffsetReset, node: usize) -> Result<Self, regex_lite::Error> {
        Ok(Self {
            name,
            node,
            reset,
            regex: Regex::new(&format!("^(?:{expression})$"))?,
        })
    }

    /// Whether a topic's whole name matches.
    pub fn is_match(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }
}
