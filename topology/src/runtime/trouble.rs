//! What keeps a worker from getting on.

use clock::Millis;

/// What keeps a worker from getting on.
#[derive(Default)]
pub(crate) struct Trouble {
    /// Nothing is tried before that.
    pub retry_at_ms: Millis,
    /// A turn has failed.
    pub turn: Option<String>,
    /// A task cannot be opened.
    pub opening: Option<String>,
    /// The log cannot be reached.
    pub log: Option<String>,
    /// A task whose state waits for its disk in such amounts that it processes no more.
    pub unflushed: Option<String>,
    /// What was said of it last.
    pub reported: Vec<String>,
}
