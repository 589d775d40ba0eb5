//! `inspect`: what would be published, and what held back.

use std::process::ExitCode;

use clap::Args;

use super::Failure;

/// Show what a key file, a JWKS or an API server would publish
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Key files (PEM, JWKS)
    files: Vec<String>,
}

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed(anyhow::anyhow!("not yet: {:?}", args.files)))
}
