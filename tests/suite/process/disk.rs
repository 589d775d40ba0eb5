//! What the disk is asked to do before a new key is answered, and what happens where it takes nothing more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Folder, answers, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::programs::{Programs, skip};
use crate::real::service::OidcIssuer;

/// An issuer whose keys are files, with the first key of the vectors.
struct House {
    folder: Folder,
    port: u16,
}

impl House {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("0.pub", &key(0));
        fs::create_dir(folder.path("state")).unwrap();
        Self {
            folder,
            port: free_port(),
        }
    }

    fn start(&self, by: &[&str]) -> OidcIssuer {
        let arguments = [
            "--issuer".to_owned(),
            "https://oidc.example.com".to_owned(),
            "--keys".to_owned(),
            self.folder.text("*.pub"),
            "--listen-http".to_owned(),
            format!("127.0.0.1:{}", self.port),
        ];
        OidcIssuer::spawn_by(by, &self.folder.path("state"), &arguments)
    }

    fn jwks(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }

    /// Waits until so many keys are published.
    async fn publishes(&self, count: usize) {
        let (http, url) = (Http::plain(), self.jwks());
        eventually("the service listens", async || {
            http.send(reqwest::Method::GET, &url, None, None)
                .await
                .ok()
                .map(drop)
        })
        .await;
        answers(&http, &url, 200).await;
        eventually("the keys are published", async || {
            (kids(&http, &url).await.len() == count).then_some(())
        })
        .await;
    }
}

/// 500 processes that are killed cannot show it: what a process has written outlives the process without a sync.
#[tokio::test]
async fn a_sync_of_the_database_comes_before_the_first_answer_with_a_new_key() {
    let Some(programs) = Programs::find(&["strace"]) else {
        return;
    };
    let strace = programs.path("strace");
    if !Command::new(strace)
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|ended| ended.status.success())
    {
        return skip("this machine lets nobody trace a process");
    }
    let house = House::new();
    let (strace, trace) = (strace.display().to_string(), house.folder.text("trace"));
    let calls = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg";
    // The service is the process itself, and strace its child: so it ends with the test.
    let words = [
        &*strace, "-D", "-f", "-y", "-s", "40000", "-e", calls, "-o", &trace,
    ];
    let _service = house.start(&words);
    house.publishes(1).await;
    house.folder.write("1.pub", &key(1));
    house.publishes(2).await;
    let kid = kid(1);
    let lines = eventually("the answer is in the trace", async || {
        let trace = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
        let lines: Vec<_> = trace.lines().map(ToOwned::to_owned).collect();
        let answer = lines
            .iter()
            .position(|line| line.contains("<socket:[") && line.contains(&kid))?;
        Some(lines[..answer].to_vec())
    })
    .await;
    let log = "ledgers.db-wal>";
    let is_of_log = |line: &str, call: &str| line.contains(call) && line.contains(log);
    let written = lines
        .iter()
        .position(|line| is_of_log(line, "pwrite64(") && line.contains(&kid));
    let written = written.expect("the new key is written to the log of the database before it is answered");
    let process = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut syncing = None;
    let is_synced = lines[written..].iter().any(|line| {
        let is_sync = is_of_log(line, "fsync(") || is_of_log(line, "fdatasync(");
        if is_sync && line.contains("unfinished") {
            syncing = Some(process(line));
        }
        let resumed = line.contains("sync resumed>") && syncing.as_ref() == Some(&process(line));
        (is_sync || resumed) && line.trim_end().ends_with("= 0")
    });
    assert!(is_synced, "{}", lines[written..].join("\n"));
}

#[tokio::test]
async fn on_a_full_disk_keys_are_published_and_a_gauge_tells_until_there_is_room() {
    let may = "mount -t tmpfs none /mnt";
    let may = Command::new("unshare").args(["-rm", "sh", "-c", may]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skip("this machine lets nobody mount a file system of his own");
    }
    let house = House::new();
    let state = house.folder.path("state");
    let full = r#"mount -t tmpfs -o size=2m none "$0" && cat /dev/zero > "$0/filler"; exec "$@""#;
    let mut service = house.start(&["unshare", "-rm", "sh", "-c", full, state.to_str().unwrap()]);
    house.publishes(1).await;
    is_durable(&service, false).await;
    service
        .logged("the cause is told", |line| {
            line.to_string().contains("it is published anyway")
        })
        .await;

    let filler = within(&mut service, &state).join("filler");
    fs::remove_file(&filler).unwrap();
    is_durable(&service, true).await;

    // It fills up while the service runs.
    fill(&filler);
    house.folder.write("1.pub", &key(1));
    house.publishes(2).await;
    is_durable(&service, false).await;
    fs::remove_file(&filler).unwrap();
    is_durable(&service, true).await;
    service.program().signal("TERM");
    assert_eq!(service.program().ended().await.code(), Some(0));
}

/// A folder as the service sees it.
fn within(service: &mut OidcIssuer, folder: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", service.program().id()));
    root.join(folder.strip_prefix("/").unwrap())
}

fn fill(filler: &Path) {
    let zeros = vec![0; 4 << 20];
    fs::write(filler, zeros).unwrap_err();
}

async fn is_durable(service: &OidcIssuer, is_so: bool) {
    let row = format!(
        "oidc_issuer_store_durable{{issuer=\"https://oidc.example.com\"}} {}",
        u8::from(is_so)
    );
    eventually(&row, async || {
        let page = service.ask_admin("/metrics").await.body;
        page.contains(&row).then_some(())
    })
    .await;
}
