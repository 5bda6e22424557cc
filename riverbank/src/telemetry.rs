//! What the program says of itself: structured lines on standard error, as text for people or as JSON for machines.
//!
//! Standard output is left to what a command was asked for (a listing, a report), so that it can be piped.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// Libraries that report each small step as `info`; theirs are shown from `warn` on, unless the filter names them.
const QUIET: [&str; 4] = ["librdkafka=warn", "sqlx=warn", "object_store=warn", "hyper=warn"];

/// Starts logging, for the life of the process. A panic in any thread becomes a line of the log, too.
///
/// Fails if logging was started before, or if the filter is not one (the settings' check has excluded that).
pub fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(filter(&settings.level)?);
    let err = std::io::stderr;
    match settings.format {
        LogFormat::Text => {
            let colours = err().is_terminal();
            registry
                .with(tracing_subscriber::fmt::layer().with_writer(err).with_ansi(colours))
                .try_init()
        }
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(err))
            .try_init(),
    }
    .context("start logging")?;
    log_panics();
    Ok(())
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let mut directives: Vec<&str> = QUIET.into_iter().filter(|quiet| !names(level, quiet)).collect();
    directives.push(level);
    EnvFilter::try_new(directives.join(",")).with_context(|| format!("log.level {level}"))
}

/// Whether the filter has a directive of its own for the target of `quiet`.
fn names(level: &str, quiet: &str) -> bool {
    let target = quiet.split('=').next().unwrap_or(quiet);
    level.split(',').any(|directive| directive.trim().starts_with(target))
}

/// A panic's message goes where everything else goes; the default hook's text would be lost among JSON lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, thread, %backtrace, "panic: {}", message.unwrap_or("of an unknown kind"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_quiet_unless_it_is_named() {
        let shown = filter("info").expect("a filter").to_string();
        assert!(shown.contains("librdkafka=warn") && shown.contains("info"), "{shown}");
        let shown = filter("info,librdkafka=debug").expect("a filter").to_string();
        assert!(
            shown.contains("librdkafka=debug") && !shown.contains("librdkafka=warn"),
            "{shown}"
        );
    }
}
