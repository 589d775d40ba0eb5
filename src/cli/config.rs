//! `config check`: whether a configuration would be taken.

use std::fmt;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::flags::SettingsArgs;
use super::logging::LoggingArgs;
use super::preflight::Listening;
use super::{Failure, output, preflight};
use crate::client::shown;
use crate::clock::Clock;
use crate::config::{Settings, show_duration};
use crate::display;
use crate::edge::{Hosts, ListenerSettings, TlsSettings};
use crate::ring::{Confirmation, NewKeys};
use crate::source::SourceSettings;
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
    /// Takes the same flags and variables as `serve`, and reads the files that it names as `serve` does. Nothing is asked
    /// over the network. Exit code 0 if `serve` would start, otherwise 64. What only keeps keys from being read (the files
    /// of sources and stores) is a warning, since `serve` starts and tries again; so are files that are not on this
    /// machine.
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
    let now = Clock::system().now();
    let listening = Listening::judge(&asked, &settings, now);
    let missing = listening.missing.iter().map(|problem| {
        // A pipeline checks what another machine serves.
        format!("{problem}. It is not on this machine, where serve would not start")
    });
    let hosts = Hosts::of_files(&settings.listeners, settings.hosts(), now);
    let warnings = listening.doubts.iter().cloned().chain(missing);
    for warning in warnings
        .chain(hosts.warnings())
        .chain(preflight::later(&asked, &settings))
    {
        output::complain(format_args!("warning: {warning}"));
    }
    preflight::problems(&asked, listening.wrong)?;
    output::say(Summary(&settings)).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
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
            let (address, ca) = (control.address, display::path(&control.client_ca));
            writeln!(f, "commands on {address} for clients with a certificate of {ca}")?;
        }
        writeln!(f, "ledgers in {}", describe_store(&settings.store))?;
        if settings.keeps_state() {
            writeln!(f, "state in {}", display::path(&settings.state_dir))?;
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
                Some(context) => format!("the API server of context {context} in {}", display::path(file)),
                None => format!("the API server of {}", display::path(file)),
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
    let copy = |local: &LocalSettings| format!("with a copy in {}", display::path(&local.file));
    match store {
        StoreSettings::Memory => {
            "memory: a restart forgets the keys that have left, what was revoked and what was approved"
                .to_owned()
        }
        StoreSettings::Sqlite { local } => format!("the database {}", display::path(&local.file)),
        StoreSettings::Folder { folder } => format!("files in {}", display::path(folder)),
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
            format!("{address} with HTTPS, certificate {}", display::path(cert))
        }
        Some(TlsSettings::SelfSigned { folder, names }) => format!(
            "{address} with HTTPS, self-signed for {}, CA in {}",
            names.join(", "),
            display::path(folder.join("ca.crt"))
        ),
    }
}
