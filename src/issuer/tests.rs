mod leaving;
mod operators;
mod refresh;
mod reloads;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::key::parse_file;
use crate::metrics::Metrics;
use crate::publication::{CachePolicy, IssuerUrl, JwksUri, MediaType};
use crate::representation::Served;
use crate::source::{FilesSettings, FolderWatch};
use crate::store::Stores;

const A: &str = "https://oidc.example.com/a";
const B: &str = "https://oidc.example.com/b";

/// The issuers, their key files, and the time.
struct House {
    folder: TempDir,
    shared: Shared,
    seconds: Arc<AtomicI64>,
    /// How far the wall clock is beside the time that passes.
    beside: Arc<AtomicI64>,
    panics: Arc<AtomicBool>,
}

impl House {
    fn new() -> Self {
        let (seconds, panics) = (
            Arc::new(AtomicI64::new(1_700_000_000)),
            Arc::new(AtomicBool::new(false)),
        );
        let (now, panic) = (Arc::clone(&seconds), Arc::clone(&panics));
        let beside = Arc::new(AtomicI64::new(0));
        let leap = Arc::clone(&beside);
        let elapsed = Arc::clone(&seconds);
        let wall = move || {
            assert!(
                !panic.swap(false, Ordering::SeqCst),
                "the panic that this test asked for"
            );
            Timestamp::from_second(now.load(Ordering::SeqCst) + leap.load(Ordering::SeqCst)).unwrap()
        };
        let elapsed = move || Duration::from_secs(elapsed.load(Ordering::SeqCst).unsigned_abs());
        let clock = Clock::of(wall, elapsed);
        let shared = Shared {
            catalog: Arc::new(Catalog::default()),
            metrics: Metrics::new(clock.now()),
            clock,
            stores: Stores::memory(),
            folders: FolderWatch::default(),
            reminders: Reminders::default(),
            owners: KeyOwners::default(),
            reads: ReadLimits::default(),
            rounds: Rounds::default(),
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            shared,
            seconds,
            beside,
            panics,
        }
    }

    /// The wall clock is set to so far beside the time that passes.
    fn sets_clock(&self, beside: SignedDuration) {
        self.beside.store(beside.as_secs(), Ordering::SeqCst);
    }

    fn pass(&self, time: SignedDuration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new key, as a whole, and tells its `kid`.
    fn key(&self, name: &str) -> String {
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        fs::write(self.file(".draft"), &pem).unwrap();
        fs::rename(self.file(".draft"), self.file(name)).unwrap();
        parse_file(pem.as_bytes()).unwrap().keys[0].kid().to_owned()
    }

    /// An issuer of the key files of this pattern.
    fn issuer(&self, url: &str, pattern: &str) -> IssuerSettings {
        let issuer = IssuerUrl::parse(url).unwrap();
        let cache = CachePolicy {
            max_age: SignedDuration::from_secs(300),
            stale_while_revalidate: SignedDuration::ZERO,
            stale_if_error: SignedDuration::ZERO,
        };
        let paths = vec![self.file(pattern).display().to_string()];
        IssuerSettings {
            profile: Profile {
                jwks_uri: JwksUri::of(&issuer),
                issuer,
                announced: Vec::new(),
                extra: serde_json::Map::new(),
                jwks_content_type: MediaType::JWKS,
                jwks_cache: cache,
                discovery_cache: cache,
            },
            required: true,
            sources: vec![IssuerSource {
                settings: SourceSettings::Files(FilesSettings { paths }),
                claims: Vec::new(),
                confirmation: Confirmation::Reads(1),
            }],
            refresh: SignedDuration::from_secs(10),
            rules: Rules::new(SignedDuration::from_hours(49)),
            token_lifetime: SignedDuration::from_hours(24),
        }
    }

    fn start(&self, settings: Vec<IssuerSettings>) -> Issuers {
        Issuers::start(self.shared.clone(), settings)
    }

    /// What is published at an issuer; `Err` where its documents are not found at all.
    fn published(&self, url: &str) -> Result<Option<Arc<Served>>, ()> {
        let path = IssuerUrl::parse(url).unwrap().path().to_owned() + "/jwks";
        self.shared
            .catalog
            .lookup(&path, None)
            .map(|found| found.route.slot.current())
            .ok_or(())
    }

    fn kids(&self, url: &str) -> Vec<String> {
        let Ok(Some(publication)) = self.published(url) else {
            return Vec::new();
        };
        let listing = crate::key::parse_jwks(&publication.jwks.identity.body).unwrap();
        listing.keys.iter().map(|key| key.kid().to_owned()).collect()
    }

    /// Good reads of the first source.
    fn reads(&self) -> f64 {
        let metrics = self.shared.metrics.render().unwrap();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("oidc_issuer_source_reads_total{"))
            .unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "still not so: {what}; published: {:?} {:?}",
                self.kids(A),
                self.kids(B)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_retained(&self, kid: &str) {
        self.until(&format!("{kid} is retained"), || {
            let metrics = self.shared.metrics.render().unwrap();
            let row = format!("kid=\"{kid}\"");
            metrics
                .lines()
                .any(|line| line.contains(&row) && line.contains("state=\"retained\""))
        })
        .await;
    }

    async fn until_kids(&self, url: &str, kids: &[&str]) {
        let mut expected = kids.to_vec();
        expected.sort_unstable();
        self.until(&format!("{url} publishes {kids:?}"), || {
            let mut published = self.kids(url);
            published.sort_unstable();
            published == expected
        })
        .await;
    }
}

#[tokio::test]
async fn a_clock_that_leaps_by_a_year_takes_no_retained_key_away_and_is_told() {
    let house = House::new();
    let first = house.key("1.pem");
    let second = house.key("2.pem");
    let issuers = house.start(vec![house.issuer(A, "*.pem")]);
    house.until_kids(A, &[&first, &second]).await;
    fs::remove_file(house.file("1.pem")).unwrap();
    house.until_retained(&first).await;

    let year = SignedDuration::from_hours(365 * 24);
    for leap in [year, -year] {
        house.sets_clock(leap);
        let answer = issuers.desk().ask(A, crate::ring::Command::List, "ops").await;
        assert_eq!(answer.unwrap().outcome.view.keys.len(), 2);
        let row = format!("oidc_issuer_clock_leap_seconds {}", leap.as_secs());
        let metrics = house.shared.metrics.render().unwrap();
        assert!(metrics.lines().any(|line| line == row), "{metrics}");
        let mut kids = house.kids(A);
        kids.sort_unstable();
        let mut both = [first.clone(), second.clone()];
        both.sort_unstable();
        assert_eq!(kids, both, "{leap:#}");
    }
    house.sets_clock(SignedDuration::ZERO);
    house.pass(SignedDuration::from_hours(50));
    let third = house.key("3.pem");
    house.until_kids(A, &[&second, &third]).await;
    issuers.shutdown().await;
}

#[tokio::test]
async fn a_key_that_leaves_the_files_stays_for_the_retention() {
    let house = House::new();
    let first = house.key("1.pem");
    let issuers = house.start(vec![house.issuer(A, "*.pem")]);
    house.until_kids(A, &[&first]).await;

    let second = house.key("2.pem");
    house.until_kids(A, &[&first, &second]).await;
    fs::remove_file(house.file("1.pem")).unwrap();
    house.until_retained(&first).await;

    house.pass(SignedDuration::from_hours(48));
    let third = house.key("3.pem");
    house.until_kids(A, &[&first, &second, &third]).await;
    house.pass(SignedDuration::from_hours(2));
    fs::remove_file(house.file("3.pem")).unwrap();
    house.until_kids(A, &[&second, &third]).await;
    issuers.shutdown().await;
}

#[tokio::test]
async fn the_same_listing_leaves_the_same_publication() {
    let house = House::new();
    let kid = house.key("1.pem");
    let _issuers = house.start(vec![house.issuer(A, "*.pem")]);
    house.until_kids(A, &[&kid]).await;
    let before = house.published(A).unwrap().unwrap();
    let count = house.reads();
    fs::write(house.file("foreign.pem"), "").unwrap();
    house.until("it was read again", || house.reads() > count).await;
    assert!(Arc::ptr_eq(&before, &house.published(A).unwrap().unwrap()));
}

#[tokio::test]
async fn a_dropped_issuer_is_withdrawn_at_once_and_restored_from_its_ledger() {
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    let mut issuers = house.start(vec![house.issuer(A, "a.pem"), house.issuer(B, "b.pem")]);
    house.until_kids(A, &[&a]).await;
    house.until_kids(B, &[&b]).await;
    let of_b = house.published(B).unwrap().unwrap();

    issuers.apply(vec![house.issuer(B, "b.pem")]).await;
    assert!(house.published(A).is_err(), "404, not 503");
    assert!(!house.shared.metrics.render().unwrap().contains(A));

    // Its source is gone meanwhile: the ledger alone has the key.
    fs::remove_file(house.file("a.pem")).unwrap();
    issuers
        .apply(vec![house.issuer(A, "a.pem"), house.issuer(B, "b.pem")])
        .await;
    assert_eq!(house.kids(A), [a], "published again as soon as it is back");
    assert!(
        Arc::ptr_eq(&of_b, &house.published(B).unwrap().unwrap()),
        "B was not disturbed"
    );
}

#[tokio::test]
async fn a_ledger_that_is_not_to_be_used_holds_up_no_start_and_no_reload() {
    let mut house = House::new();
    house.key("a.pem");
    let b = house.key("b.pem");
    let folder = house.file("state");
    let many: Vec<_> = (0..20).map(|number| format!("{A}/{number}")).collect();
    let document = crate::ring::Ledger::default().encode("https://other.example.com");
    let issuers = many.iter().map(String::as_str).chain([A]);
    let foreign: Vec<_> = issuers.map(|issuer| (issuer, document.clone())).collect();
    crate::store::fake::keep(&folder, &foreign).await;
    let local = crate::store::fake::local(&folder);
    house.shared.stores = Stores::open(crate::store::StoreSettings::Sqlite { local }).unwrap();

    let start = Instant::now();
    let mut issuers = house.start(vec![house.issuer(A, "a.pem"), house.issuer(B, "b.pem")]);
    issuers.started().await;
    let mut settings = vec![house.issuer(A, "a.pem"), house.issuer(B, "b.pem")];
    settings.extend(many.iter().map(|issuer| house.issuer(issuer, "a.pem")));
    issuers.apply(settings).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");

    house.until_kids(B, &[&b]).await;
    assert!(house.published(A).unwrap().is_none(), "503");
}

#[tokio::test]
async fn an_issuer_whose_sources_change_keeps_its_ledger() {
    let house = House::new();
    let (old, new) = (house.key("old.pem"), house.key("new.pem"));
    let mut issuers = house.start(vec![house.issuer(A, "old.pem")]);
    house.until_kids(A, &[&old]).await;

    issuers.apply(vec![house.issuer(A, "new.pem")]).await;
    assert!(
        house.kids(A).contains(&old),
        "nothing is missing while the new source is read"
    );
    house.until_retained(&old).await;
    assert_eq!(house.kids(A), [new, old]);
}

#[tokio::test]
async fn a_raised_retention_does_not_give_a_kid_back_to_the_key_that_had_it_before() {
    let house = House::new();
    let keep = house.key("keep.pem");
    let named = |draft: &str| {
        house.key(draft);
        let key = parse_file(&fs::read(house.file(draft)).unwrap())
            .unwrap()
            .keys
            .remove(0);
        key.jwk().replace(key.kid(), "same")
    };
    let (first, second) = (named("first"), named("second"));
    let list = |jwk: &str| {
        fs::write(house.file("draft"), format!("{{\"keys\":[{jwk}]}}")).unwrap();
        fs::rename(house.file("draft"), house.file("named.json")).unwrap();
    };
    let publishes = |jwk: &str| {
        let Ok(Some(publication)) = house.published(A) else {
            return false;
        };
        String::from_utf8_lossy(&publication.jwks.identity.body).contains(jwk)
    };
    let mut settings = house.issuer(A, "*.pem");
    settings.sources.extend(house.issuer(A, "named.json").sources);
    let mut issuers = house.start(vec![settings.clone()]);
    list(&first);
    house.until_kids(A, &[&keep, "same"]).await;
    // Where it stood, another key stands: the kid is taken until its retention is over.
    list(&second);
    house.until_retained("same").await;
    house.pass(SignedDuration::from_hours(50));
    house.key("more.pem");
    house
        .until("the second key is published", || publishes(&second))
        .await;

    settings.rules.retention = SignedDuration::from_hours(1000);
    issuers.apply(vec![settings]).await;
    let newest = house.key("newest.pem");
    house
        .until("it was read since", || house.kids(A).contains(&newest))
        .await;
    assert!(publishes(&second) && !publishes(&first));
    issuers.shutdown().await;
}

#[tokio::test]
async fn changed_documents_are_written_anew_with_the_same_keys() {
    let house = House::new();
    let kid = house.key("a.pem");
    let mut settings = house.issuer(A, "a.pem");
    let mut issuers = house.start(vec![settings.clone()]);
    house.until_kids(A, &[&kid]).await;

    settings.profile.jwks_uri = JwksUri::parse("https://keys.example.com/a/keys").unwrap();
    settings.profile.jwks_cache.max_age = SignedDuration::from_secs(60);
    issuers.apply(vec![settings]).await;
    let found = house.shared.catalog.lookup("/a/keys", None).unwrap();
    let publication = found.route.slot.current().unwrap();
    let discovery = String::from_utf8_lossy(&publication.discovery.identity.body).into_owned();
    assert!(
        discovery.contains("https://keys.example.com/a/keys"),
        "{discovery}"
    );
}

#[tokio::test]
async fn readiness_waits_for_the_required_issuers_of_the_start_alone() {
    let house = House::new();
    house.key("a.pem");
    let optional = IssuerSettings {
        required: false,
        ..house.issuer(A, "a.pem")
    };
    let mut issuers = house.start(vec![optional.clone(), house.issuer(B, "b.pem")]);
    let published = issuers.published();
    let waiting = |urls: &[&str]| {
        let waiting = published.borrow().waiting.clone();
        waiting.iter().map(IssuerUrl::as_str).eq(urls.iter().copied())
    };
    house.until("A is published", || published.borrow().any).await;
    assert!(waiting(&[B]));

    let c = house.issuer("https://oidc.example.com/c", "c.pem");
    issuers
        .apply(vec![optional.clone(), house.issuer(B, "b.pem"), c])
        .await;
    assert!(waiting(&[B]), "one added by a reload never counts");
    issuers.apply(vec![optional.clone()]).await;
    assert!(waiting(&[]), "one that is dropped no longer counts");
    issuers.apply(vec![optional, house.issuer(B, "b.pem")]).await;
    assert!(waiting(&[]), "nor does it when it is back");
}

#[tokio::test]
async fn a_panic_of_one_issuers_task_takes_nothing_away_and_the_task_starts_again() {
    let house = House::new();
    let (a, b) = (house.key("a1.pem"), house.key("b.pem"));
    let _issuers = house.start(vec![house.issuer(A, "a*.pem"), house.issuer(B, "b.pem")]);
    house.until_kids(A, &[&a]).await;
    house.until_kids(B, &[&b]).await;

    house.panics.store(true, Ordering::SeqCst);
    let second = house.key("a2.pem");
    house
        .until("it panicked", || !house.panics.load(Ordering::SeqCst))
        .await;
    assert!(house.kids(A).contains(&a));
    assert_eq!(house.kids(B), [b]);
    house.until_kids(A, &[&a, &second]).await;

    // With its ledger: what is gone is retained.
    fs::remove_file(house.file("a1.pem")).unwrap();
    house.until_retained(&a).await;
}

#[tokio::test]
async fn several_sources_are_published_together_and_one_in_trouble_is_silent() {
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    let mut settings = house.issuer(A, "a.pem");
    settings.sources.extend(house.issuer(A, "b.pem").sources);
    settings.sources.extend(house.issuer(A, "never.pem").sources);
    let _issuers = house.start(vec![settings]);
    house.until_kids(A, &[&a, &b]).await;
    fs::remove_file(house.file("a.pem")).unwrap();
    let c = house.key("b.pem");
    house.until_kids(A, &[&a, &b, &c]).await;
    let metrics = house.shared.metrics.render().unwrap();
    assert!(
        metrics.contains("source=\"sources[2].files\",result=\"no_keys\""),
        "{metrics}"
    );
}
