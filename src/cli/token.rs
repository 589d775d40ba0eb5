//! `token`: a token as a pod would have it, signed with the embedded key.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use jiff::SignedDuration;

use super::flags::SettingsArgs;
use super::logging::LoggingArgs;
use super::{Failure, output};
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::issuer::IssuerSettings;
use crate::source::SourceSettings;
use crate::source::embedded::{PodToken, Signer};

/// Mint a token as a pod would have it, signed with the embedded key
///
/// For trying the service. Prints the token alone. Other sources hold public keys only: ask the cluster itself, with
/// `kubectl create token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Whom the token is for; repeatable [default: the issuer]
    #[arg(long, value_name = "AUDIENCE", help_heading = "Token")]
    audience: Vec<String>,

    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, help_heading = "Token")]
    expiration: SignedDuration,

    /// The namespace of the service account
    #[arg(long, value_name = "NAME", default_value = "default", help_heading = "Token")]
    namespace: String,

    /// The service account
    #[arg(long, value_name = "NAME", default_value = "default", help_heading = "Token")]
    service_account: String,

    /// The pod that it is bound to
    #[arg(long, value_name = "NAME", help_heading = "Token")]
    pod: Option<String>,

    /// The node of that pod
    #[arg(long, value_name = "NAME", requires = "pod", help_heading = "Token")]
    node: Option<String>,

    /// When a client should have fetched a new one (claim warnafter)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Token")]
    warn_after: Option<SignedDuration>,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    config::parse_duration(text)
}

pub(super) fn run(args: TokenArgs, logging: LoggingArgs) -> Result<ExitCode, Failure> {
    let settings = args.settings.asked(logging).load()?;
    let (issuer, folder) = embedded(&settings)?;
    let url = issuer.profile.issuer.as_str();
    let signer = Signer::open(folder).map_err(Failure::failed)?;
    let audience = if args.audience.is_empty() {
        vec![url.to_owned()]
    } else {
        args.audience
    };
    let token = PodToken {
        issuer: url.to_owned(),
        audience,
        issued_at: Clock::system().now(),
        expiration: args.expiration,
        namespace: args.namespace,
        service_account: args.service_account,
        pod: args.pod,
        node: args.node,
        warn_after: args.warn_after,
    };
    if args.expiration > issuer.token_lifetime {
        output::complain(format_args!(
            "warning: {url} promises its keys for tokens of at most {} (tokenLifetime); this one lives {}",
            config::show_duration(issuer.token_lifetime),
            config::show_duration(args.expiration),
        ));
    }
    let token = signer.sign(&token.claims()).map_err(Failure::failed)?;
    output::say(format_args!("{token}\n")).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// The issuer with an embedded key, and the folder of that key.
fn embedded(settings: &Settings) -> Result<(&IssuerSettings, &std::path::Path), Failure> {
    let found = settings.issuers.iter().find_map(|issuer| {
        issuer.sources.iter().find_map(|source| match &source.settings {
            SourceSettings::Embedded(embedded) => Some((issuer, embedded.folder.as_path())),
            _ => None,
        })
    });
    found.ok_or_else(|| {
        let sources: Vec<_> = settings
            .issuers
            .iter()
            .flat_map(|issuer| &issuer.sources)
            .map(|source| super::config::describe(&source.settings))
            .collect();
        Failure::usage(anyhow!(
            "there is no embedded key to sign with: the keys come from {}, where only the public halves can be read. \
             Ask the cluster for a token: kubectl create token SERVICE_ACCOUNT --audience AUDIENCE",
            sources.join(" and ")
        ))
    })
}
