//! All issuers of the process: started, changed by a reload, stopped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::IssuerSettings;
use super::desk::Desk;
use super::engine::Engine;
use super::entry::Entry;
use super::memory::Handover;
use super::shared::{Published, Shared};
use super::state::Parts;
use crate::catalog::{Route, Slot};
use crate::publication::IssuerUrl;

/// How long a start and a reload wait for an issuer to publish what its ledger says: a little more than a store that hangs takes.
const STARTS_WITHIN: Duration = Duration::from_millis(2500);

/// So many changes are made in the catalog one by one; for more it is cheaper to make the catalog anew.
const FEW: usize = 64;

/// The issuers of the process: one issuer's trouble never touches another.
#[derive(Debug)]
pub struct Issuers {
    engine: Engine,
    published: watch::Sender<Published>,
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

/// What became of one issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upserted {
    /// It was not there before.
    Added,
    /// Its settings are others now.
    Changed,
    /// Its settings are those that it had.
    Same,
}

impl Issuers {
    /// Starts the issuers, within a tokio runtime, and serves them by the catalog.
    pub fn start(shared: Shared, settings: Vec<IssuerSettings>) -> Self {
        let required = settings.iter().filter(|settings| settings.required);
        let waiting = required.map(|settings| settings.profile.issuer.clone()).collect();
        let (published, _) = watch::channel(Published {
            waiting,
            ..Published::default()
        });
        let issuers = Self {
            engine: Engine::start(shared),
            published,
        };
        let entries = settings
            .into_iter()
            .map(|settings| issuers.add(Arc::new(settings), Arc::default(), Handover::default()));
        let entries: Vec<_> = entries.collect();
        issuers.serve(&entries);
        issuers
    }

    /// Adds one issuer, or changes its settings. What its ledger says is published as soon as that was read.
    pub async fn upsert(&self, settings: IssuerSettings) -> Upserted {
        let url = settings.profile.issuer.clone();
        let (entry, upserted) = match self.engine.find(url.as_str()) {
            Some(before) if *before.parts.settings == settings => return Upserted::Same,
            Some(before) => {
                let entry = self.change(&before, settings).await;
                (entry, Upserted::Changed)
            }
            None => {
                let entry = self.add(Arc::new(settings), Arc::default(), Handover::default());
                tracing::info!(issuer = url.as_str(), "an issuer was added");
                (entry, Upserted::Added)
            }
        };
        self.engine.shared().catalog.upsert(route(&entry));
        upserted
    }

    /// Withdraws one issuer at once (404) and keeps its ledger. Whether there was such a one.
    pub async fn remove(&self, issuer: &IssuerUrl) -> bool {
        let Some(entry) = self.engine.find(issuer.as_str()) else {
            return false;
        };
        self.published
            .send_if_modified(|published| published.leaves(issuer));
        self.engine.shared().catalog.remove(issuer);
        self.drop_all(vec![entry]).await;
        true
    }

    /// Takes over a reloaded configuration. An issuer that is no longer there is withdrawn at once (404), and its
    /// ledger kept; one that comes back is published again from it; one whose sources changed keeps it; one that
    /// did not change is not disturbed. Costs a comparison for each issuer, and for those that changed their change.
    pub async fn apply(&mut self, settings: Vec<IssuerSettings>) -> Applied {
        let before = self.engine.all();
        let wanted: HashSet<_> = settings.iter().map(|settings| &settings.profile.issuer).collect();
        let (kept, dropped): (Vec<_>, Vec<_>) = before
            .into_iter()
            .partition(|entry| wanted.contains(issuer_of(entry)));
        let mut applied = Applied {
            dropped: dropped.len(),
            ..Applied::default()
        };
        self.wait_for_no_others(&settings);
        self.withdraw(&kept, dropped).await;

        let mut kept: HashMap<_, _> = kept
            .into_iter()
            .map(|entry| (issuer_of(&entry).clone(), entry))
            .collect();
        let (mut others, mut all) = (Vec::new(), Vec::new());
        for settings in settings {
            let url = settings.profile.issuer.clone();
            let entry = match kept.remove(&url) {
                Some(entry) if *entry.parts.settings == settings => entry,
                Some(entry) => {
                    applied.changed += 1;
                    let entry = self.change(&entry, settings).await;
                    others.push(Arc::clone(&entry));
                    entry
                }
                None => {
                    tracing::info!(issuer = url.as_str(), "an issuer was added");
                    applied.added += 1;
                    let entry = self.add(Arc::new(settings), Arc::default(), Handover::default());
                    others.push(Arc::clone(&entry));
                    entry
                }
            };
            all.push(entry);
        }
        // All of them at once: a store that does not answer must not hold up a reload once for each issuer.
        self.started().await;
        if others.len() <= FEW {
            for entry in others {
                self.engine.shared().catalog.upsert(route(&entry));
            }
        } else {
            self.serve(&all);
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
    async fn withdraw(&self, kept: &[Arc<Entry>], dropped: Vec<Arc<Entry>>) {
        let catalog = &self.engine.shared().catalog;
        if dropped.len() <= FEW {
            for entry in &dropped {
                catalog.remove(issuer_of(entry));
            }
        } else {
            catalog.replace(kept.iter().map(route));
        }
        self.drop_all(dropped).await;
    }

    async fn drop_all(&self, dropped: Vec<Arc<Entry>>) {
        // All of them at once: each may wait for a disk.
        let ending: Vec<_> = dropped
            .into_iter()
            .map(|entry| {
                self.engine.remove(&entry);
                (issuer_of(&entry).clone(), entry.end())
            })
            .collect();
        for (url, ending) in ending {
            ending.ended().await;
            let shared = self.engine.shared();
            shared.stores.left(url.as_str());
            shared.metrics.issuer(url.as_str()).removed();
            tracing::info!(
                issuer = url.as_str(),
                "an issuer was withdrawn; its ledger is kept"
            );
        }
    }

    /// Waits until what each ledger says is published, a little longer than a store that hangs takes: who was let in
    /// before would be told 503, though the keys are known. A ledger that is there and not to be used is not waited for.
    pub async fn started(&mut self) {
        let _ = tokio::time::timeout(STARTS_WITHIN, self.engine.started()).await;
    }

    /// How far they are.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Where operators' commands are taken to them.
    pub fn desk(&self) -> Desk {
        Desk(self.engine.clone())
    }

    /// Stops reading. What is published stays in the catalog.
    pub async fn shutdown(self) {
        let ending: Vec<_> = self.engine.all().iter().map(|entry| entry.end()).collect();
        for ending in ending {
            ending.ended().await;
        }
    }

    fn serve(&self, entries: &[Arc<Entry>]) {
        self.engine.shared().catalog.replace(entries.iter().map(route));
    }

    /// The issuer with other settings: what is published, told and counted goes on.
    async fn change(&self, before: &Arc<Entry>, settings: IssuerSettings) -> Arc<Entry> {
        let Parts { slot, handover, .. } = before.parts.clone();
        self.engine.remove(before);
        before.end().ended().await;
        let issuer = settings.profile.issuer.as_str();
        tracing::info!(issuer, "the settings of an issuer changed");
        self.add(Arc::new(settings), slot, handover)
    }

    fn add(&self, settings: Arc<IssuerSettings>, slot: Arc<Slot>, handover: Handover) -> Arc<Entry> {
        let shared = Arc::clone(self.engine.shared());
        let counted = Arc::clone(&slot);
        shared
            .metrics
            .issuer(settings.profile.issuer.as_str())
            .requested(counted);
        self.engine.add(Parts {
            settings,
            shared,
            slot,
            published: self.published.clone(),
            handover,
        })
    }
}

fn issuer_of(entry: &Arc<Entry>) -> &IssuerUrl {
    &entry.parts.settings.profile.issuer
}

fn route(entry: &Arc<Entry>) -> Route {
    let profile = &entry.parts.settings.profile;
    Route {
        issuer: profile.issuer.clone(),
        jwks_uri: profile.jwks_uri.clone(),
        slot: Arc::clone(&entry.parts.slot),
    }
}
