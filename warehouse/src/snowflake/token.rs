//! Key-pair tokens: JWTs, signed by the user's key, that Snowflake takes instead of a password.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header};
use parking_lot::Mutex;
use serde::Serialize;

use super::{Account, KeyPair};

/// Snowflake refuses tokens that live for longer than an hour.
const LIFETIME: Duration = Duration::from_secs(59 * 60);
/// A token that ends sooner is renewed: a request must not meet its end on the way, nor a clock that is ahead of ours.
const RENEW_BEFORE: Duration = Duration::from_secs(10 * 60);

/// A user's tokens, each used until shortly before its end.
#[derive(Debug)]
pub struct Tokens {
    subject: String,
    key: KeyPair,
    current: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    ends_at: Timestamp,
}

/// What a token says.
#[derive(Debug, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// The key could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the key cannot sign a token: {0}")]
pub struct SigningError(#[from] jsonwebtoken::errors::Error);

impl Tokens {
    /// Tokens of a user, whose name is taken in upper case, as Snowflake keeps it.
    pub fn new(account: &Account, user: &str, key: KeyPair) -> Self {
        Self {
            subject: format!("{}.{}", account.in_token(), user.to_uppercase()),
            key,
            current: Mutex::new(None),
        }
    }

    /// Who the tokens are of: `ACCOUNT.USER`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The key's fingerprint.
    pub fn fingerprint(&self) -> &str {
        self.key.fingerprint()
    }

    /// A token that is valid at this time and for some minutes more.
    pub fn at(&self, now: Timestamp) -> Result<String, SigningError> {
        let mut current = self.current.lock();
        if let Some(token) = current.as_ref()
            && now + RENEW_BEFORE < token.ends_at
            // A clock that was put back: the token would seem to be of the future.
            && now + LIFETIME >= token.ends_at
        {
            return Ok(token.text.clone());
        }
        let token = self.sign(now)?;
        Ok(current.insert(token).text.clone())
    }

    /// Forgets the token: the next one is new.
    pub fn renew(&self) {
        *self.current.lock() = None;
    }

    fn sign(&self, now: Timestamp) -> Result<Token, SigningError> {
        let ends_at = now + LIFETIME;
        let claims = Claims {
            iss: format!("{}.{}", self.subject, self.key.fingerprint()),
            sub: self.subject.clone(),
            iat: now.as_second(),
            exp: ends_at.as_second(),
        };
        let text = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, self.key.signing())?;
        Ok(Token { text, ends_at })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn tokens() -> Tokens {
        let key = KeyPair::from_pem(include_str!("../../tests/keys/plain.p8"), None).unwrap();
        Tokens::new(&Account::parse("xy12345.eu-central-1").unwrap(), "loader", key)
    }

    fn claims(token: &str) -> serde_json::Value {
        let claims = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_who_by_which_key_and_for_less_than_an_hour() {
        let tokens = tokens();
        let claims = claims(&tokens.at(Timestamp::from_second(1_800_000_000).unwrap()).unwrap());
        let fingerprint = include_str!("../../tests/keys/fingerprint").trim();
        assert_eq!(claims["iss"], format!("XY12345.LOADER.SHA256:{fingerprint}"));
        assert_eq!(claims["sub"], "XY12345.LOADER");
        assert_eq!(claims["iat"], 1_800_000_000);
        assert_eq!(claims["exp"], 1_800_000_000 + 59 * 60);
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let (tokens, start) = (tokens(), Timestamp::from_second(1_800_000_000).unwrap());
        let after = |minutes: u64| tokens.at(start + Duration::from_secs(60 * minutes)).unwrap();
        let first = after(0);
        assert_eq!(after(48), first);
        let second = after(49);
        assert_ne!(second, first);
        assert_eq!(after(50), second);
        // The clock was put back.
        assert_ne!(after(0), second);
        let last = after(0);
        tokens.renew();
        assert_ne!(after(1), last);
    }
}
