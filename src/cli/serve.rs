//! `serve`: publishes until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::flags::{Asked, SettingsArgs};
use super::logging::{self, LoggingArgs};
use super::preflight::Listening;
use super::reload::{self, Reloader, Watch};
use super::signals::{Signals, Wanted};
use super::state::StateError;
use super::{Failure, output, state, welcome};
use crate::admin::{self, AdminState, Readiness};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Settings;
use crate::control::{Audit, Control, ControlState};
use crate::display;
use crate::edge::{Edge, EdgeError, Hosts, TlsSettings};
use crate::issuer::{Issuers, KeyOwners, Reminders, Rounds, Shared};
use crate::metrics::{Metrics, VERSION};
use crate::source::FolderWatch;
use crate::store::{FolderLock, LockError, Stores};

/// Publish the keys of one or more clusters over HTTPS
///
/// Without --config, --issuer or a source it serves https://localhost:8443 with a signing key of its own, for trying
/// the service. In a pod, --issuer alone means the API server of the pod's cluster.
#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(
    args: ServeArgs,
    logging: LoggingArgs,
    taken: Option<anyhow::Result<(Runtime, Signals)>>,
    odd: Vec<String>,
) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let (runtime, signals) = taken.unwrap_or_else(Signals::taken).map_err(Failure::failed)?;
    let ended = runtime.block_on(async {
        let clock = Clock::system();
        let metrics = Metrics::new(clock.now());
        logging::queue(&metrics)
            .context("the log cannot be started")
            .map_err(Failure::failed)?;
        let start = Start {
            asked: args.settings.asked(logging),
            odd,
            started,
            metrics,
            clock,
        };
        serve(start, signals).await
    });
    // A read of a file may hang (a network file system, an endless glob), and cannot be called off: it must not keep
    // the process.
    runtime.shutdown_background();
    ended
}

/// What a start begins with.
struct Start {
    asked: Asked,
    /// What is odd about the environment.
    odd: Vec<String>,
    started: Instant,
    metrics: Metrics,
    clock: Clock,
}

/// What was started: it answers health and commands, and not yet the edge.
struct Started {
    // Held until the process ends.
    _lock: Option<Arc<Mutex<FolderLock>>>,
    reloader: Reloader,
    watch: Watch,
    edge: Edge,
    catalog: Arc<Catalog>,
    readiness: Arc<Readiness>,
    control: JoinHandle<()>,
    admin: JoinHandle<()>,
    stop_edge: CancellationToken,
    stop_admin: CancellationToken,
}

async fn serve(start: Start, mut signals: Signals) -> Result<ExitCode, Failure> {
    // Each file that is read may hang.
    let starting = tokio::task::spawn_blocking(|| start.start());
    let started = tokio::select! {
        started = starting => started.map_err(Failure::failed)??,
        name = signals.stop() => {
            tracing::info!("{name}: ending before the start was done");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let Started {
        _lock,
        mut reloader,
        watch,
        edge,
        catalog,
        readiness,
        control,
        mut admin,
        stop_edge,
        stop_admin,
    } = started;
    // Connections wait in the kernel meanwhile: the first answer is the right one.
    let stopped = tokio::select! {
        () = reloader.issuers.started() => None,
        name = signals.stop() => Some(name),
    };
    let mut edge = tokio::spawn(edge.serve(catalog, stop_edge.clone()));
    let name = if let Some(name) = stopped {
        name
    } else {
        // A listener ends before it is told to by a panic only: better a new process than one that nobody can reach.
        tokio::select! {
            name = reload_until_stop(&mut signals, &mut reloader, watch) => name,
            ended = &mut edge => return Err(ended_early("edge", ended)),
            ended = &mut admin => return Err(ended_early("admin listener", ended)),
        }
    };
    tracing::info!("{name}: answering what is in flight, then ending; a second signal ends at once");
    tokio::spawn(async {
        let code = signals.second().await;
        tracing::warn!("second signal: ending at once");
        logging::flush();
        std::process::exit(code);
    });
    readiness.close();
    stop_edge.cancel();
    let edge = edge.await;
    // A panic in it is in the log, and costs nobody anything any more.
    let _ = control.await;
    reloader.issuers.shutdown().await;
    stop_admin.cancel();
    let admin = admin.await;
    edge.and(admin)
        .context("a listener ended by a panic")
        .map_err(Failure::failed)?;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Reloads whenever that is asked for, until SIGTERM or SIGINT: its name.
async fn reload_until_stop(signals: &mut Signals, reloader: &mut Reloader, mut watch: Watch) -> &'static str {
    loop {
        let why = tokio::select! {
            wanted = signals.next() => match wanted {
                Wanted::Stop(name) => return name,
                Wanted::Reload => "SIGHUP",
            },
            () = watch.changed() => "the file changed",
        };
        // The file may hang.
        let read = tokio::select! {
            read = reloader.read() => read,
            name = signals.stop() => return name,
        };
        reloader.take_over(why, read).await;
    }
}

impl Start {
    /// Within a tokio runtime.
    fn start(self) -> Result<Started, Failure> {
        let Self {
            asked,
            odd,
            started,
            metrics,
            clock,
        } = self;
        // Before the file is read: a change in between is then a change.
        let watch = Watch::new(asked.file.clone());
        let mut settings = asked.load().inspect_err(|_| complain(&odd))?;
        Listening::judge(&asked, &settings, clock.now()).refused(&asked)?;
        reload::show(&metrics, &settings);
        let level = logging::start(&settings.logging);
        let lock = lock_state(&settings)?;
        let (limits, capacity, doubt) = settings
            .limits
            .clone()
            .fitted(Path::new("/"), settings.issuers.len());
        let mut edge =
            Edge::bind(&settings.listeners_to_open(), limits, &metrics, &clock).map_err(cannot_listen)?;
        let hosts = Hosts::default();
        hosts.expect(settings.hosts());
        edge.tell(&hosts);
        let addresses = edge.addresses().map_err(Failure::failed)?;
        let admin_socket = admin::bind(settings.admin).map_err(Failure::failed)?;
        let mut control = Control::default();
        let control_address = settings
            .control
            .clone()
            .map(|settings| control.listen(settings, &clock));
        let control_address = control_address.transpose().map_err(cannot_listen)?;

        let catalog = Arc::new(Catalog::default());
        let shared = Shared {
            catalog: Arc::clone(&catalog),
            metrics: metrics.clone(),
            clock: clock.clone(),
            stores: Stores::open(settings.store.clone())
                .map_err(|cause| Failure::failed(cannot_keep(&cause)))?,
            folders: FolderWatch::default(),
            reminders: Reminders::default(),
            owners: KeyOwners::default(),
            reads: settings.reads,
            rounds: Rounds::default(),
        };
        announce(&asked, &odd, &settings, &addresses, &admin_socket);
        // From here on they are the settings of those that run.
        let issuers = Issuers::start(shared, std::mem::take(&mut settings.issuers));
        metrics.config_loaded(clock.now());
        let readiness = Arc::new(Readiness::new());
        let admin_state = AdminState {
            metrics: metrics.clone(),
            readiness: Arc::clone(&readiness),
            published: issuers.published(),
            started,
        };
        tracing::info!("{capacity}");
        for warning in doubt.into_iter().chain(hosts.warnings()) {
            tracing::warn!("{warning}");
        }
        if let Some(address) = control_address {
            tracing::info!(%address, "listening on {address} for commands over mutual TLS");
        }
        let lock = open_socket(&mut control, &settings, lock);
        let audit = Arc::new(Audit::new(settings.audit.clone()));
        let control_state = ControlState {
            desk: issuers.desk(),
            audit: Arc::clone(&audit),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };

        let stop_edge = CancellationToken::new();
        let stop_admin = CancellationToken::new();
        let control = tokio::spawn(control.serve(control_state, stop_edge.clone()));
        tokio::spawn(check_audit(audit));
        let admin = tokio::spawn(admin::serve(
            admin_socket,
            admin_state,
            stop_admin.clone().cancelled_owned(),
        ));
        Ok(Started {
            _lock: lock,
            reloader: Reloader {
                asked,
                settings,
                issuers,
                metrics,
                clock,
                level,
                hosts,
            },
            watch,
            edge,
            catalog,
            readiness,
            control,
            admin,
            stop_edge,
            stop_admin,
        })
    }
}

fn complain(warnings: &[String]) {
    for warning in warnings {
        output::complain(format_args!("warning: {warning}"));
    }
}

/// Whoever publishes keys without taking commands is better than nobody.
fn open_socket(
    control: &mut Control,
    settings: &Settings,
    lock: Result<Arc<Mutex<FolderLock>>, StateError>,
) -> Option<Arc<Mutex<FolderLock>>> {
    let opened = match &lock {
        Err(error) => Err(error.to_string()),
        Ok(lock) => control
            .open(&settings.state_dir, Arc::clone(lock))
            .map_err(|error| error.to_string()),
    };
    match opened {
        Ok(path) => tracing::info!("commands are taken on {}", display::path(path)),
        Err(error) => {
            tracing::warn!("there is no control socket, `oidc-issuer keys` cannot reach this: {error}");
        }
    }
    lock.ok()
}

/// A state folder that is not locked is an error where something is kept in it; otherwise only the control socket is
/// missing.
fn lock_state(settings: &Settings) -> Result<Result<Arc<Mutex<FolderLock>>, StateError>, Failure> {
    match state::lock(&settings.state_dir) {
        Err(error) if settings.keeps_state() => Err(Failure::failed(error)),
        lock => Ok(lock),
    }
}

/// Runs beside all else, because the file may hang.
async fn check_audit(audit: Arc<Audit>) {
    if let Err(error) = audit.check().await {
        tracing::error!("{error}");
    }
}

fn cannot_listen(error: EdgeError) -> Failure {
    if error.is_configuration() {
        Failure::usage(error)
    } else {
        Failure::failed(error)
    }
}

fn cannot_keep(cause: &LockError) -> anyhow::Error {
    match cause {
        LockError::Locked { .. } => {
            anyhow!("the folder of the ledgers {cause}: stop that process, or give each a folder of its own")
        }
        LockError::Unusable { .. } => anyhow!(
            "the folder of the ledgers {cause}; name one that this user may write with store.sqlite.file or --state-dir"
        ),
    }
}

fn ended_early(part: &str, ended: Result<(), JoinError>) -> Failure {
    let error = ended
        .err()
        .map_or_else(|| "no reason is known".to_owned(), |error| error.to_string());
    tracing::error!("the {part} ended by itself: {error}");
    Failure::failed(anyhow!("the {part} ended by itself: {error}"))
}

fn announce(
    asked: &Asked,
    odd: &[String],
    settings: &Settings,
    addresses: &[std::net::SocketAddr],
    admin: &TcpListener,
) {
    tracing::info!("oidc-issuer {VERSION} starts");
    for warning in odd.iter().chain(&settings.warnings()) {
        tracing::warn!("{warning}");
    }
    for issuer in &settings.issuers {
        for source in &issuer.sources {
            let url = &issuer.profile.issuer;
            tracing::info!(issuer = %url, "{url} publishes the keys of {}", super::config::describe(&source.settings));
        }
    }
    tracing::info!("ledgers in {}", super::config::describe_store(&settings.store));
    for (listener, address) in settings.listeners.iter().zip(addresses) {
        let kind = if listener.tls.is_some() {
            "HTTPS"
        } else {
            "plain HTTP"
        };
        tracing::info!(%address, "listening on {address} for {kind}");
    }
    let self_signed = settings
        .listeners
        .iter()
        .find_map(|listener| match &listener.tls {
            Some(TlsSettings::SelfSigned { folder, .. }) => Some(folder.join("ca.crt")),
            _ => None,
        });
    if let (Some(ca), false) = (self_signed, asked.is_embedded_default()) {
        tracing::warn!(
            "the certificate is self-signed: verifiers trust it only with {}; name another one with --tls-cert and \
             --tls-key",
            display::path(ca)
        );
    }
    if let Ok(address) = admin.local_addr() {
        tracing::info!(%address, "listening on {address} for metrics and health");
    }
    if asked.is_embedded_default() {
        let local = addresses.iter().all(|address| address.ip().is_loopback());
        let reach = if local {
            "only this machine reaches it"
        } else {
            "other machines reach it: --listen names an address beyond loopback"
        };
        tracing::warn!(
            "not for production: nothing names an issuer, so this is a trial with a signing key of its own ({reach}). \
             Name the issuer with --issuer or --config"
        );
        if let Some(text) = welcome::text(asked, settings, addresses) {
            // Whoever does not read standard output, or has closed it, is no reason not to serve.
            let said = std::thread::Builder::new().spawn(|| output::say(text));
            if let Err(error) = said {
                tracing::warn!(%error, "what to try next could not be printed");
            }
        }
    }
}
