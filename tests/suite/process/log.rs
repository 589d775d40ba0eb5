//! The log: what becomes of it where nobody reads, and how it is written for whom.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::Value;

use super::{Folder, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::{binary, run};

/// A service whose standard error is a pipe that is full before it starts.
struct Stalled {
    folder: Folder,
    child: Child,
    log: PipeReader,
    edge: u16,
    admin: u16,
}

impl Stalled {
    fn start(level: &str) -> Self {
        let folder = Folder::new();
        let (edge, admin) = (free_port(), free_port());
        let keys = folder.write("sa.pub", &key(0));
        let config = folder.write(
            "config.yaml",
            &format!(
                "issuers: [{{issuer: https://a.example, sources: [files: {{paths: [\"{keys}\"]}}]}}]\n\
                 listeners: [{{address: \"127.0.0.1:{edge}\"}}]\n\
                 admin: {{address: \"127.0.0.1:{admin}\"}}\n\
                 stateDir: {}\n",
                folder.text("state")
            ),
        );
        let (log, mut full) = std::io::pipe().unwrap();
        fcntl_setfl(&full, OFlags::NONBLOCK).unwrap();
        while full.write(&[b'.'; 512]).is_ok() {}
        while full.write(b".").is_ok() {}
        fcntl_setfl(&full, OFlags::empty()).unwrap();
        let child = binary()
            .args([
                "serve",
                "--config",
                &config,
                "--log-format",
                "json",
                "--log-level",
                level,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(full)
            .spawn()
            .unwrap();
        Self {
            folder,
            child,
            log,
            edge,
            admin,
        }
    }

    fn jwks(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.edge)
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = Http::plain()
            .get(&format!("http://127.0.0.1:{}/metrics", self.admin))
            .await;
        let rows = text.body.lines().filter(|line| line.starts_with(name));
        rows.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    async fn works(&self) {
        is_up(&self.jwks()).await;
        is_up(&format!("http://127.0.0.1:{}/livez", self.admin)).await;
    }
}

/// Waits until this is answered 200, also where nobody listens yet.
async fn is_up(url: &str) {
    let http = Http::plain();
    eventually(url, async || http.is_ok(url, None).await.then_some(())).await;
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const DROPPED: &str = "oidc_issuer_log_lines_dropped_total";

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing_and_what_was_dropped_is_told_once() {
    let mut it = Stalled::start("oidc_issuer=trace,hyper=trace,hyper_util=trace");
    it.works().await;
    assert_eq!(it.metric(DROPPED).await, 0, "there is room for a while");
    let http = Http::plain();
    eventually("lines are dropped", async || {
        for _ in 0..50 {
            http.get(&it.jwks()).await;
        }
        (it.metric(DROPPED).await > 0).then_some(())
    })
    .await;
    it.works().await;

    let state = it.folder.text("state");
    let listed = run(&["keys", "list", "--state-dir", &state]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    for _ in 0..3 {
        let refused = run(&["keys", "revoke", "nosuch", "--reason", "x", "--state-dir", &state]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    }
    it.signal("HUP");
    eventually("it reloads", async || {
        (it.metric("oidc_issuer_config_reloads_total{result=\"success\"}")
            .await
            == 1)
            .then_some(())
    })
    .await;
    it.folder.write("sa.pub", &key(1));
    eventually("the new key is published", async || {
        kids(&http, &it.jwks()).await.contains(&kid(1)).then_some(())
    })
    .await;
    for level in ["audit", "error", "warn"] {
        assert_eq!(
            it.metric(&format!("{DROPPED}{{level=\"{level}\"}}")).await,
            0,
            "{level}"
        );
    }
    let dropped = it.metric(DROPPED).await;

    // The reader is back.
    let mut log = it.log.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    eventually("nothing is dropped any more", async || {
        let before = it.metric(DROPPED).await;
        it.works().await;
        (it.metric(DROPPED).await == before).then_some(())
    })
    .await;
    it.signal("TERM");
    assert_eq!(it.child.wait().unwrap().code(), Some(0));
    let text = reader.join().unwrap();
    let lines: Vec<Value> = text
        .trim_start_matches('.')
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<_> = lines.iter().filter(|line| line["lines"].is_u64()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["lines"].as_u64().unwrap() >= dropped, "{told:?}");
    assert!(told[0]["message"].as_str().unwrap().contains("were dropped"));
    let audits = lines.iter().filter(|line| line["target"] == "audit").count();
    assert_eq!(audits, 3);
    assert!(lines.iter().any(|line| line["message"] == "ended"), "to the end");
}

#[tokio::test]
async fn a_process_whose_log_nobody_reads_ends_in_time_when_it_is_told_to() {
    let mut it = Stalled::start("info");
    it.works().await;
    let told = Instant::now();
    it.signal("TERM");
    assert_eq!(it.child.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    let mut it = Stalled::start("info");
    // The last reader.
    let (other, _) = std::io::pipe().unwrap();
    it.log = other;
    it.works().await;
    eventually("the lines count as dropped", async || {
        (it.metric(DROPPED).await > 0).then_some(())
    })
    .await;
    it.signal("TERM");
    assert_eq!(it.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_full_pipe_that_does_not_block_is_waited_for_without_haste() {
    let mut it = Stalled::start("info");
    fcntl_setfl(it.log.as_fd(), OFlags::empty()).unwrap();
    it.works().await;
    it.signal("TERM");
    assert_eq!(it.child.wait().unwrap().code(), Some(0));
}

/// What `serve` logs to this file until it ends, with `JOURNAL_STREAM` as given for that file.
async fn logged(stream: impl Fn(u64, u64) -> String, more: &[&str]) -> String {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let path: PathBuf = folder.path("log");
    let file = File::create(&path).unwrap();
    let there = file.metadata().unwrap();
    let admin = format!("127.0.0.1:{}", free_port());
    let mut child = binary()
        .args([
            "serve",
            "--issuer",
            "https://a.example",
            "--keys",
            &keys,
            "--admin",
            &admin,
        ])
        .args([
            "--listen-http",
            "127.0.0.1:0",
            "--state-dir",
            &folder.text("state"),
        ])
        .args(more)
        .env("JOURNAL_STREAM", stream(there.dev(), there.ino()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    is_up(&format!("http://{admin}/readyz")).await;
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success() && child.wait().unwrap().success());
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_journal_of_systemd_is_given_text_with_priorities_and_whoever_else_reads_json() {
    let journal = |device, inode| format!("{device}:{inode}");
    let text = logged(journal, &[]).await;
    assert!(
        text.lines()
            .all(|line| line.starts_with('<') && line.as_bytes()[2] == b'>'),
        "{text}"
    );
    assert!(
        text.contains("<6>oidc-issuer ") && !text.contains('\u{1b}'),
        "{text}"
    );

    let elsewhere = |device, inode: u64| format!("{device}:{}", inode + 1);
    for json in [
        logged(elsewhere, &[]).await,
        logged(journal, &["--log-format", "json"]).await,
    ] {
        assert!(
            json.lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{json}"
        );
    }
}
