//! `serve`: publishes until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::flags::{Asked, SettingsArgs};
use super::logging::{self, Level, LoggingArgs};
use super::reload::{Reloader, Watch};
use super::state::StateError;
use super::{Failure, output, state, welcome};
use crate::admin::{self, AdminState, Readiness};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Settings;
use crate::control::{Audit, Control, ControlState};
use crate::edge::{Edge, EdgeError, TlsSettings};
use crate::issuer::{Issuers, Shared};
use crate::metrics::{Metrics, VERSION};
use crate::source::FolderWatch;
use crate::store::{LockError, Stores};

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

pub(super) fn run(args: ServeArgs, logging: LoggingArgs) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let asked = args.settings.asked(logging);
    // Before the file is read: a change in between is then a change.
    let watch = Watch::new(asked.file.clone());
    let settings = asked.load()?;
    let level = logging::start(&settings.logging);
    // Held until the process ends.
    let lock = state::lock(&settings.state_dir);
    let (_lock, no_lock) = match lock {
        Ok(lock) => (Some(lock), None),
        Err(error) if settings.keeps_state() => return Err(Failure::failed(error)),
        // Only the control socket would be in it.
        Err(error) => (None, Some(error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
        .map_err(Failure::failed)?;
    let ended = runtime.block_on(serve(asked, watch, settings, level, started, no_lock));
    // A read of a file may hang (a network file system, an endless glob), and cannot be called off: it must not keep
    // the process.
    runtime.shutdown_background();
    ended
}

async fn serve(
    asked: Asked,
    watch: Watch,
    settings: Settings,
    level: Level,
    started: Instant,
    no_lock: Option<StateError>,
) -> Result<ExitCode, Failure> {
    let signals = Signals::listen().map_err(Failure::failed)?;
    let clock = Clock::system();
    let metrics = Metrics::new(clock.now());
    metrics.show_issuers(settings.issuer_rows);
    let (limits, capacity, doubt) = settings
        .limits
        .clone()
        .fitted(Path::new("/"), settings.issuers.len());
    let edge = Edge::bind(&settings.listeners_to_open(), limits, &metrics, &clock).map_err(cannot_listen)?;
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
        stores: Stores::open(settings.store.clone()).map_err(|cause| Failure::failed(cannot_keep(&cause)))?,
        folders: FolderWatch::default(),
    };
    let mut issuers = Issuers::start(shared, settings.issuers.clone());
    metrics.config_loaded(clock.now());
    let readiness = Arc::new(Readiness::new());
    let admin_state = AdminState {
        metrics: metrics.clone(),
        readiness: Arc::clone(&readiness),
        published: issuers.published(),
        started,
    };
    announce(&asked, &settings, &addresses, &admin_socket);
    tracing::info!("{capacity}");
    if let Some(doubt) = doubt {
        tracing::warn!("{doubt}");
    }
    if let Some(address) = control_address {
        tracing::info!(%address, "listening on {address} for commands over mutual TLS");
    }
    open_socket(&mut control, &settings, no_lock);
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
    // Beside all else: the file may hang.
    tokio::spawn(async move {
        if let Err(error) = audit.check().await {
            tracing::error!("{error}");
        }
    });
    let mut admin = tokio::spawn(admin::serve(
        admin_socket,
        admin_state,
        stop_admin.clone().cancelled_owned(),
    ));
    // Connections wait in the kernel meanwhile: the first answer is the right one.
    issuers.started().await;
    let mut edge = tokio::spawn(edge.serve(catalog, stop_edge.clone()));
    let mut reloader = Reloader {
        asked,
        settings,
        issuers,
        metrics,
        clock,
        level,
    };
    // A listener ends before it is told to by a panic only: better a new process than one that nobody can reach.
    let name = tokio::select! {
        name = signals.until_stop(&mut reloader, watch) => name,
        ended = &mut edge => return Err(ended_early("edge", ended)),
        ended = &mut admin => return Err(ended_early("admin listener", ended)),
    };
    tracing::info!("{name}: answering what is in flight, then ending; a second signal ends at once");
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

/// Whoever publishes keys without taking commands is better than nobody.
fn open_socket(control: &mut Control, settings: &Settings, no_lock: Option<StateError>) {
    let opened = match no_lock {
        Some(error) => Err(error.to_string()),
        None => control
            .open(&settings.state_dir)
            .map_err(|error| error.to_string()),
    };
    match opened {
        Ok(path) => tracing::info!("commands are taken on {}", path.display()),
        Err(error) => {
            tracing::warn!("there is no control socket, `oidc-issuer keys` cannot reach this: {error}");
        }
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
            "the folder of the ledgers {cause}; name one that this user may write as store.file.folder or --state-dir"
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

fn announce(asked: &Asked, settings: &Settings, addresses: &[std::net::SocketAddr], admin: &TcpListener) {
    tracing::info!("oidc-issuer {VERSION} starts");
    for warning in asked.warnings.iter().chain(&settings.warnings()) {
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
            ca.display()
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
            // A closed standard output is no reason not to serve.
            let _ = output::say(text);
        }
    }
}

/// The signals that the process lives by.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Reloads until the first SIGTERM or SIGINT, and tells its name; from then on another one ends the process at once.
    async fn until_stop(mut self, reloader: &mut Reloader, mut watch: Watch) -> &'static str {
        let name = loop {
            tokio::select! {
                _ = self.terminate.recv() => break "SIGTERM",
                _ = self.interrupt.recv() => break "SIGINT",
                _ = self.hang_up.recv() => reloader.reload("SIGHUP").await,
                () = watch.changed() => reloader.reload("the file changed").await,
            }
        };
        tokio::spawn(async move {
            let code = tokio::select! {
                _ = self.terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
                _ = self.interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
            };
            tracing::warn!("second signal: ending at once");
            std::process::exit(code);
        });
        name
    }
}
