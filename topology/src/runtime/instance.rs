//! How instances reach one another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an instance makes at its start and gives the other instances through the log: whoever presents it is one of them.
///
/// Each instance has its own, so that a wrong address in an announcement learns nothing that opens another door, and there is
/// nothing to set up, to rotate, or to get wrong between two instances. Neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A token of 244 random bits, from the system's source of them.
    pub fn random() -> Self {
        let half = || uuid::Uuid::new_v4().simple();
        Self(format!("{}{}", half(), half()))
    }

    /// The text, for whoever has to present it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it; how long that takes says nothing of how much of it is right.
    pub fn is(&self, presented: &str) -> bool {
        let (own, presented) = (self.0.as_bytes(), presented.as_bytes());
        let differences = own
            .iter()
            .zip(presented)
            .fold(0, |found, (a, b)| std::hint::black_box(found | (a ^ b)));
        own.len() == presented.len() && differences == 0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::random()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Another instance, as it announced itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Where it is reached.
    pub address: String,
    /// What it wants to see of other instances.
    pub token: Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_never_shown() {
        let token = Token::random();
        let text = token.reveal().to_owned();
        assert_eq!(text.len(), 64);
        assert!(token.is(&text));
        for other in ["", &text[1..], &format!("{text}0"), Token::random().reveal()] {
            assert!(!token.is(other), "{other}");
        }
        let address = "http://a".to_owned();
        assert!(!format!("{:?}", Instance { address, token }).contains(&text));
    }
}
