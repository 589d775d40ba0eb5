use std::path::Path;

use super::*;
use crate::store::fake::{self, ISSUER, document, ledger};
use crate::store::shared::fake::{Fake, Mood};

const REFRESH: Duration = Duration::from_secs(10);

fn replica(folder: Option<&Path>, store: Option<&Fake>) -> Replica {
    let local = folder.map(|folder| LocalCopy::new(fake::database(folder), ISSUER));
    Replica::new(ISSUER, local, store.map(|store| Shared::Fake(store.clone())))
}

/// An issuer's task in small: it merges what is found, keeps it, and shares it.
struct Running {
    replica: Replica,
    ledger: Arc<Mutex<Ledger>>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Running {
    async fn start(folder: Option<&Path>, store: Option<&Fake>) -> Self {
        let replica = replica(folder, store);
        let ledger = Arc::new(Mutex::new(replica.open().await));
        replica.share(&ledger.lock().unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        let (found, mut hears) = mpsc::channel::<Found>(1);
        let (follower, own, mine) = (replica.clone(), replica.clone(), Arc::clone(&ledger));
        tasks.spawn(async move { follower.follow(REFRESH, found).await });
        tasks.spawn(async move {
            while let Some(news) = hears.recv().await {
                let merged = mine.lock().unwrap().merge(&news.ledger);
                mine.lock().unwrap().clone_from(&merged);
                own.keep(&merged).await;
                own.share(&merged);
                let _ = news.merged.send(());
            }
        });
        Self {
            replica,
            ledger,
            _tasks: tasks,
        }
    }

    async fn sees(&self, names: &[&str]) {
        let merged = self.now().merge(&ledger(names));
        self.ledger.lock().unwrap().clone_from(&merged);
        self.replica.keep(&merged).await;
        self.replica.share(&merged);
    }

    fn now(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }
}

/// The beginning of a ledger.
fn torn() -> Vec<u8> {
    document(&["a"])[..50].to_vec()
}

fn stored(store: &Fake) -> Ledger {
    match &store.now().document {
        Some(document) => Ledger::decode(document, ISSUER).unwrap(),
        None => Ledger::default(),
    }
}

/// Lets time pass until something is so, and says how much did.
async fn until(what: &str, so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_mins(5), "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_ledger_lives_in_memory() {
    let replica = replica(None, None);
    assert!(replica.open().await.is_empty());
    replica.keep(&ledger(&["a"])).await;
    assert_eq!(
        replica.open().await,
        ledger(&["a"]),
        "a task that starts anew finds it"
    );
    assert_eq!(replica.status_now(), Status::default());
}

#[tokio::test]
async fn the_local_copy_outlives_the_process() {
    let home = tempfile::tempdir().unwrap();
    let first = replica(Some(home.path()), None);
    first.open().await;
    first.keep(&ledger(&["a"])).await;
    until("it is written", || first.status_now().not_durable.is_none()).await;
    drop(first);
    fake::is_left(home.path()).await;
    assert_eq!(replica(Some(home.path()), None).open().await, ledger(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_see_different_keys_agree_within_a_refresh() {
    let store = Fake::default();
    let replicas = [
        Running::start(None, Some(&store)).await,
        Running::start(None, Some(&store)).await,
        Running::start(None, Some(&store)).await,
    ];
    let all = ledger(&["a", "b", "c"]);
    for (replica, name) in replicas.iter().zip(["a", "b", "c"]) {
        replica.sees(&[name]).await;
    }
    let took = until("all have all", || {
        replicas.iter().all(|replica| replica.now() == all)
    })
    .await;
    assert!(took <= REFRESH + Duration::from_secs(1), "{took:?}");
    assert_eq!(stored(&store), all);
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_merged_and_tried_again() {
    let store = Fake::default();
    let replica = Running::start(None, Some(&store)).await;
    store.now().rival = Some(document(&["b"]).into());
    replica.sees(&["a"]).await;
    until("both are stored", || stored(&store) == ledger(&["a", "b"])).await;
    assert_eq!(replica.now(), ledger(&["a", "b"]));
    assert_eq!(replica.replica.status_now().conflicts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_finds_nothing_new_writes_nothing() {
    let store = Fake::default();
    let replica = Running::start(None, Some(&store)).await;
    replica.sees(&["a"]).await;
    sleep(REFRESH * 20).await;
    let state = store.now();
    assert_eq!(state.writes, 1);
    assert!(state.reads >= 20, "{}", state.reads);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_delays_nothing_and_gets_the_changes_when_it_is_back() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let store = Fake::default();
        let replica = Running::start(None, Some(&store)).await;
        store.is(mood);
        let start = Instant::now();
        replica.sees(&["a"]).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(Duration::from_mins(1)).await;
        let status = replica.replica.status_now();
        assert!(status.unreachable.is_some() && status.failures > 0, "{status:?}");
        let behind = status.behind_since.expect("it is behind").elapsed();
        assert!(behind >= Duration::from_secs(59), "{behind:?}");
        store.is(Mood::Works);
        until("it is stored", || stored(&store) == ledger(&["a"])).await;
        sleep(REFRESH).await;
        let status = replica.replica.status_now();
        assert_eq!((status.behind_since, status.unreachable), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_does_no_harm() {
    let store = Fake::default();
    let replica = Running::start(None, Some(&store)).await;
    store.is(Mood::WritesAndFails);
    replica.sees(&["a"]).await;
    sleep(Duration::from_millis(100)).await;
    store.is(Mood::Works);
    sleep(REFRESH * 2).await;
    assert_eq!(stored(&store), ledger(&["a"]));
    assert_eq!(replica.replica.status_now().behind_since, None);
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_a_copy_waits_for_the_store() {
    let store = Fake::holding(document(&["a"]));
    store.is(Mood::Hangs);
    let replica = replica(None, Some(&store));
    let opening = tokio::spawn({
        let replica = replica.clone();
        async move { replica.open().await }
    });
    sleep(Duration::from_secs(100)).await;
    assert!(!opening.is_finished());
    assert!(replica.status_now().waits.is_some());
    store.is(Mood::Works);
    assert_eq!(opening.await.unwrap(), ledger(&["a"]));
    assert_eq!(replica.status_now().waits, None);
}

/// Paused time would run away from the disk.
#[tokio::test]
async fn a_replica_with_a_copy_starts_from_it_while_the_store_hangs() {
    let home = tempfile::tempdir().unwrap();
    fake::keep(home.path(), &[(ISSUER, document(&["a"]))]).await;
    let store = Fake::holding(document(&["b"]));
    store.is(Mood::Hangs);
    let start = Instant::now();
    let replica = Running::start(Some(home.path()), Some(&store)).await;
    assert!(start.elapsed() < AT_START * 2, "{:?}", start.elapsed());
    assert_eq!(replica.now(), ledger(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_comes_back_by_a_reload_knows_what_the_others_decided_meanwhile() {
    let store = Fake::holding(document(&["a"]));
    let replica = replica(None, Some(&store));
    assert_eq!(replica.open().await, ledger(&["a"]));
    store.now().put(document(&["a", "b"]).into());
    assert_eq!(
        replica.open().await,
        ledger(&["a"]),
        "changed only: it is followed on"
    );
    replica.rests();
    assert_eq!(replica.open().await, ledger(&["a", "b"]));
    replica.rests();
    store.is(Mood::Hangs);
    let start = Instant::now();
    assert_eq!(replica.open().await, ledger(&["a", "b"]));
    assert_eq!(start.elapsed(), AT_START, "as at the start");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_knows_is_merged_when_it_is_back() {
    let store = Fake::holding(document(&["b"]));
    let replica = Running::start(None, Some(&store)).await;
    store.is(Mood::Fails);
    replica.sees(&["a"]).await;
    sleep(Duration::from_secs(5)).await;
    let rival = ledger(&["b", "c"]).encode(ISSUER);
    store.now().rival = Some(rival.into());
    store.is(Mood::Works);
    let all = ledger(&["a", "b", "c"]);
    until("all is everywhere", || {
        replica.now() == all && stored(&store) == all
    })
    .await;
}

#[tokio::test]
async fn a_copy_is_made_of_what_the_store_had() {
    let home = tempfile::tempdir().unwrap();
    let store = Fake::holding(document(&["a"]));
    let first = replica(Some(home.path()), Some(&store));
    first.open().await;
    drop(first);
    fake::is_left(home.path()).await;
    let alone = replica(Some(home.path()), None);
    assert_eq!(alone.open().await, ledger(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_torn_ledger_in_the_store_is_set_aside_and_written_anew() {
    let store = Fake::holding(document(&["a"]));
    let replica = Running::start(None, Some(&store)).await;
    let torn = torn();
    {
        let mut state = store.now();
        state.number += 1;
        state.document = Some(torn.clone().into());
    }
    until("it is whole again", || {
        store.now().document.as_ref().is_some_and(|now| *now != torn)
    })
    .await;
    assert_eq!(stored(&store), ledger(&["a"]));
    assert_eq!(store.now().aside, [torn]);
    assert_eq!(replica.replica.status_now().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_ledger_takes_no_place_from_the_one_that_is_stored() {
    let good = document(&["a"]);
    for instead in [
        "<html>login</html>".into(),
        Vec::new(),
        b"<Error><Code>InternalError</Code></Error>".to_vec(),
        b"{\"message\":\"no\"}".to_vec(),
        good[..50].to_vec(),
        good[..good.len() - 4].to_vec(),
    ] {
        let what = String::from_utf8_lossy(&instead).into_owned();
        let store = Fake::holding(good.clone());
        let replica = Running::start(None, Some(&store)).await;
        store.now().instead = Some(instead.clone().into());
        // Another version than the one that is known, so that it is looked at.
        store.now().put(good.clone().into());
        replica.sees(&["b"]).await;
        sleep(Duration::from_mins(2)).await;
        {
            let state = store.now();
            assert!(state.aside.is_empty(), "{what}");
            assert!(state.reads < 60, "{what}: {} reads", state.reads);
        }
        let status = replica.replica.status_now();
        assert_eq!(status.lost, 0, "{what}");
        assert!(
            status.unreachable.is_some_and(|why| why.contains("no ledger")),
            "{what}"
        );
        assert_eq!(replica.now(), ledger(&["a", "b"]), "{what}");
        store.now().instead = None;
        until("both are stored", || stored(&store) == ledger(&["a", "b"])).await;

        // A replica without a copy waits.
        store.now().instead = Some(instead.into());
        let fresh = self::replica(None, Some(&store));
        let opened = timeout(Duration::from_mins(1), fresh.open()).await;
        assert!(opened.is_err(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_looks_torn_once_is_read_a_second_time() {
    let good = document(&["a"]);
    let store = Fake::holding(torn());
    let opening = tokio::spawn({
        let replica = replica(None, Some(&store));
        async move { (replica.open().await, replica.status_now().lost) }
    });
    until("it was read", || store.now().reads == 1).await;
    store.now().put(good.into());
    assert_eq!(opening.await.unwrap(), (ledger(&["a"]), 0));
    assert!(store.now().aside.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_loss_is_counted_once() {
    let store = Fake::holding(torn());
    let replica = Running::start(None, Some(&store)).await;
    // Nothing is listed that could be written over it; another version of the same comes at each read.
    for _ in 0..10 {
        store.now().put(torn().into());
        sleep(REFRESH).await;
    }
    assert!(store.now().reads >= 10);
    assert_eq!(replica.replica.status_now().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_what_was_not_asked_is_asked_seldom() {
    for mood in [Mood::SaysUnchanged, Mood::LosesRaces, Mood::Fails] {
        let store = Fake::holding(document(&["a"]));
        let replica = Running::start(None, Some(&store)).await;
        // As after a lost race: what is stored is to be read again.
        store.now().rival = Some(document(&["a", "b"]).into());
        replica.sees(&["c"]).await;
        store.is(mood);
        let asked = || {
            let state = store.now();
            state.reads + state.lost
        };
        let before = asked();
        sleep(Duration::from_mins(1)).await;
        let asked = asked() - before;
        assert!(asked <= 100, "{mood:?}: {asked} in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn the_generation_before_a_torn_one_is_used() {
    let store = Fake::holding(torn());
    store.now().previous = Some(document(&["a"]).into());
    let replica = Running::start(None, Some(&store)).await;
    assert_eq!(replica.now(), ledger(&["a"]));
    assert_eq!(replica.replica.status_now().lost, 0);
    until("it is whole again", || store.now().writes == 1).await;
    assert_eq!(stored(&store), ledger(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn another_issuers_ledger_is_never_written_over() {
    let store = Fake::holding(document(&["a"]));
    let replica = Running::start(None, Some(&store)).await;
    let other = ledger(&["a"]).encode("https://other.example.com");
    store.now().rival = Some(other.clone().into());
    replica.sees(&["b"]).await;
    sleep(REFRESH * 5).await;
    assert_eq!(
        store.now().document.as_deref(),
        Some(other.as_slice()),
        "another issuer's ledger stays"
    );
    let status = replica.replica.status_now();
    assert!(
        status
            .unreachable
            .is_some_and(|why| why.contains("other.example.com")),
        "and it is said"
    );
    assert_eq!(replica.now(), ledger(&["a", "b"]), "what is served stays");
}

#[tokio::test(start_paused = true)]
async fn another_issuers_ledger_at_the_start_stops_the_issuer_until_it_is_gone() {
    let store = Fake::holding(ledger(&["a"]).encode("https://other.example.com"));
    let replica = replica(None, Some(&store));
    let opening = tokio::spawn({
        let replica = replica.clone();
        async move { replica.open().await }
    });
    let start = Instant::now();
    replica.waits().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "that is known at once");
    sleep(Duration::from_secs(30)).await;
    let waits = replica.status_now().waits.expect("it waits");
    assert!(waits.contains("https://other.example.com"), "{waits}");
    store.now().document = None;
    assert!(opening.await.unwrap().is_empty());
}

/// Nobody knows what it may have that no other place has.
#[tokio::test]
async fn a_copy_that_could_not_be_read_at_the_start_is_merged_when_it_can() {
    let home = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (home.path().join("ledgers.db"), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let store = Fake::holding(document(&["b"]));
    let replica = Running::start(Some(home.path()), Some(&store)).await;
    assert_eq!(replica.now(), ledger(&["b"]));
    replica.sees(&["c"]).await;
    let not_durable = replica.replica.status_now().not_durable;
    assert!(not_durable.is_some(), "it is not written before it was read");

    std::fs::remove_file(&path).unwrap();
    fake::keep(elsewhere.path(), &[(ISSUER, document(&["a"]))]).await;
    std::fs::rename(elsewhere.path().join("ledgers.db"), &path).unwrap();
    let all = ledger(&["a", "b", "c"]);
    until("it is merged", || replica.now() == all && stored(&store) == all).await;
    until("and written", || {
        replica.replica.status_now().not_durable.is_none()
    })
    .await;
    drop(replica);
    fake::is_left(home.path()).await;
    assert_eq!(self::replica(Some(home.path()), None).open().await, all);
}

/// Paused time would run away from the disk.
#[tokio::test]
async fn the_generation_before_a_torn_one_is_still_known_when_the_local_copy_comes_later() {
    let store = Fake::holding(torn());
    store.now().previous = Some(document(&["a"]).into());
    let home = tempfile::tempdir().unwrap();
    let other = ledger(&["b"]).encode("https://other.example.com");
    fake::keep(home.path(), &[(ISSUER, other)]).await;
    let database = fake::database(home.path());
    let local = LocalCopy::new(Arc::clone(&database), ISSUER);
    let replica = Replica::new(ISSUER, Some(local), Some(Shared::Fake(store.clone())));
    let opening = tokio::spawn({
        let replica = replica.clone();
        async move { replica.open().await }
    });
    until("it is refused", || replica.status_now().waits.is_some()).await;
    let own = Ledger::default().encode(ISSUER);
    fake::kept(&database, ISSUER, own).await;
    assert_eq!(opening.await.unwrap(), ledger(&["a"]));
}
