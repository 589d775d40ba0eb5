//! All issuers of the process: started, changed by a reload, stopped.

use std::collections::{HashMap, HashSet};
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
use crate::publication::IssuerUrl;

/// How long a start and a reload wait for an issuer to publish what its ledger says: a little more than a store that hangs takes.
const STARTS_WITHIN: Duration = Duration::from_millis(2500);

/// So many changes are made in the catalog one by one; for more it is cheaper to make the catalog anew.
const FEW: usize = 64;

/// The issuers of the process, each with a task of its own: one issuer's trouble never touches another.
#[derive(Debug)]
pub struct Issuers {
    shared: Shared,
    /// In the order of the configuration.
    running: Vec<Running>,
    published: watch::Sender<Published>,
    desk: Desk,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Issuers that were not there before.
    pub added: usize,
    /// Issuers whose settings are others now.
    pub changed: usize,
    /// Issuers that are no longer there.
    pub dropped: usize,
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
    /// did not change is not disturbed. Costs a comparison for each issuer, and for those that changed their change.
    pub async fn apply(&mut self, settings: Vec<IssuerSettings>) -> Applied {
        let before = std::mem::take(&mut self.running);
        let wanted: HashSet<_> = settings.iter().map(|settings| &settings.profile.issuer).collect();
        let (kept, dropped): (Vec<_>, Vec<_>) = before
            .into_iter()
            .partition(|running| wanted.contains(running.issuer()));
        let mut applied = Applied {
            dropped: dropped.len(),
            ..Applied::default()
        };
        self.wait_for_no_others(&settings);
        self.withdraw(&kept, dropped).await;

        let mut kept: HashMap<_, _> = kept
            .into_iter()
            .map(|running| (running.issuer().clone(), running))
            .collect();
        let mut others = Vec::new();
        for settings in settings {
            let url = settings.profile.issuer.clone();
            let running = match kept.remove(&url) {
                Some(running) if *running.settings == settings => running,
                Some(running) => {
                    let (slot, handover) = (Arc::clone(&running.slot), running.handover.clone());
                    running.stopped().await;
                    tracing::info!(issuer = url.as_str(), "the settings of an issuer changed");
                    applied.changed += 1;
                    others.push(self.running.len());
                    self.run(Arc::new(settings), slot, handover)
                }
                None => {
                    tracing::info!(issuer = url.as_str(), "an issuer was added");
                    applied.added += 1;
                    others.push(self.running.len());
                    self.run(Arc::new(settings), Arc::default(), Handover::default())
                }
            };
            self.running.push(running);
        }
        // All of them at once: a store that does not answer must not hold up a reload once for each issuer.
        self.started().await;
        if others.len() <= FEW {
            for running in others.into_iter().filter_map(|index| self.running.get(index)) {
                self.shared.catalog.upsert(running.route());
            }
            self.take_commands();
        } else {
            self.serve();
        }
        applied
    }

    /// Issuers of the start that are no longer required, or no longer there, are not waited for.
    fn wait_for_no_others(&self, settings: &[IssuerSettings]) {
        let required: HashSet<_> = settings
            .iter()
            .filter(|settings| settings.required)
            .map(|settings| &settings.profile.issuer)
            .collect();
        self.published
            .send_if_modified(|published| published.leave_all_but(&required));
    }

    /// Ends those that were dropped: 404 from now on.
    async fn withdraw(&self, kept: &[Running], dropped: Vec<Running>) {
        let catalog = &self.shared.catalog;
        if dropped.len() <= FEW {
            for running in &dropped {
                catalog.remove(running.issuer());
            }
        } else {
            catalog.replace(kept.iter().map(Running::route));
        }
        if !dropped.is_empty() {
            self.desk
                .replace(kept.iter().map(|running| running.window.clone()));
        }
        // All of them at once: each may wait for a disk.
        for running in &dropped {
            running.stop.cancel();
        }
        for running in dropped {
            let url = running.issuer().clone();
            running.stopped().await;
            self.shared.stores.replica(url.as_str()).rests();
            self.shared.metrics.issuer(url.as_str()).removed();
            tracing::info!(
                issuer = url.as_str(),
                "an issuer was withdrawn; its ledger is kept"
            );
        }
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
        for running in &self.running {
            running.stop.cancel();
        }
        for running in self.running {
            running.stopped().await;
        }
    }

    fn serve(&self) {
        self.shared
            .catalog
            .replace(self.running.iter().map(Running::route));
        self.take_commands();
    }

    fn take_commands(&self) {
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
    fn issuer(&self) -> &IssuerUrl {
        &self.settings.profile.issuer
    }

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
