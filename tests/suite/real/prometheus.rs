//! A real Prometheus reads what the admin listener exports.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::http::Http;
use super::program::{Program, eventually, free_port};
use super::programs::Programs;
use super::service::OidcIssuer;

#[tokio::test]
async fn prometheus_scrapes_the_running_service() {
    let Some(programs) = Programs::find(&["prometheus"]) else {
        return;
    };
    let service = embedded().await;
    let folder = tempfile::tempdir().expect("a folder");
    let target = service.admin("").replace("http://", "");
    let rules = deployed().join("alerts.yaml").display().to_string();
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{rules}]\n\
         scrape_configs:\n  - job_name: oidc-issuer\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).expect("a file");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut prometheus = Program::start(
        "prometheus",
        programs
            .command("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={listen}")),
        folder.path(),
    );
    let http = Http::plain();
    prometheus
        .ready(async || http.is_ok(&format!("http://{listen}/-/ready"), None).await)
        .await;

    let query = async |name: &str| -> Vec<Value> {
        let answer = http
            .get(&format!("http://{listen}/api/v1/query?query={name}"))
            .await
            .json();
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    };
    let value = |sample: &Value| sample["value"][1].as_str().map(ToOwned::to_owned);
    let scraped = async || (value(query("up").await.first()?)? == "1").then_some(());
    eventually("the target is up", scraped).await;
    let build = query("oidc_issuer_build_info").await;
    assert_eq!(build.len(), 1, "{build:?}");
    assert_eq!(value(&build[0]).as_deref(), Some("1"));

    // The alerts are evaluated over what the service really exports, and all is well.
    let quiet = async || {
        let answer = http.get(&format!("http://{listen}/api/v1/rules")).await.json();
        let groups = answer["data"]["groups"].as_array()?;
        let rules: Vec<_> = groups
            .iter()
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .collect();
        for rule in &rules {
            assert_ne!(rule["health"], "err", "{}: {}", rule["name"], rule["lastError"]);
        }
        // Until it was scraped, nothing seems to run.
        let is_quiet = |rule: &&Value| rule["health"] == "ok" && rule["state"] == "inactive";
        (rules.len() > 20 && rules.iter().all(is_quiet)).then_some(())
    };
    eventually("every rule is evaluated, and no alert is on", quiet).await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(programs) = Programs::find(&["promtool"]) else {
        return;
    };
    let service = embedded().await;
    let metrics = service.ask_admin("/metrics").await;
    assert_eq!(metrics.status, 200);
    let mut promtool = programs
        .command("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool
        .stdin
        .take()
        .expect("a pipe")
        .write_all(metrics.body.as_bytes())
        .expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn prometheus_takes_the_alerts_and_each_fires_when_it_should() {
    let Some(programs) = Programs::find(&["promtool"]) else {
        return;
    };
    for (command, file) in [
        (&["check", "rules", "--lint-fatal"][..], "alerts.yaml"),
        (&["test", "rules"], "alerts.test.yaml"),
    ] {
        let output = programs
            .command("promtool")
            .args(command)
            .arg(deployed().join(file))
            .output()
            .expect("promtool runs");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Where the alerts are.
fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

/// A service that has been asked, so that every kind of metric has a sample.
async fn embedded() -> OidcIssuer {
    let listen = format!("127.0.0.1:{}", free_port());
    let service = OidcIssuer::serve(&["--listen", &listen]).await;
    let answer = service.http().get(&format!("https://{listen}/jwks")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    service
}
