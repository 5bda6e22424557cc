//! The service's limits.

use std::time::Duration;

/// Limits that every request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The largest body that is read, in bytes; a larger one gets 413.
    pub body_bytes_max: usize,
    /// How long a request takes at most; then it gets 504.
    pub request_timeout: Duration,
    /// How long another instance is waited for; then the request gets 503. Less than `request_timeout`.
    pub forward_timeout: Duration,
    /// How long balances of several accounts are waited for, until all are known as of one transaction of the source; then they are answered
    /// as they are, and say so.
    pub together_timeout: Duration,
    /// How many lists are read at once; one more gets 503. And as many accounts, for statements and the like: others wait.
    pub lists_max: usize,
    /// How many rows are looked at for a page, at most.
    pub visits_max: usize,
    /// How long open requests are waited for when the service ends.
    pub drain_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            request_timeout: Duration::from_secs(30),
            forward_timeout: Duration::from_secs(5),
            together_timeout: Duration::from_secs(2),
            lists_max: 8,
            visits_max: crate::page::VISITS_MAX,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
