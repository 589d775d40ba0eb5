//! Replicas within this process, all at once at one store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use oidc_issuer::clock::Clock;
use oidc_issuer::key::parse_file;
use oidc_issuer::ring::{Ledger, Listing, Ring, Rules, SourceId};
use oidc_issuer::store::{Found, Replica, StoreSettings, Stores};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::program::eventually;

const ISSUER: &str = "https://oidc.example.com/races";
const REPLICAS: usize = 5;
const REFRESH: Duration = Duration::from_millis(500);

/// How often it is tried that all write at once.
const ROUNDS: usize = 20;

/// A replica as the issuer's task runs one: it merges what is found.
struct Runner {
    replica: Replica,
    ledger: Arc<Mutex<Ledger>>,
}

impl Runner {
    async fn open(settings: &StoreSettings) -> Self {
        let replica = Stores::open(settings.clone()).expect("a store").replica(ISSUER);
        let ledger = Arc::new(Mutex::new(replica.open().await));
        Self { replica, ledger }
    }

    fn learns(&self, ledger: &Ledger) {
        let mut mine = self.ledger.lock().expect("no panic");
        *mine = mine.merge(ledger);
        self.replica.share(&mine);
    }

    fn knows(&self) -> Ledger {
        self.ledger.lock().expect("no panic").clone()
    }

    fn follow(&self, tasks: &mut JoinSet<()>) {
        let (found, mut hears) = mpsc::channel::<Found>(1);
        let (replica, own) = (self.replica.clone(), self.replica.clone());
        let ledger = Arc::clone(&self.ledger);
        tasks.spawn(async move { replica.follow(REFRESH, found).await });
        tasks.spawn(async move {
            while let Some(news) = hears.recv().await {
                let merged = ledger.lock().expect("no panic").merge(&news.ledger);
                ledger.lock().expect("no panic").clone_from(&merged);
                own.share(&merged);
                news.merged.send(()).ok();
            }
        });
    }

    fn conflicts(&self) -> u64 {
        self.replica.state().shared.expect("a shared store").conflicts
    }
}

/// Of several that create it at once, or write over one version at once, one wins; the others read, merge and write.
pub(super) async fn one_wins(settings: &StoreSettings) {
    let mut runners = Vec::new();
    for number in 0..REPLICAS {
        // Each has a folder of its own, or none.
        let settings = with_folder(settings, &format!("{number}"));
        runners.push(Runner::open(&settings).await);
    }
    let conflicts = || runners.iter().map(Runner::conflicts).sum::<u64>();
    let mut tasks = JoinSet::new();
    // All of them have read that there is no ledger.
    let mut all = Ledger::default();
    for runner in &runners {
        let new = ledger_of_a_new_key();
        all = all.merge(&new);
        runner.learns(&new);
    }
    for runner in &runners {
        runner.follow(&mut tasks);
    }
    let agreed = async || runners.iter().all(|runner| runner.knows() == all).then_some(());
    eventually("all know all", agreed).await;
    let losers = REPLICAS as u64 - 1;
    let created = conflicts();
    assert!(created >= losers, "only one can create it: {created} conflicts");

    let is_stored = async || {
        let states = runners.iter().map(|runner| runner.replica.state());
        let mut shared = states.filter_map(|state| state.shared);
        shared.all(|shared| shared.lag.is_zero()).then_some(())
    };
    // Where all know the same version, all write over it. One that happens to read in that moment may come to know the
    // winner's before it writes, and has no conflict: then they do it again.
    let mut updated = 0;
    for _ in 0..ROUNDS {
        eventually("it is stored", is_stored).await;
        let before = conflicts();
        for runner in &runners {
            let new = ledger_of_a_new_key();
            all = all.merge(&new);
            runner.learns(&new);
        }
        let agreed = async || runners.iter().all(|runner| runner.knows() == all).then_some(());
        eventually("all know all", agreed).await;
        updated = updated.max(conflicts() - before);
        if updated >= losers {
            break;
        }
    }
    assert!(
        updated >= losers,
        "only one can write over a version: {updated} conflicts"
    );

    let fresh = Runner::open(&with_folder(settings, "fresh")).await;
    eventually("it is stored", is_stored).await;
    let mut late = JoinSet::new();
    fresh.replica.share(&fresh.knows());
    fresh.follow(&mut late);
    eventually("a new replica knows all", async || {
        (fresh.knows() == all).then_some(())
    })
    .await;
}

fn ledger_of_a_new_key() -> Ledger {
    let pem = rcgen::KeyPair::generate().expect("a key").public_key_pem();
    let source = SourceId("sources[0].files".into());
    let rules = Rules::new(SignedDuration::from_hours(49));
    let mut ring = Ring::new(rules, [(source.clone(), 1)], Ledger::default());
    let listing = Listing {
        keys: parse_file(pem.as_bytes()).expect("a key file").keys,
        complete: true,
        ..Listing::default()
    };
    let now = Clock::system().now();
    ring.heard(&source, &listing, now).expect("a good listing");
    ring.key_set(now);
    ring.into_ledger()
}

fn with_folder(settings: &StoreSettings, name: &str) -> StoreSettings {
    let mut settings = settings.clone();
    match &mut settings {
        StoreSettings::Memory | StoreSettings::Folder { .. } => {}
        StoreSettings::Sqlite { local }
        | StoreSettings::Kubernetes { local, .. }
        | StoreSettings::ObjectStorage { local, .. } => local.file = local.file.with_file_name(name),
    }
    settings
}
