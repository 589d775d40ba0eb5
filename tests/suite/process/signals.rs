//! Signals that come while the service starts, and two that come at once.

use std::fmt::Write as _;
use std::process::Command;

use super::{Folder, key};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::OidcIssuer;

/// Of a configuration that takes long to read.
const ISSUERS: usize = 2000;

/// A service that reads such a configuration, once it takes signals.
async fn starting(folder: &Folder) -> OidcIssuer {
    let keys = folder.write("sa.pub", &key(0));
    let mut yaml = format!(
        "listeners: [{{address: \"127.0.0.1:{}\"}}]\nstore: {{memory: {{}}}}\nissuers:\n",
        free_port()
    );
    for number in 0..ISSUERS {
        writeln!(
            yaml,
            "- issuer: https://a.example/{number}\n  required: {}\n  sources: [files: {{paths: [\"{keys}\"]}}]",
            number == 0
        )
        .unwrap();
    }
    let config = folder.write("config.yaml", &yaml);
    let mut service = OidcIssuer::spawn(&["--config", &config]);
    let process = service.program().id();
    eventually("signals are taken", async || takes_signals(process).then_some(())).await;
    service
}

/// Whether SIGHUP, SIGINT and SIGTERM have handlers.
fn takes_signals(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    [1, 2, 15]
        .into_iter()
        .all(|signal| caught & (1 << (signal - 1)) != 0)
}

#[tokio::test]
async fn a_sighup_while_it_starts_is_a_reload_after_the_start() {
    let folder = Folder::new();
    let mut service = starting(&folder).await;
    service.program().signal("HUP");
    service.until_ready().await;
    eventually("it was reloaded", async || {
        let metrics = service.ask_admin("/metrics").await.body;
        metrics
            .contains("oidc_issuer_config_reloads_total{result=\"success\"} 1\n")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sigterm_while_it_starts_ends_it_without_an_error() {
    let folder = Folder::new();
    for signal in ["TERM", "INT"] {
        let mut service = starting(&folder).await;
        service.program().signal(signal);
        assert_eq!(service.program().ended().await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn signals_are_taken_before_the_configuration_is_read() {
    // What it says of the configuration comes later than the handlers: with a file that is no YAML it ends.
    let folder = Folder::new();
    let mut service = starting(&folder).await;
    assert!(
        service.log().is_empty(),
        "nothing is logged before the configuration is read"
    );
    assert!(!Http::plain().is_ok(&service.admin("/livez"), None).await);
    service.program().signal("TERM");
    service.program().ended().await;
}

#[tokio::test]
async fn signals_that_come_at_once_are_one_request_and_a_later_one_ends_it() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "--issuer",
        "https://a.example",
        "--keys",
        &keys,
        "--listen-http",
        &listen,
    ];
    let mut service = OidcIssuer::serve(&arguments).await;
    let held = super::stop::half_asked(port);
    let process = service.program().id().to_string();
    let at_once =
        format!("kill -TERM {process}; kill -TERM {process}; kill -INT {process}; kill -TERM {process}");
    assert!(
        Command::new("sh")
            .args(["-c", &at_once])
            .status()
            .unwrap()
            .success()
    );
    service
        .logged("it drains", |line| {
            line.to_string().contains("answering what is in flight")
        })
        .await;
    let answer = super::stop::answer(held);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(service.program().ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_first_process_of_a_container_ends_when_it_is_told_to_while_it_starts() {
    let may = Command::new("unshare").args(["-rpf", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this machine makes no PID namespaces");
        return;
    }
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let mut child = Command::new("unshare")
        .args(["-rpf", "--kill-child", env!("CARGO_BIN_EXE_oidc-issuer")])
        .args(["serve", "--issuer", "https://a.example", "--keys", &keys])
        .args([
            "--listen-http",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--state-dir",
            &folder.text("state"),
        ])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let outer = child.id();
    let inner = eventually("it takes signals", async || {
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
        let inner = children.trim().parse().ok()?;
        takes_signals(inner).then_some(inner)
    })
    .await;
    assert!(
        Command::new("kill")
            .args(["-TERM", &inner.to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
