//! `completions`: what a shell completes.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, output};

/// Print a completion script for a shell
///
/// For example: oidc-issuer completions bash > /etc/bash_completion.d/oidc-issuer
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oidc-issuer", &mut script);
    output::say(String::from_utf8_lossy(&script)).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}
