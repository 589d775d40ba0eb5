//! `inspect`: what would be published, and what held back.

mod findings;
mod found;
mod replica;
mod subject;
mod table;
mod token;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use self::findings::Findings;
use self::subject::Subject;
use self::token::Token;
use super::{Failure, output};
use crate::client::ApiServerSettings;
use crate::clock::Clock;
use crate::config;
use crate::display;
use crate::source::{Accepted, JwksSettings, SourceSettings};

/// Show what a key file, a JWKS or an API server would publish, and what would be held back and why
///
/// Exit code 0 if at least one key would be published (what could not be read is told on standard error) and no verifier would refuse the token; 1 otherwise, and where
/// `serve` would refuse a source because it names another issuer.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Key files or globs (PEM or JWKS), a kubeconfig, or the https URL of a JWKS; in a pod the default is the API
    /// server of its cluster
    #[arg(value_name = "FILE|URL")]
    subjects: Vec<String>,

    /// The API server that a kubeconfig names
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context in it, if not its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Run the credential plugin that a kubeconfig names (`exec`)
    #[arg(long)]
    allow_exec: bool,

    /// Ask every replica of the API server, at the addresses that the cluster lists; in a pod the default
    #[arg(long)]
    endpoints: bool,

    /// The CA that must have signed the source's certificate, PEM
    #[arg(long, value_name = "FILE")]
    source_ca: Option<PathBuf>,

    /// Show what a token claims, whether its `iss` and `kid` are published, and whether its signature is right
    /// (- reads it from standard input)
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,

    /// The issuer that would be served: the source and the token must name it, as with `serve`
    #[arg(long, value_name = "URL", value_parser = config::parse_issuer)]
    issuer: Option<String>,

    /// Another issuer that the API server may name, as with `serve`
    #[arg(long, value_name = "URL", requires = "issuer")]
    source_claims: Vec<String>,

    /// The longest that a token may live, as configured
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = config::parse_duration)]
    token_lifetime: SignedDuration,

    /// A table for people, or JSON for scripts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
}

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let subjects = subjects(args)?;
    let token = args.token.as_deref().map(token::read).transpose();
    let token = token.map_err(Failure::usage)?;
    let now = Clock::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut findings = runtime
        .context("the runtime cannot be started")
        .map_err(Failure::failed)?
        .block_on(Findings::gather(subjects, accepted(args).as_ref(), now));
    if let Some(token) = token {
        let expected = args.issuer.as_deref().or(findings.issuer.as_deref());
        let judged = Token::judge(&token, expected, &findings.keys, args.token_lifetime, now);
        findings.token = Some(judged.map_err(Failure::failed)?);
    }
    let said = match args.output {
        Output::Table => output::say(table::Table(&findings)),
        Output::Json => output::say_json(&findings.to_json()),
    };
    said.map_err(Failure::failed)?;
    for what in findings.not_read() {
        output::complain(format_args!("warning: not read: {what}"));
    }
    let refused = findings.token.as_ref().is_some_and(Token::is_refused);
    let fails = findings.keys.is_empty() || findings.other_issuer || refused;
    Ok(ExitCode::from(u8::from(fails)))
}

/// What `serve` would accept of an API server under the issuer that is given.
fn accepted(args: &InspectArgs) -> Option<Accepted> {
    args.issuer.as_ref().map(|issuer| Accepted {
        issuer: issuer.clone(),
        claims: args.source_claims.clone(),
    })
}

/// What the arguments name.
fn subjects(args: &InspectArgs) -> Result<Vec<Subject>, Failure> {
    let api_server = |kubeconfig: Option<PathBuf>| {
        SourceSettings::ApiServer(ApiServerSettings {
            kubeconfig,
            context: args.context.clone(),
            allow_exec: args.allow_exec,
            endpoints: args.endpoints.then_some(true),
            ca_file: args.source_ca.clone(),
            ..ApiServerSettings::default()
        })
    };
    let mut subjects = Vec::new();
    let mut files = Vec::new();
    for named in &args.subjects {
        if named.contains("://") {
            let jwks = JwksSettings {
                url: config::parse_source_url(named).map_err(|message| Failure::usage(anyhow!(message)))?,
                ca_file: args.source_ca.clone(),
                token_file: None,
                timeout: None,
            };
            subjects.push(Subject::source(named, SourceSettings::Jwks(jwks)));
        } else if subject::is_kubeconfig(named) {
            subjects.push(Subject::source(named, api_server(Some(PathBuf::from(named)))));
        } else {
            files.push(named.clone());
        }
    }
    if let Some(file) = &args.kubeconfig {
        let name = display::path(file);
        subjects.push(Subject::source(&name, api_server(Some(file.clone()))));
    }
    if !files.is_empty() {
        subjects.push(Subject::files(&files).map_err(Failure::usage)?);
    }
    if subjects.is_empty() {
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
            return Err(Failure::usage(anyhow!(
                "nothing to inspect: name key files, a kubeconfig, or the URL of a JWKS (in a pod it would be the API \
                 server of its cluster)"
            )));
        }
        subjects.push(Subject::source(
            "the API server of this pod's cluster",
            api_server(None),
        ));
    }
    Ok(subjects)
}
