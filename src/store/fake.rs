//! Ledgers for the tests of this room.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::copy::LocalCopy;
use super::database::{Database, NotKept};
use super::shared::Shared;
use super::shared::fake::Fake;
use super::{FolderLock, LocalSettings, Replica, StoreSettings, Stores};
use crate::key::{PublicKey, parse_jwks};
use crate::ring::{Ledger, Listing, Ring, Rules, SourceId};

pub(super) const ISSUER: &str = "https://oidc.example.com/prod";

/// The ledger of an issuer that saw these keys, all at one time. Equal names make equal keys within a process.
pub(super) fn ledger(names: &[&str]) -> Ledger {
    if names.is_empty() {
        return Ledger::default();
    }
    let source = SourceId("s".into());
    let rules = Rules::new(SignedDuration::from_hours(49));
    let mut ring = Ring::new(rules, [(source.clone(), 1)], Ledger::default());
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let listing = Listing {
        keys: names.iter().map(|name| key(name)).collect(),
        complete: true,
        ..Listing::default()
    };
    ring.heard(&source, &listing, now).unwrap();
    ring.key_set(now);
    ring.into_ledger()
}

/// The database in a folder.
pub(crate) fn local(folder: &Path) -> LocalSettings {
    LocalSettings {
        file: folder.join("ledgers.db"),
        folders: vec![folder.join("ledgers")],
    }
}

/// It, open.
pub(super) fn database(folder: &Path) -> Arc<Database> {
    Arc::new(Database::open(local(folder), Box::new(|_| {})).unwrap())
}

/// Keeps documents there, while nobody has it.
pub(crate) async fn keep(folder: &Path, documents: &[(&str, Vec<u8>)]) {
    let database = Database::open(local(folder), Box::new(|_| {})).unwrap();
    for (issuer, document) in documents {
        kept(&database, issuer, document.as_slice()).await;
    }
    database.end(Duration::from_secs(10)).await;
}

/// Keeps a document, however long that takes.
pub(super) async fn kept(database: &Database, issuer: &str, document: impl Into<Arc<[u8]>>) {
    match database.keep(issuer, document.into()).await {
        Err(NotKept::Late) => {
            while !database.is_kept(issuer) {
                tokio::task::yield_now().await;
            }
        }
        kept => kept.unwrap(),
    }
}

/// Waits until nobody has it any more.
pub(crate) async fn is_left(folder: &Path) {
    let start = Instant::now();
    while FolderLock::take(folder, "ledgers.db.lock").is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the database is still open"
        );
        tokio::task::yield_now().await;
    }
}

impl Stores {
    /// How many changes were given to the database.
    pub(crate) fn kept(&self) -> u64 {
        self.0.database.as_ref().unwrap().pushed()
    }

    /// Ledgers that are kept in a folder and, that of this issuer, in a store in memory besides; and how often that store
    /// was used so far.
    pub(crate) fn faked(folder: &Path, issuer: &str) -> (Self, impl Fn() -> Uses + use<>) {
        let local = local(folder);
        let settings = StoreSettings::Sqlite { local };
        let stores = Self::open(settings).unwrap();
        let shared = Fake::default();
        let local = stores.0.database.clone();
        let replica = Replica::new(
            issuer,
            local.map(|database| LocalCopy::new(database, issuer)),
            Some(Shared::Fake(shared.clone())),
        );
        stores
            .0
            .replicas
            .lock()
            .unwrap()
            .insert(issuer.to_owned(), replica);
        let uses = move || {
            let state = shared.now();
            Uses {
                reads: state.reads,
                writes: state.writes,
            }
        };
        (stores, uses)
    }
}

/// How often a store was used.
pub(crate) struct Uses {
    pub(crate) reads: u32,
    pub(crate) writes: u32,
}

/// Its document.
pub(super) fn document(names: &[&str]) -> Vec<u8> {
    ledger(names).encode(ISSUER)
}

fn key(name: &str) -> PublicKey {
    static KEYS: LazyLock<Mutex<BTreeMap<String, PublicKey>>> = LazyLock::new(Mutex::default);
    let mut keys = KEYS.lock().unwrap();
    keys.entry(name.to_owned()).or_insert_with(|| made(name)).clone()
}

fn made(kid: &str) -> PublicKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|octets| URL_SAFE_NO_PAD.encode(octets));
    let jwks = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"{kid}","x":"{x}","y":"{y}"}}]}}"#
    );
    parse_jwks(jwks.as_bytes()).unwrap().keys.remove(0)
}
