//! What is logged, and how: sentences on a terminal, JSON in a container.

use std::io::{IsTerminal, stderr};
use std::panic;

use anyhow::anyhow;
use clap::Args;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

mod libraries;

use super::Failure;
use crate::clock::Clock;
use crate::config::{self, LogFormat, Logging};

#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LoggingArgs {
    /// What is logged: error, warn, info, debug, trace [default: info] [env: OIDC_ISSUER_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Logging")]
    pub(super) log_level: Option<String>,

    /// How: human, json, or auto (human on a terminal) [default: auto] [env: OIDC_ISSUER_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Logging")]
    pub(super) log_format: Option<String>,
}

/// Changes the level while the process runs.
#[derive(Clone, Debug)]
pub(super) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    pub(super) fn set(&self, level: &str) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// Logs to standard error from now on. Panics are logged too.
pub(super) fn start(logging: &Logging) -> Level {
    let terminal = stderr().is_terminal();
    let json = match logging.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let (filter, handle) = reload::Layer::new(filter(&logging.level));
    let lines = if json {
        fmt::layer()
            .with_writer(stderr)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed()
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        fmt::layer()
            .with_writer(stderr)
            .with_timer(Seconds(Clock::system()))
            .with_target(false)
            .with_ansi(colours)
            .boxed()
    };
    // In tests a subscriber may be there already.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(libraries::LibraryThrottle::default())
        .with(lines)
        .try_init();
    panic::set_hook(Box::new(log_panic));
    Level(handle)
}

/// The time of a line for a person, who does not count in microseconds.
struct Seconds(Clock);

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.0}", self.0.now())
    }
}

/// For commands that log only where they are told to.
pub(super) fn start_if_asked(asked: &LoggingArgs) -> Result<(), Failure> {
    if let Some(level) = &asked.log_level {
        let level =
            config::level(level).map_err(|message| Failure::usage(anyhow!("--log-level: {message}")))?;
        start(&Logging {
            level,
            format: LogFormat::Auto,
        });
    }
    Ok(())
}

fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        location = panic.location().map(tracing::field::display),
        "a part of the service panicked: {}; this is a defect, please report it",
        message.unwrap_or("no message")
    );
}

/// A bare level is that of the service itself; libraries speak only when they warn.
fn filter(level: &str) -> EnvFilter {
    let bare = level.chars().all(|c| c.is_ascii_alphabetic());
    let directives = match level {
        "error" | "off" => level.to_owned(),
        _ if bare => format!("warn,oidc_issuer={level}"),
        _ => level.to_owned(),
    };
    // What operators did is shown whatever else is not.
    EnvFilter::new(directives + ",audit=info")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_that_of_the_service_itself() {
        assert_eq!(filter("debug").to_string(), "oidc_issuer=debug,audit=info,warn");
        assert_eq!(filter("error").to_string(), "audit=info,error");
        assert_eq!(
            filter("info,kube=debug").to_string(),
            "audit=info,kube=debug,info"
        );
        assert_eq!(filter("off,audit=off").to_string(), "audit=info,off");
    }
}
