//! `config check`: whether a configuration would be taken.

use std::fmt;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::flags::SettingsArgs;
use super::logging::LoggingArgs;
use super::{Failure, output};
use crate::client::shown;
use crate::clock::Clock;
use crate::config::{Settings, show_duration};
use crate::edge::{EdgeError, Hosts, ListenerSettings, TlsSettings, check_certificate};
use crate::fs::FileError;
use crate::ring::{Confirmation, NewKeys};
use crate::source::{self, SourceSettings};
use crate::store::{LocalSettings, StoreSettings};

/// Check a configuration
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tell every problem of a configuration, or what it would serve
    ///
    /// Takes the same flags and variables as `serve`. Exit code 0 if `serve` would take it, otherwise 64.
    /// Certificate files that are not on this machine are a warning only.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,

    /// The configuration file, as with --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<std::path::PathBuf>,
}

pub(super) fn run(args: ConfigArgs, logging: LoggingArgs) -> Result<ExitCode, Failure> {
    let ConfigCommand::Check(mut check) = args.command;
    check.settings.default_config(check.file);
    let asked = check.settings.asked(logging);
    let settings = asked.load()?;
    for warning in settings.warnings() {
        output::complain(format_args!("warning: {warning}"));
    }
    check_certificates(&settings)?;
    let hosts = Hosts::of_files(&settings.listeners, settings.hosts(), Clock::system().now());
    let of_keys = settings
        .issuers
        .iter()
        .flat_map(|issuer| &issuer.sources)
        .flat_map(|source| source::doubts(&source.settings));
    for warning in hosts.warnings().into_iter().chain(of_keys) {
        output::complain(format_args!("warning: {warning}"));
    }
    output::say(Summary(&settings)).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// As the start would: files that do not match or are expired are wrong configuration. Those that are not there are
/// told only: a pipeline checks what another machine serves.
fn check_certificates(settings: &Settings) -> Result<(), Failure> {
    let now = Clock::system().now();
    let mut wrong = Vec::new();
    let of_listeners = settings
        .listeners
        .iter()
        .filter_map(|listener| match &listener.tls {
            Some(TlsSettings::Files { cert, key }) => Some((cert, key)),
            _ => None,
        });
    let of_control = settings
        .control
        .iter()
        .map(|control| (&control.cert, &control.key));
    for (cert, key) in of_listeners.chain(of_control) {
        match check_certificate(cert, key, now) {
            Ok(Some(doubt)) => output::complain(format_args!("warning: {}: {doubt}", cert.display())),
            Ok(None) => {}
            Err(EdgeError::Unreadable {
                path,
                error: FileError::Missing,
            }) => {
                output::complain(format_args!(
                    "warning: {} is not on this machine: serve would not start here",
                    path.display()
                ));
            }
            Err(error) => wrong.push(error.to_string()),
        }
    }
    wrong.dedup();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(anyhow!(wrong.join("; "))))
}

/// What would be served, for a person.
struct Summary<'a>(&'a Settings);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.0;
        writeln!(f, "The configuration is valid.")?;
        for issuer in &settings.issuers {
            let profile = &issuer.profile;
            writeln!(f, "\n{}\n  JWKS at {}", profile.issuer, profile.jwks_uri)?;
            for source in &issuer.sources {
                writeln!(f, "  keys from {}", describe(&source.settings))?;
                writeln!(f, "    {}", describe_confirmation(source.confirmation))?;
            }
            let new_keys = match issuer.rules.new_keys {
                NewKeys::Publish => "are published as they are listed",
                NewKeys::Approve => "wait until an operator approves them (oidc-issuer keys approve)",
            };
            writeln!(f, "  new keys {new_keys}")?;
            writeln!(
                f,
                "  read every {}; tokens live up to {}; a key that has left stays for {}",
                show_duration(issuer.refresh),
                show_duration(issuer.token_lifetime),
                show_duration(issuer.rules.retention),
            )?;
            let propagation = show_duration(issuer.rules.propagation);
            writeln!(
                f,
                "  every cache has a new key {propagation} after it was published"
            )?;
        }
        writeln!(f)?;
        for listener in settings.listeners_to_open() {
            writeln!(f, "listens on {}", describe_listener(&listener))?;
        }
        writeln!(f, "metrics and health on {}", settings.admin)?;
        if let Some(control) = &settings.control {
            let (address, ca) = (control.address, control.client_ca.display());
            writeln!(f, "commands on {address} for clients with a certificate of {ca}")?;
        }
        writeln!(f, "ledgers in {}", describe_store(&settings.store))?;
        if settings.keeps_state() {
            writeln!(f, "state in {}", settings.state_dir.display())?;
        }
        Ok(())
    }
}

/// What it takes to believe a source.
fn describe_confirmation(confirmation: Confirmation) -> String {
    let (absent, exchanged) = match confirmation {
        Confirmation::Reads(1) => ("at the first read without it".to_owned(), "at once".to_owned()),
        Confirmation::Reads(reads) => (
            format!("after {reads} reads in a row without it"),
            format!("after {reads} reads"),
        ),
        Confirmation::Duration(duration) => {
            let duration = show_duration(duration);
            (
                format!("after {duration} without it"),
                format!("after {duration}"),
            )
        }
        Confirmation::Manual => (
            format!("after {} reads in a row without it", Confirmation::MANUAL_READS),
            "when an operator approves it (oidc-issuer keys approve)".to_owned(),
        ),
    };
    format!("a key is absent {absent}; a listing without any published key is believed {exchanged}")
}

/// A source in a few words.
pub(super) fn describe(source: &SourceSettings) -> String {
    match source {
        SourceSettings::ApiServer(api) => match (&api.kubeconfig, &api.server) {
            (Some(file), _) => match &api.context {
                Some(context) => format!("the API server of context {context} in {}", file.display()),
                None => format!("the API server of {}", file.display()),
            },
            (None, Some(server)) => format!("the API server {}", shown(server)),
            (None, None) => "the API server of the cluster that this pod runs in".to_owned(),
        },
        SourceSettings::Files(files) => format!("files {}", files.paths.join(", ")),
        SourceSettings::Jwks(jwks) => format!("the JWKS at {}", shown(&jwks.url)),
        SourceSettings::Embedded(_) => {
            "a signing key of its own (for trying the service, not for production)".to_owned()
        }
    }
}

/// A store in a few words.
pub(super) fn describe_store(store: &StoreSettings) -> String {
    let copy = |local: &LocalSettings| format!("with a copy in {}", local.file.display());
    match store {
        StoreSettings::Memory => {
            "memory: a restart forgets the keys that have left, what was revoked and what was approved"
                .to_owned()
        }
        StoreSettings::Sqlite { local } => format!("the database {}", local.file.display()),
        StoreSettings::Folder { folder } => format!("files in {}", folder.display()),
        StoreSettings::Kubernetes { shared, local } => {
            let namespace = match &shared.namespace {
                Some(namespace) => format!("namespace {namespace}"),
                None => "the namespace of this pod".to_owned(),
            };
            format!(
                "ConfigMaps {}-* in {namespace}, {}",
                shared.name_prefix,
                copy(local)
            )
        }
        StoreSettings::ObjectStorage { shared, local } => {
            format!("{}, {}", shared.bucket.with_prefix(), copy(local))
        }
    }
}

fn describe_listener(listener: &ListenerSettings) -> String {
    let address = listener.address;
    match &listener.tls {
        None => format!("{address} with plain HTTP"),
        Some(TlsSettings::Files { cert, .. }) => {
            format!("{address} with HTTPS, certificate {}", cert.display())
        }
        Some(TlsSettings::SelfSigned { folder, names }) => format!(
            "{address} with HTTPS, self-signed for {}, CA in {}",
            names.join(", "),
            folder.join("ca.crt").display()
        ),
    }
}
