//! Requests to Snowflake: with a token, and retried while Snowflake or the way to it is at fault.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use clock::{Clock, SystemClock};
use prometheus::IntCounterVec;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use url::Url;

use super::Tokens;
use super::token::SigningError;

/// The longest text of an answer that is repeated in an error.
const REPEATED_MAX: usize = 300;

/// The values of the label `reason`, by which faults that may pass are counted; a 408 counts as `429`.
pub const FAULTS: [&str; 3] = [THROTTLED, SERVER_ERROR, NO_ANSWER];
const THROTTLED: &str = "429";
const SERVER_ERROR: &str = "5xx";
const NO_ANSWER: &str = "no_answer";

/// How often a request is made, and what lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, at least one.
    pub attempts_max: u32,
    /// The first wait; each one after it is up to twice as long.
    pub first_wait: Duration,
    /// The longest wait, also where Snowflake asks for a longer one.
    pub wait_max: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

impl Retries {
    /// What lies between the attempts: it doubles from the first wait on; a random half of it, so that many who failed together do not
    /// come together again.
    fn waits(&self) -> impl Iterator<Item = Duration> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_wait.min(self.wait_max) / 2)
            .with_max_delay(self.wait_max / 2)
            .with_max_times(self.attempts_max.saturating_sub(1) as usize)
            .with_jitter()
            .build()
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            timeout: Duration::from_secs(60),
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// Snowflake, or the way to it, is at fault, through all attempts; what was asked may have been done. Try again later.
    #[error("Snowflake could not be asked to {what}: {reason} ({attempts} attempts)")]
    Unavailable {
        /// What was asked.
        what: String,
        /// The last attempt's fault.
        reason: String,
        /// How many attempts there were.
        attempts: u32,
    },
    /// The login is refused: an operator must act.
    #[error(
        "Snowflake refuses the login of {subject} ({reason}): check snowflake.account and snowflake.user, that DESCRIBE USER shows \
         {fingerprint} as RSA_PUBLIC_KEY_FP or RSA_PUBLIC_KEY_2_FP, that network policies let this machine in, and this machine's clock"
    )]
    Login {
        /// Who logs in: `ACCOUNT.USER`.
        subject: String,
        /// The key's fingerprint.
        fingerprint: String,
        /// What Snowflake said.
        reason: String,
    },
    /// There is no such thing, or the role may not see it: an operator must act.
    #[error("Snowflake does not know what it was asked to {what}, or the role may not use it: {reason}")]
    NotFound {
        /// What was asked.
        what: String,
        /// What Snowflake said.
        reason: String,
    },
    /// The request, or the statement, is wrong.
    #[error("Snowflake refuses to {what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// What Snowflake said, with its code.
        reason: String,
    },
    /// The answer is none that is documented.
    #[error("Snowflake was asked to {what}, and answered what cannot be understood: {reason}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The key cannot sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl ApiError {
    /// Whether the same request may succeed later with nobody acting.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Answer { .. })
    }
}

/// An answer with a status of success.
#[derive(Debug)]
pub struct Answer {
    /// 200 or 202.
    pub status: StatusCode,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError::Answer {
            what: what.to_owned(),
            reason: format!("{error}: {}", shortened(&self.body)),
        })
    }
}

/// A user of an account, over HTTP.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    base: Url,
    tokens: Tokens,
    retries: Retries,
    faults: Option<IntCounterVec>,
}

impl Connection {
    /// Nothing is asked yet. An error says that the TLS library could not be started.
    pub fn new(base: Url, tokens: Tokens, retries: Retries) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("riverbank/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(retries.timeout)
            // A token must not follow a redirection elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            client,
            base,
            tokens,
            retries,
            faults: None,
        })
    }

    /// Counts the attempts that met a fault that may pass, by `reason`: `429`, `5xx` or `no_answer`.
    #[must_use]
    pub fn counting(mut self, faults: IntCounterVec) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Who asks: `ACCOUNT.USER`.
    pub fn subject(&self) -> &str {
        self.tokens.subject()
    }

    /// Asks, until there is an answer or the attempts are used up. `what` completes "Snowflake could not be asked to …". The
    /// request must be one that can be repeated; its path may depend on the number of the attempt, from 1.
    pub(super) async fn ask(
        &self,
        what: &str,
        method: Method,
        path: impl Fn(u32) -> String,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let mut renewed = false;
        let mut waits = self.retries.waits();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let path = path(attempt);
            let url = self.base.join(&path).map_err(|error| ApiError::Refused {
                what: what.to_owned(),
                reason: format!("{path}: {error}"),
            })?;
            let token = self.tokens.at(SystemClock.now())?;
            let request = self
                .client
                .request(method.clone(), url)
                .bearer_auth(token)
                .header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
                .header("Accept", "application/json");
            let fault = match attempt_once(with(request)).await {
                Ok(answer) => return Ok(answer),
                Err(Fault::Refused(StatusCode::UNAUTHORIZED, _)) if !renewed => {
                    // It may have ended: a machine that slept, or another clock.
                    renewed = true;
                    self.tokens.renew();
                    continue;
                }
                Err(Fault::Refused(status, reason)) => return Err(self.refused(what, status, reason)),
                Err(fault) => fault,
            };
            let (kind, reason, asked) = match fault {
                Fault::Passing {
                    kind,
                    reason,
                    retry_after,
                } => (kind, reason, retry_after),
                Fault::Refused(..) => unreachable!("returned above"),
            };
            if let Some(faults) = &self.faults {
                faults.with_label_values(&[kind]).inc();
            }
            let Some(wait) = waits.next() else {
                return Err(ApiError::Unavailable {
                    what: what.to_owned(),
                    reason,
                    attempts: attempt,
                });
            };
            let wait = asked.unwrap_or(wait).min(self.retries.wait_max);
            tracing::debug!(what, reason, ?wait, attempt, "Snowflake is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    fn refused(&self, what: &str, status: StatusCode, reason: String) -> ApiError {
        let what = what.to_owned();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiError::Login {
                subject: self.tokens.subject().to_owned(),
                fingerprint: self.tokens.fingerprint().to_owned(),
                reason,
            },
            StatusCode::NOT_FOUND => ApiError::NotFound { what, reason },
            _ => ApiError::Refused { what, reason },
        }
    }
}

enum Fault {
    /// It may pass.
    Passing {
        kind: &'static str,
        reason: String,
        retry_after: Option<Duration>,
    },
    /// It will not.
    Refused(StatusCode, String),
}

async fn attempt_once(request: RequestBuilder) -> Result<Answer, Fault> {
    let passing = |reason: String| Fault::Passing {
        kind: NO_ANSWER,
        reason,
        retry_after: None,
    };
    let response = request.send().await.map_err(|error| passing(chain(error)))?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    // Half an answer is none.
    let body = response.bytes().await.map_err(|error| passing(chain(error)))?;
    if matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        return Ok(Answer { status, body });
    }
    let reason = format!("{status}: {}", said(&body));
    let passes = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    Err(match passes {
        true => Fault::Passing {
            kind: if status.is_server_error() { SERVER_ERROR } else { THROTTLED },
            reason,
            retry_after,
        },
        false => Fault::Refused(status, reason),
    })
}

/// What an error's body says: Snowflake's message and code, or the text itself.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
        #[serde(default)]
        code: Option<serde_json::Value>,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(Said { message, code: None }) => message,
        Ok(Said {
            message,
            code: Some(code),
        }) => format!("{message} (code {})", code.to_string().trim_matches('"')),
        Err(_) => shortened(body),
    }
}

fn shortened(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.char_indices().nth(REPEATED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.trim().is_empty() => "no text".to_owned(),
        None => text.trim().to_owned(),
    }
}

/// An error with its causes, without the address.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
