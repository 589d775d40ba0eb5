//! SIGKILL at any moment while keys come and go: what was answered once is answered after the restart too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::Rng as _;
use reqwest::Method;
use tokio::task::JoinSet;

use super::{Folder, kids, kids_of};
use crate::real::http::Http;
use crate::real::program::free_port;
use crate::real::service::OidcIssuer;

/// How many processes are killed; `OIDC_ISSUER_TESTS_KILLS` says another number.
const KILLS: u32 = 500;

/// So many share a state folder: then most of its keys have been answered, and another one is begun.
const KILLS_OF_A_FOLDER: u32 = 25;

/// So many folders at a time.
const LANES: usize = 4;

/// Fewer than an issuer takes.
const KEYS: usize = 80;

/// A minute on two cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_that_was_ever_answered_is_missing_after_a_kill() {
    let kills = std::env::var("OIDC_ISSUER_TESTS_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (mut lanes, mut answered) = (JoinSet::new(), 0);
    for first in (0..kills).step_by(KILLS_OF_A_FOLDER as usize) {
        if lanes.len() == LANES {
            answered += lanes.join_next().await.unwrap().unwrap();
        }
        lanes.spawn(episode((kills - first).min(KILLS_OF_A_FOLDER)));
    }
    answered += lanes.join_all().await.into_iter().sum::<usize>();
    eprintln!("{kills} kills, {answered} keys answered before them, none missing after them");
}

/// Kills so many processes with one state folder, and tells how many keys were answered.
async fn episode(kills: u32) -> usize {
    let folder = Folder::new();
    let (keys, drafts) = (folder.path("keys"), folder.path("drafts"));
    for path in [&keys, &drafts] {
        fs::create_dir(path).unwrap();
    }
    for number in 0..KEYS {
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        fs::write(drafts.join(format!("{number}.pem")), pem).unwrap();
    }
    let mut answered = BTreeSet::new();
    let changes = Changes::start(keys, drafts);
    for kill in 0..=kills {
        let (mut service, jwks) = start(&folder);
        let moment = Duration::from_millis(rand::rng().random_range(0..150));
        // The last one shows what the others left. Of those, one in four is not even let start.
        if kill == kills || rand::rng().random_range(0..4) > 0 {
            let (http, first) = first_answer(&service, &jwks).await;
            let missing: Vec<_> = answered.difference(&first).collect();
            assert!(
                missing.is_empty(),
                "after {kill} kills these are missing: {missing:?}"
            );
            answered.extend(first);
            let end = Instant::now() + moment;
            while Instant::now() < end {
                answered.extend(kids(&http, &jwks).await);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } else {
            tokio::time::sleep(moment).await;
        }
        service.program().signal("KILL");
        service.program().ended().await;
    }
    changes.end();
    answered.len()
}

fn start(folder: &Folder) -> (OidcIssuer, String) {
    let port = free_port();
    let keys = folder.text("keys/*.pem");
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "--issuer",
        "https://localhost",
        "--keys",
        &keys,
        "--listen",
        &listen,
    ];
    let service = OidcIssuer::spawn_in(&folder.path("state"), &arguments);
    (service, format!("https://localhost:{port}/jwks"))
}

/// Its first answer with keys, and a client that keeps its connection.
async fn first_answer(service: &OidcIssuer, jwks: &str) -> (Http, BTreeSet<String>) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut client: Option<(String, Http)> = None;
    loop {
        assert!(Instant::now() < deadline, "no answer");
        // Its certificate is made at the first start, and kept: unless that was cut short.
        let ca = fs::read_to_string(service.ca()).unwrap_or_default();
        if client.as_ref().is_none_or(|(of, _)| *of != ca) {
            client = Some((ca.clone(), Http::keeping_connections(&ca)));
        }
        if let Some((_, http)) = &client
            && let Ok(answer) = http.send(Method::GET, jwks, None, None).await
            && answer.status == 200
        {
            return (http.clone(), kids_of(&answer).into_iter().collect());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Key files come and go all the time.
struct Changes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Changes {
    fn start(keys: PathBuf, drafts: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                flip(&keys, &drafts);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

/// Any key is listed from now on, or no longer; the first one always is.
fn flip(keys: &Path, drafts: &Path) {
    let number = rand::rng().random_range(0..KEYS);
    let file = |folder: &Path| folder.join(format!("{number}.pem"));
    if file(drafts).exists() {
        fs::rename(file(drafts), file(keys)).unwrap();
    } else if number > 0 {
        fs::rename(file(keys), file(drafts)).unwrap();
    }
}
