//! `keys`: what an operator sees of an issuer's keys, and decides about them.

mod client;
mod direct;
mod file;
mod kid;
mod table;
mod way;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};

pub(super) use self::way::with_store;
use self::way::{Way, WayArgs};
use super::logging::LoggingArgs;
use super::{Failure, output};
use crate::control::{Failed, Report, Request, Verb};
use crate::display;

/// See the keys of an issuer and how they stand; revoke, approve and import keys
///
/// Asks the running service, by the socket in its state folder: it must run on this machine, as the same user (or you
/// are root). In a pod: kubectl exec POD -- /oidc-issuer keys list
///
/// Exit code 0 if it was done, 1 if it was refused or the service was not reached, 64 for wrong usage.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    List(ListArgs),
    Revoke(RevokeArgs),
    Unrevoke(UnrevokeArgs),
    Approve(ApproveArgs),
    Import(ImportArgs),
}

/// Show every key: how it stands, and what is safe now
///
/// From when a new key may sign, because every cache has it by then; when an absent one leaves, because no token that it
/// signed lives any more; who revoked which one, and why; what waits for an approval.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Take a key back for good: its private half has leaked
///
/// It is published no more, at once here, within a refresh by every replica that shares the store. No listing brings it
/// back, nor does a restart; `keys unrevoke` alone does. Caches are told to ask again within a minute.
#[derive(Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    key: KeyArg,

    /// Why: whoever reads it in a year should know
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Even if it is the last published key: both documents answer 503 then, until another one is listed
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// Take a revocation back
#[derive(Debug, Args)]
struct UnrevokeArgs {
    #[command(flatten)]
    key: KeyArg,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Let in what waits: a new key, or a listing that replaces every published key
#[derive(Debug, Args)]
struct ApproveArgs {
    /// The kid of the new key, `sha256:` and the beginning of its fingerprint, or the name of the change: as `keys list`
    /// shows them. With --store the name of a change, the whole fingerprint, or a kid that is a hash, as API servers make
    /// it. A name that fits several is refused
    // A kid is base64url as often as not, and begins with a hyphen then and now.
    #[arg(value_name = "KID|CHANGE", allow_hyphen_values = true)]
    name: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Take over the keys of an issuer that was published elsewhere until now
///
/// They are published as retained: for as long as tokens that they signed may live. Those that a source lists are known
/// already. Exit code 1 if not one key of the file is published now.
#[derive(Debug, Args)]
struct ImportArgs {
    /// A JWKS document or a PEM file (- reads it from standard input); of private keys the public half is taken
    #[arg(value_name = "FILE|-")]
    file: PathBuf,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct KeyArg {
    /// The kid of the key; or `sha256:` and the beginning of its fingerprint, as `keys list --output json` shows it. A name
    /// that fits several keys is refused
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    key: String,
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// The issuer; may be left out where there is only one
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// A table for people, or JSON for scripts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,

    #[command(flatten)]
    way: WayArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
}

pub(super) fn run(args: KeysArgs, logging: &LoggingArgs) -> Result<ExitCode, Failure> {
    let (verb, mut request, common, unusable) = match args.command {
        KeysCommand::List(list) => (Verb::List, Request::default(), list.common, Vec::new()),
        KeysCommand::Revoke(revoke) => {
            let request = Request {
                key: Some(revoke.key.key),
                reason: Some(revoke.reason),
                force: revoke.force,
                ..Request::default()
            };
            (Verb::Revoke, request, revoke.common, Vec::new())
        }
        KeysCommand::Unrevoke(unrevoke) => {
            let request = Request {
                key: Some(unrevoke.key.key),
                reason: unrevoke.reason,
                ..Request::default()
            };
            (Verb::Unrevoke, request, unrevoke.common, Vec::new())
        }
        KeysCommand::Approve(approve) => {
            let request = Request {
                key: Some(approve.name),
                reason: approve.reason,
                ..Request::default()
            };
            (Verb::Approve, request, approve.common, Vec::new())
        }
        KeysCommand::Import(import) => {
            let (jwks, unusable) = file::read(&import.file).map_err(Failure::failed)?;
            let request = Request {
                jwks: Some(jwks),
                reason: import.reason,
                ..Request::default()
            };
            (Verb::Import, request, import.common, unusable)
        }
    };
    request.issuer = common.issuer;
    // What the service would refuse needs no service to be refused.
    request
        .command(verb)
        .map_err(|message| Failure::usage(anyhow!(as_flags(&message))))?;
    let answer = match common.way.way(logging)? {
        Way::Socket(path) => client::ask_socket(&path, verb, &request),
        Way::Address(address) => client::ask_address(&address, verb, &request),
        Way::Store(store) => direct::carry(&store, verb, &request),
    };
    let answer = answer.map_err(Failure::failed)?;
    tell(verb, answer, unusable, common.output)
}

/// The members of a request by the names that they have on the command line.
fn as_flags(message: &str) -> String {
    let named = [
        ("`reason`", "--reason"),
        ("`issuer`", "--issuer"),
        ("`key`", "KID"),
        ("`jwks`", "FILE"),
    ];
    let told = named.iter().fold(message.to_owned(), |told, (member, flag)| {
        told.replace(member, flag)
    });
    told.replace('`', "")
}

fn tell(
    verb: Verb,
    answer: Result<Report, Failed>,
    unusable: Vec<crate::control::Refused>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let said = |said: std::io::Result<()>| said.map_err(Failure::failed);
    match answer {
        Ok(mut report) => {
            report.refused.splice(0..0, unusable);
            for warning in &report.warnings {
                output::complain(format_args!("warning: {warning}"));
            }
            said(match output {
                Output::Table => {
                    let shown = display::all_lines(&report).map_err(Failure::failed)?;
                    output::say(table::Table(verb, &shown))
                }
                Output::Json => output::say_json(&report),
            })?;
            let nothing = verb == Verb::Import && report.changed.is_empty() && report.known.is_empty();
            Ok(ExitCode::from(u8::from(nothing)))
        }
        Err(failed) => {
            if output == Output::Json {
                said(output::say_json(&failed))?;
            }
            let Failed { error, message } = failed;
            Err(match error.as_str() {
                "badRequest" | "whichIssuer" => Failure::usage(anyhow!(message)),
                _ => Failure::failed(anyhow!(message)),
            })
        }
    }
}
