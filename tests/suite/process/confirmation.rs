//! What has to be confirmed or approved: held, told once with the command that lets it in, and counted.

use super::{Folder, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::{OidcIssuer, run};

struct Rotating {
    folder: Folder,
    service: OidcIssuer,
    http: Http,
    issuer: String,
}

impl Rotating {
    /// A service that publishes the RSA key of the vectors, with these settings.
    async fn with(settings: &str) -> Self {
        let folder = Folder::new();
        folder.write("sa.pub", &key(0));
        let port = free_port();
        let issuer = format!("https://localhost:{port}");
        let file = folder.write(
            "config.yaml",
            &format!(
                "issuers:\n- issuer: {issuer}\n  sources: [files: {{paths: [sa.pub]}}]\n  refresh: 1s\n  {settings}\n\
                 listeners: [{{address: \"localhost:{port}\"}}]\n"
            ),
        );
        let service = OidcIssuer::serve(&["--config", &file]).await;
        let (http, issuer) = (Http::plain(), issuer.clone());
        Self {
            folder,
            service,
            http,
            issuer,
        }
    }

    async fn kids(&self) -> Vec<String> {
        let plain = self.issuer.replace("https", "http");
        kids(&self.http, &format!("{plain}/jwks")).await
    }

    async fn counts(&self, row: &str) {
        eventually(row, async || {
            let page = self.service.ask_admin("/metrics").await.body;
            page.lines().any(|line| line == row).then_some(())
        })
        .await;
    }

    /// Good reads of its source so far.
    async fn reads(&self) -> u64 {
        let page = self.service.ask_admin("/metrics").await.body;
        let row = page.lines().find(|line| {
            line.starts_with("oidc_issuer_source_reads_total") && line.contains("result=\"success\"")
        });
        let value = row.and_then(|row| row.rsplit_once(' ')).map(|(_, value)| value);
        value.unwrap().parse().unwrap()
    }

    async fn reads_on(&self, times: u64) {
        let before = self.reads().await;
        eventually("it was read again", async || {
            (self.reads().await >= before + times).then_some(())
        })
        .await;
    }

    /// Runs the command that a line of its log names, as an operator does who copies it.
    fn obeys(&self, line: &str) {
        let (_, command) = line.split_once("oidc-issuer keys approve ").unwrap();
        let words = command.split(['"', ' ']).take(3);
        let mut arguments = vec!["keys", "approve"];
        arguments.extend(words);
        let state = self.service.state.display().to_string();
        arguments.extend(["--reason", "planned", "--state-dir", &state]);
        let output = run(&arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
    }

    async fn publishes_both(&self) {
        eventually("both are published", async || {
            (self.kids().await.len() == 2).then_some(())
        })
        .await;
    }

    /// The lines of its log with these words.
    fn lines(&self, told: &str) -> Vec<String> {
        let lines = self.service.log().into_iter().map(|line| line.to_string());
        lines.filter(|line| line.contains(told)).collect()
    }
}

#[tokio::test]
async fn keys_that_were_all_exchanged_wait_for_an_operator_where_he_is_to_decide() {
    let it = Rotating::with("confirmation: manual").await;
    it.folder.write("sa.pub", &key(1));
    it.counts(&format!("oidc_issuer_held_changes{{issuer=\"{}\"}} 1", it.issuer))
        .await;
    it.reads_on(4).await;
    assert_eq!(it.kids().await, [kid(0)]);
    let told = it.lines("lists none of the published keys any more");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "until an operator approves it",
        "oidc-issuer keys approve ",
        &format!("--issuer {}", it.issuer),
        &kid(1),
    ] {
        assert!(told[0].contains(part), "{part:?} in {told:?}");
    }
    it.counts(&format!(
        "oidc_issuer_keys{{issuer=\"{}\",state=\"held\"}} 1",
        it.issuer
    ))
    .await;

    it.obeys(&told[0]);
    it.publishes_both().await;
    let confirmed = it.lines("keys that replace every published one are confirmed");
    assert!(
        confirmed.len() == 1 && confirmed[0].contains("planned"),
        "{confirmed:?}"
    );
}

#[tokio::test]
async fn keys_that_were_all_exchanged_are_published_when_they_were_listed_for_long_enough() {
    let it = Rotating::with("confirmation: 3s").await;
    it.folder.write("sa.pub", &key(1));
    it.publishes_both().await;
    let told = [
        it.lines("until that was so for 3s"),
        it.lines("keys that replace every published one are confirmed"),
    ];
    assert!(told.iter().all(|lines| lines.len() == 1), "{told:?}");
    it.counts(&format!("oidc_issuer_held_changes{{issuer=\"{}\"}} 0", it.issuer))
        .await;
}

#[tokio::test]
async fn a_new_key_waits_for_an_approval_where_it_must() {
    let it = Rotating::with("newKeys: approve").await;
    it.folder.write("sa.pub", &format!("{}{}", key(0), key(1)));
    it.counts(&format!(
        "oidc_issuer_quarantined_entries{{issuer=\"{}\",reason=\"unapproved\"}} 1",
        it.issuer
    ))
    .await;
    it.reads_on(2).await;
    assert_eq!(it.kids().await, [kid(0)]);
    let told = it.lines("waits for an operator");
    assert_eq!(told.len(), 1, "{told:?}");
    let command = format!("oidc-issuer keys approve {} --issuer {}", kid(1), it.issuer);
    assert!(told[0].contains(&command), "{told:?}");
    it.obeys(&told[0]);
    it.publishes_both().await;
}
