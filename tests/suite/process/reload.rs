//! A changed configuration while the service runs.

use std::fs;

use super::{Folder, answers, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::OidcIssuer;

/// A service with a configuration file.
struct Configured {
    folder: Folder,
    service: OidcIssuer,
    http: Http,
    port: u16,
}

impl Configured {
    async fn new() -> Self {
        let folder = Folder::new();
        folder.write("sa.pub", &key(0));
        folder.write("other.pub", &key(1));
        let port = free_port();
        let file = folder.write("config.yaml", &yaml(port, &["a"], ""));
        let service = OidcIssuer::serve(&["--config", &file]).await;
        Self {
            folder,
            service,
            http: Http::plain(),
            port,
        }
    }

    fn jwks(&self, issuer: &str) -> String {
        format!("http://localhost:{}/{issuer}/jwks", self.port)
    }

    /// The counter of reloads with this result.
    async fn reloads(&self, result: &str) -> u64 {
        let metrics = self.service.ask_admin("/metrics").await.body;
        let name = format!("oidc_issuer_config_reloads_total{{result=\"{result}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        value.parse().unwrap()
    }

    async fn reloaded(&self, result: &str, times: u64) {
        eventually("the reload is counted", async || {
            (self.reloads(result).await == times).then_some(())
        })
        .await;
    }
}

/// A configuration of these issuers, with more at its end.
fn yaml(port: u16, issuers: &[&str], more: &str) -> String {
    let issuers: Vec<_> = issuers
        .iter()
        .map(|name| {
            format!("- issuer: https://localhost:{port}/{name}\n  sources: [files: {{paths: [sa.pub]}}]\n")
        })
        .collect();
    format!(
        "issuers:\n{}listeners: [{{address: \"localhost:{port}\"}}]\n{more}",
        issuers.concat()
    )
}

#[tokio::test]
async fn a_changed_file_adds_and_drops_issuers_and_a_dropped_one_comes_back() {
    let it = Configured::new().await;
    answers(&it.http, &it.jwks("a"), 200).await;
    answers(&it.http, &it.jwks("b"), 404).await;
    it.folder.write("config.yaml", &yaml(it.port, &["b", "a"], ""));
    answers(&it.http, &it.jwks("b"), 200).await;
    it.folder.write("config.yaml", &yaml(it.port, &["b"], ""));
    answers(&it.http, &it.jwks("a"), 404).await;
    answers(&it.http, &it.jwks("b"), 200).await;
    it.folder.write("config.yaml", &yaml(it.port, &["a", "b"], ""));
    answers(&it.http, &it.jwks("a"), 200).await;
    assert_eq!(it.reloads("success").await, 3);
    assert_eq!(it.reloads("failure").await, 0);
}

#[tokio::test]
async fn another_source_keeps_the_keys_of_the_one_before() {
    let it = Configured::new().await;
    let other = yaml(it.port, &["a"], "").replace("sa.pub", "other.pub");
    it.folder.write("config.yaml", &other);
    let both = eventually("the key of the new source is published", async || {
        let kids = kids(&it.http, &it.jwks("a")).await;
        kids.contains(&kid(1)).then_some(kids)
    })
    .await;
    assert!(
        both.contains(&kid(0)),
        "the key of the old source was dropped: {both:?}"
    );
}

#[tokio::test]
async fn an_invalid_file_is_refused_told_and_counted_and_the_old_one_stays() {
    let mut it = Configured::new().await;
    it.folder.write("config.yaml", "issuers: [{isuer: x}]\n");
    it.reloaded("failure", 1).await;
    it.service
        .logged("every problem is told", |line| {
            let line = line.to_string();
            line.contains("the old one stays") && line.contains("did you mean") && line.contains("sources")
        })
        .await;
    answers(&it.http, &it.jwks("a"), 200).await;
    // Asked for by hand it is read again, and refused again.
    it.service.program().signal("HUP");
    it.reloaded("failure", 2).await;
}

#[tokio::test]
async fn durations_that_contradict_each_other_are_refused_with_the_arithmetic() {
    let it = Configured::new().await;
    let short = yaml(it.port, &["a", "b"], "").replace("  sources", "  retention: 48h9m\n  sources");
    it.folder.write("config.yaml", &short);
    it.reloaded("failure", 1).await;
    it.service
        .logged("the sum is told", |line| {
            line.to_string().contains(
                "is 48h9m, but must be at least 48h10m: tokenLifetime 24h + cache lifetime of the JWKS 24h5m",
            )
        })
        .await;
    answers(&it.http, &it.jwks("a"), 200).await;
    answers(&it.http, &it.jwks("b"), 404).await;
}

#[tokio::test]
async fn what_cannot_change_at_run_time_is_refused_as_a_whole() {
    let it = Configured::new().await;
    let changed = yaml(it.port, &["a", "b"], "limits: {idleTimeout: 9s}\n");
    it.folder.write("config.yaml", &changed);
    it.reloaded("failure", 1).await;
    it.service
        .logged("a restart is asked for", |line| {
            line.to_string().contains("a change of limits needs a restart")
        })
        .await;
    answers(&it.http, &it.jwks("b"), 404).await;
}

#[tokio::test]
async fn a_sighup_reads_the_file_again() {
    let mut it = Configured::new().await;
    it.service.program().signal("HUP");
    it.reloaded("success", 1).await;
    answers(&it.http, &it.jwks("a"), 200).await;
}

/// The inotify instances of a process, and the folders that it watches with them.
fn watches(process: u32) -> (usize, usize) {
    let mut found = (0, 0);
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap().flatten() {
        // One may be closed meanwhile.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let folders = text.lines().filter(|line| line.starts_with("inotify ")).count();
        found.0 += usize::from(folders > 0);
        found.1 += folders;
    }
    found
}

#[tokio::test]
async fn key_files_of_any_number_of_issuers_are_watched_by_one_instance_and_only_while_they_are_configured() {
    // The system gives 128 instances to a user, as a rule.
    const ISSUERS: usize = 150;
    let mut it = Configured::new().await;
    answers(&it.http, &it.jwks("a"), 200).await;
    let process = it.service.program().id();
    let (instances, folders) = watches(process);

    let mut all = yaml(it.port, &["a"], "");
    for number in 0..ISSUERS {
        fs::create_dir(it.folder.path(&number.to_string())).unwrap();
        it.folder.write(&format!("{number}/sa.pub"), &key(0));
        let more = format!(
            "issuers:\n- issuer: https://localhost:{}/{number}\n  sources: [files: {{paths: [{number}/sa.pub]}}]\n",
            it.port
        );
        all = all.replace("issuers:\n", &more);
    }
    it.folder.write("config.yaml", &all);
    for number in 0..ISSUERS {
        answers(&it.http, &it.jwks(&number.to_string()), 200).await;
    }
    eventually("each folder is watched, by the same instance", async || {
        (watches(process) == (instances, folders + ISSUERS)).then_some(())
    })
    .await;

    it.folder.write("config.yaml", &yaml(it.port, &["a"], ""));
    eventually("what nobody reads is not watched", async || {
        (watches(process) == (instances, folders)).then_some(())
    })
    .await;
    it.folder.write("sa.pub", &key(1));
    eventually("a change is still seen", async || {
        let kids = kids(&it.http, &it.jwks("a")).await;
        kids.contains(&kid(1)).then_some(())
    })
    .await;
}
