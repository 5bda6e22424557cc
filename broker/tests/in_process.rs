//! The conformance suite on the log in memory, and what only that one offers.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod conformance;

use std::sync::Arc;

use broker::InProcessBroker;

conformance!(Arc::new(InProcessBroker::new()));
