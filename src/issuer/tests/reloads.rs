//! What a reload and a panic leave as it was: what was told, and what was counted.

use std::io;
use std::sync::Mutex;

use tracing::subscriber::DefaultGuard;

use super::*;
use crate::ring::Confirmation;

/// The log of this test's thread, where its tasks run too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn kept() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// How many lines say so.
    fn count(&self, words: &str) -> usize {
        let log = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains(words)).count()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same issuer with other settings, but the same sources.
fn changed(settings: &IssuerSettings) -> IssuerSettings {
    let mut settings = settings.clone();
    settings.profile.jwks_cache.max_age += SignedDuration::from_secs(1);
    settings
}

/// Waits until it was read twice more: what follows from the first of them is done then.
async fn read_again(house: &House) {
    let reads = house.reads();
    house
        .until("it was read again", || house.reads() >= reads + 2.0)
        .await;
}

#[tokio::test]
async fn nothing_is_told_twice_because_an_issuers_settings_changed_or_its_task_panicked() {
    let (log, _kept) = Log::kept();
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    fs::write(house.file("broken.pem"), "-----BEGIN PUBLIC KEY-----\n!\n").unwrap();
    let mut settings = house.issuer(A, "*.pem");
    settings.refresh = SignedDuration::from_millis(100);
    settings.sources.extend(house.issuer(A, "never.json").sources);
    let mut issuers = house.start(vec![settings.clone()]);
    house.until_kids(A, &[&a, &b]).await;
    let told = || {
        let lines = ["a key is published", "is held back", "cannot be read"];
        lines.map(|line| log.count(line))
    };
    house.until("all is told", || told() == [2, 1, 1]).await;

    let settings = changed(&settings);
    issuers.apply(vec![settings.clone()]).await;
    read_again(&house).await;
    assert_eq!(told(), [2, 1, 1], "{}", log.text());

    house.panics.store(true, Ordering::SeqCst);
    house
        .until("it panicked", || !house.panics.load(Ordering::SeqCst))
        .await;
    let c = house.key("c.pem");
    house.until_kids(A, &[&a, &b, &c]).await;
    read_again(&house).await;
    assert_eq!(told(), [3, 1, 1], "the new one alone: {}", log.text());

    // One source less: what it was told to be is nothing to the others.
    let mut fewer = changed(&settings);
    fewer.sources.truncate(1);
    issuers.apply(vec![fewer]).await;
    read_again(&house).await;
    assert_eq!(told(), [3, 1, 1], "{}", log.text());
    issuers.shutdown().await;
}

#[tokio::test]
async fn a_reload_that_leaves_the_sources_leaves_what_was_counted_of_a_confirmation() {
    let (log, _kept) = Log::kept();
    let house = House::new();
    let old = house.key("a.pem");
    let mut settings = house.issuer(A, "a.pem");
    // Read at the start and at each reload alone.
    settings.refresh = SignedDuration::from_hours(1);
    settings.sources[0].confirmation = Confirmation::Reads(3);
    let mut issuers = house.start(vec![settings.clone()]);
    house.until_kids(A, &[&old]).await;
    let new = house.key("a.pem");
    house
        .until("the change is held", || log.count("is held, until") == 1)
        .await;
    for _ in 0..2 {
        settings = changed(&settings);
        let reads = house.reads();
        issuers.apply(vec![settings.clone()]).await;
        house.until("it was read", || house.reads() > reads).await;
    }
    house.until_kids(A, &[&old, &new]).await;
    assert_eq!(log.count("is held, until"), 1, "{}", log.text());
    issuers.shutdown().await;
}

#[tokio::test]
async fn a_reload_changes_what_it_names_and_tells_how_much_that_was() {
    let house = House::new();
    let key = house.key("a.pem");
    let mut issuers = house.start(vec![house.issuer(A, "a.pem")]);
    // More than are changed one by one in the catalog.
    let many: Vec<_> = (0..100)
        .map(|number| format!("https://oidc.example.com/of-many/{number}"))
        .collect();
    let all = |house: &House| {
        let mut all = vec![house.issuer(A, "a.pem")];
        all.extend(many.iter().map(|url| house.issuer(url, "a.pem")));
        all
    };
    let told = |added, changed, dropped| Applied {
        added,
        changed,
        dropped,
    };
    assert_eq!(issuers.apply(all(&house)).await, told(100, 0, 0));
    house.until_kids(&many[99], &[&key]).await;
    assert_eq!(issuers.apply(all(&house)).await, told(0, 0, 0));

    let mut others = all(&house);
    others[7] = changed(&others[7]);
    others.remove(50);
    others.push(house.issuer(B, "a.pem"));
    assert_eq!(issuers.apply(others).await, told(1, 1, 1));
    house.until_kids(B, &[&key]).await;
    assert!(house.published(&many[49]).is_err(), "it was dropped");
    for url in [A, &many[6], &many[48], &many[50]] {
        assert_eq!(house.kids(url), [&*key], "{url}");
    }

    assert_eq!(
        issuers.apply(vec![house.issuer(A, "a.pem")]).await,
        told(0, 0, 100)
    );
    assert!(
        many.iter()
            .chain([&B.to_owned()])
            .all(|url| house.published(url).is_err())
    );
    assert_eq!(house.kids(A), [&*key]);
    issuers.shutdown().await;
}

#[tokio::test]
async fn an_issuer_that_a_reload_no_longer_requires_is_not_waited_for() {
    let house = House::new();
    let mut settings = vec![house.issuer(A, "never.pem"), house.issuer(B, "never.pem")];
    let mut issuers = house.start(settings.clone());
    let published = issuers.published();
    assert_eq!(published.borrow().waiting.len(), 2);
    settings[0].required = false;
    issuers.apply(settings).await;
    let waiting: Vec<_> = published.borrow().waiting.iter().cloned().collect();
    assert_eq!(waiting, [IssuerUrl::parse(B).unwrap()]);
    issuers.shutdown().await;
}
