//! What is logged, and how: sentences on a terminal and in the journal, JSON in a container.

mod libraries;
mod queue;
mod shape;
mod writer;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::panic;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::anyhow;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args, Command};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::queue::{Queue, Rank};
use super::{Failure, output};
use crate::config::{self, LogFormat, Logging, Overlay, Said};
use crate::metrics::Metrics;

#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LoggingArgs {
    /// What is logged: error, warn, info, debug, trace [default: info] [env: OIDC_ISSUER_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Logging", value_parser = Suggested(&config::LEVELS), hide_possible_values = true)]
    pub(super) log_level: Option<String>,

    /// How: human, json, or auto (human on a terminal and in the journal) [default: auto] [env: OIDC_ISSUER_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Logging", value_parser = Suggested(&FORMATS), hide_possible_values = true)]
    pub(super) log_format: Option<String>,
}

const FORMATS: [&str; LogFormat::ALL.len()] = [LogFormat::ALL[0].0, LogFormat::ALL[1].0, LogFormat::ALL[2].0];

/// Words that a shell completes. Others are taken too: whether they mean something is said where they are read, together
/// with those of the file and of the environment.
#[derive(Clone, Debug)]
struct Suggested(&'static [&'static str]);

impl TypedValueParser for Suggested {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
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

/// Where `serve` logs, once there is one. The other commands write to standard error themselves: nobody waits for them but
/// whoever reads what they write.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// The last lines are given so long to be read.
const FLUSHES_WITHIN: Duration = Duration::from_secs(1);

/// From now on nothing waits for a reader of standard error: lines go through a queue, to a thread that writes them.
pub(super) fn queue(metrics: &Metrics) -> io::Result<()> {
    let dropped = metrics.log();
    let queue = Arc::new(Queue::new(move |rank| dropped.dropped(rank.label())));
    writer::start(Arc::clone(&queue))?;
    let _ = QUEUE.set(queue);
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Before the process ends: waits for what is not written yet, a second at most.
pub(super) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSHES_WITHIN);
    }
}

/// Writes text that is no line of the log to standard error.
pub(super) fn write_error(text: &str) {
    write(Rank::Error, text);
}

fn write(rank: Rank, text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(rank, text.as_bytes()),
        // If even that fails there is nobody to tell.
        None => drop(io::stderr().lock().write_all(text.as_bytes())),
    }
}

/// Logs to standard error from now on. Panics are logged too.
pub(super) fn start(logging: &Logging) -> Level {
    let (filter, handle) = reload::Layer::new(filter(&logging.level));
    // In tests a subscriber may be there already.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(libraries::LibraryThrottle::default())
        .with(shape::layer(logging.format))
        .try_init();
    panic::set_hook(Box::new(log_panic));
    Level(handle)
}

/// For commands that log only where they are told to.
pub(super) fn start_if_asked(asked: &Wanted) {
    if let Some(level) = asked.level.clone() {
        let format = asked.format;
        start(&Logging { level, format });
    }
}

/// What the flags and the variables say, where no configuration is read that would say it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) level: Option<String>,
    pub(super) format: LogFormat,
}

impl LoggingArgs {
    /// The flag, else the variable; each is judged, whether this command logs or not.
    pub(super) fn wanted(&self) -> Result<Wanted, Failure> {
        self.wanted_in(&|name| std::env::var(name).ok())
    }

    fn wanted_in(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Wanted, Failure> {
        let Overlay {
            log_level,
            log_format,
            ..
        } = Overlay::from_env(environment);
        Ok(Wanted {
            level: judged("--log-level", self.log_level.as_deref(), log_level, config::level)?,
            format: judged(
                "--log-format",
                self.log_format.as_deref(),
                log_format,
                config::log_format,
            )?
            .unwrap_or_default(),
        })
    }
}

fn judged<T>(
    flag: &str,
    by_flag: Option<&str>,
    by_variable: Option<Said>,
    judge: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    let by_flag = by_flag.map(|value| (flag.to_owned(), value.to_owned()));
    let said = by_flag.or_else(|| by_variable.map(|said| (said.by, said.value)));
    let judged = said.map(|(by, value)| judge(value.trim()).map_err(|message| format!("{by}: {message}")));
    judged
        .transpose()
        .map_err(|message| Failure::usage(anyhow!(message)))
}

fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no message");
    let is_logged = tracing::enabled!(tracing::Level::ERROR);
    if is_logged {
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            "a part of the service panicked: {message}; this is a defect, please report it"
        );
    } else {
        // Nothing is logged yet, or nothing at all.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        output::complain(format_args!(
            "oidc-issuer: a part of the service panicked at {place}: {message}; this is a defect, please report it"
        ));
    }
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
