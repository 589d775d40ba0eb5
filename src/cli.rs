//! The command line: one file per command.
//!
//! Exit codes: 0 done, or ended by SIGTERM or SIGINT; 1 failed (address in use, state folder locked, a check that
//! says no); 64 usage, configuration, or TLS files that do not match or are expired.

mod complete;
mod config;
mod flags;
mod health;
mod inspect;
mod keys;
mod logging;
mod output;
mod preflight;
mod reload;
mod serve;
mod signals;
mod state;
mod token;
mod welcome;

pub use health::TIMEOUT as HEALTH_TIMEOUT;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::Problems;
use crate::display;
use crate::metrics::{COMMIT, RUSTC, VERSION};

/// The exit code for wrong usage and wrong configuration: `EX_USAGE` of BSD's sysexits.h.
const USAGE: u8 = 64;

/// Publishes a Kubernetes cluster's service-account keys as an OpenID Connect issuer.
///
/// Outside clouds and vaults verify the tokens of the cluster's pods with them, through every key rotation,
/// without reaching the API server.
#[derive(Debug, Parser)]
#[command(name = "oidc-issuer", version = version(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    logging: logging::LoggingArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Token(token::TokenArgs),
    Inspect(inspect::InspectArgs),
    Keys(keys::KeysArgs),
    Config(config::ConfigArgs),
    Health(health::HealthArgs),
    Completions(complete::CompletionsArgs),
}

fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT}, rustc {RUSTC})"));
    &TEXT
}

/// Parses the arguments, runs the command, and tells the exit code.
pub fn main() -> ExitCode {
    let arguments = keys::with_store(std::env::args_os());
    // First of all: see there.
    let taken = signals::are_for_serve(&arguments).then(signals::Signals::taken);
    let code = match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli, taken).unwrap_or_else(|failure| failure.tell()),
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            refuse(&error, &arguments);
            ExitCode::from(code)
        }
    };
    logging::flush();
    code
}

/// `taken`: the signals, where `serve` is asked for.
fn run(cli: Cli, taken: Option<anyhow::Result<(Runtime, signals::Signals)>>) -> Result<ExitCode, Failure> {
    let odd = flags::odd_variables();
    let is_logged = matches!(cli.command, Command::Serve(_));
    if !is_logged {
        for warning in &odd {
            output::complain(format_args!("warning: {warning}"));
        }
    }
    flags::refuse_unreadable_variables()?;
    let wanted = cli.logging.wanted();
    match cli.command {
        // With the configuration.
        Command::Serve(_) => {}
        // The same; but what they do before may be logged. What is wrong is told with all else that is.
        Command::Token(_) | Command::Config(_) => {
            if let Ok(wanted) = &wanted {
                logging::start_if_asked(wanted);
            }
        }
        // Where it does the work of the service itself.
        Command::Keys(_) => drop(wanted?),
        Command::Inspect(_) | Command::Health(_) | Command::Completions(_) => {
            logging::start_if_asked(&wanted?);
        }
    }
    match cli.command {
        Command::Serve(args) => serve::run(args, cli.logging, taken, odd),
        Command::Token(args) => token::run(args, cli.logging),
        Command::Inspect(args) => inspect::run(&args),
        Command::Keys(args) => keys::run(args, &cli.logging),
        Command::Config(args) => config::run(args, cli.logging),
        Command::Health(args) => health::run(args),
        Command::Completions(args) => complete::run(&args),
    }
}

/// What clap says. It repeats arguments: of those that have to be escaped it is asked once more.
fn refuse(error: &clap::Error, arguments: &[OsString]) {
    let shown = arguments.iter().map(display::path);
    let again = Cli::try_parse_from(shown).err();
    // Nobody reads it: nothing to do about it.
    let _ = match again {
        Some(again) => again.print(),
        None => error.print(),
    };
}

/// Why a command failed, with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Wrong usage, configuration or TLS files.
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: error.into(),
        }
    }

    /// Right usage, but it did not work.
    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 1,
            error: error.into(),
        }
    }

    fn tell(&self) -> ExitCode {
        if let Some(problems) = self.error.downcast_ref::<Problems>() {
            output::complain(format_args!("oidc-issuer: {}", problems.headline()));
            for problem in &problems.list {
                output::complain(format_args!("  - {problem}"));
            }
        } else {
            output::complain(format_args!("oidc-issuer: {:#}", self.error));
        }
        ExitCode::from(self.code)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::usage(problems)
    }
}
