//! All issuers of the process: started, changed by a reload, stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::IssuerSettings;
use super::desk::{Desk, Window};
use super::guard::{Work, restarted};
use super::memory::Handover;
use super::shared::{Published, Shared};
use super::task::{Issuer, Parts};
use crate::catalog::{Route, Slot};

/// How long a start and a reload wait for an issuer to publish what its ledger says: a little more than a store that hangs takes.
const STARTS_WITHIN: Duration = Duration::from_millis(2500);

/// The issuers of the process, each with a task of its own: one issuer's trouble never touches another.
#[derive(Debug)]
pub struct Issuers {
    shared: Shared,
    /// In the order of the configuration.
    running: Vec<Running>,
    published: watch::Sender<Published>,
    desk: Desk,
}

/// One issuer's task, and what outlives a change of its settings.
#[derive(Debug)]
struct Running {
    settings: Arc<IssuerSettings>,
    slot: Arc<Slot>,
    handover: Handover,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Ends when what its ledger says was published, or when it is known that it has to wait. `None`: it was waited for.
    started: Option<oneshot::Receiver<()>>,
    window: Window,
}

impl Issuers {
    /// Starts an issuer's task for each, within a tokio runtime, and serves them by the catalog.
    pub fn start(shared: Shared, settings: Vec<IssuerSettings>) -> Self {
        let required = settings.iter().filter(|settings| settings.required);
        let waiting = required.map(|settings| settings.profile.issuer.clone()).collect();
        let (published, _) = watch::channel(Published {
            waiting,
            ..Published::default()
        });
        let mut issuers = Self {
            shared,
            running: Vec::new(),
            published,
            desk: Desk::default(),
        };
        issuers.running = settings
            .into_iter()
            .map(|settings| issuers.run(Arc::new(settings), Arc::default(), Handover::default()))
            .collect();
        issuers.serve();
        issuers
    }

    /// Takes over a reloaded configuration. An issuer that is no longer there is withdrawn at once (404), and its
    /// ledger kept; one that comes back is published again from it; one whose sources changed keeps it; one that
    /// did not change is not disturbed.
    pub async fn apply(&mut self, settings: Vec<IssuerSettings>) {
        let issuer = |settings: &IssuerSettings| settings.profile.issuer.clone();
        let (mut kept, dropped): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut self.running)
            .into_iter()
            .map(|running| (issuer(&running.settings), running))
            .partition(|(url, _)| settings.iter().any(|settings| issuer(settings) == *url));

        self.shared.catalog.replace(kept.values().map(Running::route));
        self.desk
            .replace(kept.values().map(|running| running.window.clone()));
        for (url, running) in dropped {
            running.stopped().await;
            self.shared.stores.replica(url.as_str()).rests();
            self.shared.metrics.issuer(url.as_str()).removed();
            tracing::info!(
                issuer = url.as_str(),
                "an issuer was withdrawn; its ledger is kept"
            );
            self.published
                .send_if_modified(|published| published.leaves(&url));
        }
        for settings in settings {
            let running = match kept.remove(&issuer(&settings)) {
                Some(running) if *running.settings == settings => running,
                Some(running) => {
                    let (slot, handover) = (Arc::clone(&running.slot), running.handover.clone());
                    if !settings.required {
                        let url = issuer(&settings);
                        self.published
                            .send_if_modified(|published| published.leaves(&url));
                    }
                    running.stopped().await;
                    tracing::info!(
                        issuer = settings.profile.issuer.as_str(),
                        "the settings of an issuer changed"
                    );
                    self.run(Arc::new(settings), slot, handover)
                }
                None => {
                    tracing::info!(issuer = settings.profile.issuer.as_str(), "an issuer was added");
                    self.run(Arc::new(settings), Arc::default(), Handover::default())
                }
            };
            self.running.push(running);
        }
        // All of them at once: a store that does not answer must not hold up a reload once for each issuer.
        self.started().await;
        self.serve();
    }

    /// Waits until what each ledger says is published, a little longer than a store that hangs takes: who was let in
    /// before would be told 503, though the keys are known. A ledger that is there and not to be used is not waited for.
    pub async fn started(&mut self) {
        let starting: Vec<_> = self
            .running
            .iter_mut()
            .filter_map(|running| running.started.take())
            .collect();
        let all = async {
            for started in starting {
                // Fails where it is done, or the task panicked, which was logged.
                let _ = started.await;
            }
        };
        let _ = tokio::time::timeout(STARTS_WITHIN, all).await;
    }

    /// How far they are.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Where operators' commands are taken to them.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Stops reading. What is published stays in the catalog.
    pub async fn shutdown(self) {
        for running in self.running {
            running.stopped().await;
        }
    }

    fn serve(&self) {
        self.shared
            .catalog
            .replace(self.running.iter().map(Running::route));
        self.desk
            .replace(self.running.iter().map(|running| running.window.clone()));
    }

    fn run(&self, settings: Arc<IssuerSettings>, slot: Arc<Slot>, handover: Handover) -> Running {
        let issuer = settings.profile.issuer.as_str();
        let counted = Arc::clone(&slot);
        self.shared
            .metrics
            .issuer(issuer)
            .requested(move || counted.requests());
        let (window, inbox) = Window::open(issuer, self.shared.stores.replica(issuer));
        let parts = Parts {
            settings: Arc::clone(&settings),
            shared: self.shared.clone(),
            slot: Arc::clone(&slot),
            published: self.published.clone(),
            inbox,
            handover: handover.clone(),
        };
        let stop = CancellationToken::new();
        let (tell, started) = oneshot::channel();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let what = format!("the task of issuer {}", parts.settings.profile.issuer);
            let mut tell = Some(tell);
            let start = || work(parts.clone(), tell.take());
            restarted(&what, &stopped, start).await;
        });
        Running {
            settings,
            slot,
            handover,
            stop,
            task,
            started: Some(started),
            window,
        }
    }
}

/// `tell` is dropped when what the ledger says was published, or when it is known that the ledger cannot be had now.
fn work(parts: Parts, tell: Option<oneshot::Sender<()>>) -> Work {
    let url = parts.settings.profile.issuer.clone();
    let replica = parts.shared.stores.replica(url.as_str());
    let published = parts.published.clone();
    Box::pin(async move {
        // On the heap until it is done: what it needs is not needed for the rest of the issuer's life.
        let mut opening = Box::pin(Issuer::open(parts));
        let opened = tokio::select! {
            issuer = &mut opening => Some(issuer),
            () = replica.waits() => None,
        };
        if let Some(reason) = replica.status_now().waits {
            let reason = format!("its ledger cannot be read: {reason}");
            published.send_modify(|published| published.reason(&url, Some(reason)));
        }
        drop(tell);
        let issuer = match opened {
            Some(issuer) => issuer,
            None => opening.as_mut().await,
        };
        drop(opening);
        issuer.run().await;
    })
}

impl Running {
    fn route(&self) -> Route {
        let profile = &self.settings.profile;
        Route {
            issuer: profile.issuer.clone(),
            jwks_uri: profile.jwks_uri.clone(),
            slot: Arc::clone(&self.slot),
        }
    }

    /// Ends the task, and waits for its end: nothing is published after it.
    async fn stopped(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}
