//! What an operator does with `oidc-issuer keys`: through the socket, over mutual TLS, and straight to the store.

mod direct;
mod mutual_tls;
mod names;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Folder, answers, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::{OidcIssuer, Output, run};

const ISSUER: &str = "https://oidc.example.com";

/// A service with the RSA and the P-256 key of the vectors as files, and what it keeps.
struct House {
    folder: Folder,
    port: u16,
}

impl House {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("0.pub", &key(0));
        folder.write("1.pub", &key(1));
        Self {
            folder,
            port: free_port(),
        }
    }

    /// A configuration with these lines beside the issuer's.
    fn config(&self, more: &str) -> String {
        let config = format!(
            "issuers:\n- issuer: {ISSUER}\n  sources: [{{files: {{paths: ['*.pub']}}}}]\n\
             listeners: [{{address: '127.0.0.1:{}'}}]\n{more}",
            self.port
        );
        self.folder.write("config.yaml", &config)
    }

    async fn serve(&self, more: &str) -> OidcIssuer {
        let config = self.config(more);
        OidcIssuer::serve_in(&self.state(), &["--config", &config]).await
    }

    fn state(&self) -> PathBuf {
        self.folder.path("state")
    }

    fn jwks(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }

    async fn kids(&self) -> Vec<String> {
        kids(&Http::plain(), &self.jwks()).await
    }

    /// Waits until exactly these keys are published, in whichever order.
    async fn publishes(&self, places: &[usize]) {
        let mut expected: Vec<_> = places.iter().map(|place| kid(*place)).collect();
        expected.sort();
        eventually(&format!("{places:?} are published"), async || {
            let mut published = self.kids().await;
            published.sort();
            (published == expected).then_some(())
        })
        .await;
    }

    fn keys(&self, arguments: &[&str]) -> Output {
        keys_in(&self.state(), arguments)
    }

    /// The JSON of a command that is done.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--output", "json"]).collect();
        let output = self.keys(&arguments);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// What a refused command says.
    #[track_caller]
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.keys(arguments);
        assert_eq!(output.code, Some(code), "{}{}", output.stdout, output.stderr);
        output.stderr
    }
}

fn keys_in(state: &Path, arguments: &[&str]) -> Output {
    let state = state.to_str().unwrap();
    let all: Vec<_> = ["keys"]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(["--state-dir", state])
        .collect();
    run(&all)
}

/// The key of this kid in what `--output json` printed.
fn shown<'r>(report: &'r Value, kid: &str) -> &'r Value {
    let keys = report["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == kid).expect("the key")
}

async fn killed(mut service: OidcIssuer) {
    service.program().signal("KILL");
    service.program().ended().await;
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once_and_stays_so_after_a_kill() {
    let house = House::new();
    let service = house.serve("").await;
    house.publishes(&[0, 1]).await;
    let (leaked, other) = (kid(0), kid(1));

    let output = house.keys(&[
        "revoke",
        &leaked,
        "--issuer",
        ISSUER,
        "--reason",
        "found in a backup",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains(&format!("Revoked: {leaked}")),
        "{}",
        output.stdout
    );
    let answer = Http::plain().get(&house.jwks()).await;
    assert!(
        !answer.body.contains(&leaked) && answer.body.contains(&other),
        "{}",
        answer.body
    );
    assert_eq!(answer.headers["cache-control"], "public, max-age=60");

    let report = house.done(&["list"]);
    let revoked = &shown(&report, &leaked)["revoked"];
    assert_eq!(revoked["reason"], "found in a backup");
    let by = revoked["by"].as_str().unwrap();
    assert!(by.contains(" on "), "{by}");
    assert_eq!(shown(&report, &other)["state"], "listed");
    assert_eq!(
        shown(&report, &other)["maySignFrom"],
        shown(&report, &other)["firstSeen"]
    );

    killed(service).await;
    let _service = house.serve("").await;
    assert_eq!(house.kids().await, std::slice::from_ref(&other));
    house.folder.write("0.pub", &(key(0) + "\n"));
    let denied = house.refused(1, &["revoke", &other, "--reason", "x"]);
    assert!(
        denied.contains("last published key") && denied.contains("--force"),
        "{denied}"
    );
    assert_eq!(house.kids().await, [other]);

    house.done(&["unrevoke", &leaked, "--reason", "it was the backup of a trial"]);
    house.publishes(&[0, 1]).await;
    let answer = Http::plain().get(&house.jwks()).await;
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("max-age=300")
    );
    let again = house.refused(1, &["unrevoke", &leaked]);
    assert!(again.contains("is not revoked"), "{again}");
}

#[tokio::test]
async fn the_last_key_is_revoked_by_force_and_both_documents_answer_503() {
    let house = House::new();
    std::fs::remove_file(house.folder.path("1.pub")).unwrap();
    let service = house.serve("").await;
    house.publishes(&[0]).await;
    let report = house.done(&["revoke", &kid(0), "--reason", "leaked", "--force"]);
    assert_eq!(report["withdrawn"], true);
    let http = Http::plain();
    assert_eq!(http.get(&house.jwks()).await.status, 503);
    let discovery = house.jwks().replace("/jwks", "/.well-known/openid-configuration");
    assert_eq!(http.get(&discovery).await.status, 503);
    let told = house.keys(&["list"]).stdout;
    assert!(told.contains("Nothing is published"), "{told}");

    // Read again, it still lists the revoked key alone: that is what the log says.
    house.folder.write("0.pub", &(key(0) + "\n"));
    let line = eventually("the log says why", async || {
        let mut lines = service.log().into_iter().map(|line| line.to_string());
        lines.find(|line| line.contains("every listed key is revoked"))
    })
    .await;
    for part in [
        "until a source lists another key",
        "keys unrevoke",
        "new signing key",
    ] {
        assert!(line.contains(part), "{line}");
    }
    for line in service.log() {
        let line = line.to_string();
        let wrong = [
            "cannot be read",
            "nothing was published yet",
            "stays published",
            "Put an RSA key",
        ];
        assert!(!wrong.iter().any(|wrong| line.contains(wrong)), "{line}");
    }

    house.folder.write("1.pub", &key(1));
    answers(&http, &house.jwks(), 200).await;
    assert_eq!(house.kids().await, [kid(1)]);
}

#[tokio::test]
async fn unknown_keys_and_issuers_are_told_what_there_is() {
    let house = House::new();
    let service = house.serve("").await;
    house.publishes(&[0, 1]).await;
    for verb in [
        &["revoke", "nobody", "--reason", "x"][..],
        &["unrevoke", "nobody"],
    ] {
        let told = house.refused(1, verb);
        for kid in [kid(0), kid(1)] {
            assert!(told.contains(&kid), "{told}");
        }
    }
    let told = house.refused(1, &["list", "--issuer", "https://elsewhere.example"]);
    assert!(told.contains(ISSUER), "{told}");
    let told = house.refused(1, &["approve", "nobody"]);
    assert!(told.contains("nothing"), "{told}");

    house.refused(64, &["revoke", &kid(0)]);
    let told = house.refused(64, &["revoke", &kid(0), "--reason", " "]);
    assert!(told.contains("reason is missing"), "{told}");
    house.refused(64, &["revoke", &kid(0), "--reason", "a\u{1b}[0m"]);
    assert_eq!(house.kids().await.len(), 2);

    // What the socket itself says of requests that the command would not make.
    let socket = house.state().join("control.sock");
    let raw = |request: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let post = |kind: &str, body: &str| {
        raw(&format!(
            "POST /v1/keys/revoke HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    assert!(post("text/plain", "{}").starts_with("HTTP/1.1 415"));
    assert!(post("application/json", "{").starts_with("HTTP/1.1 400"));
    assert!(post("application/json", r#"{"kid":"a"}"#).starts_with("HTTP/1.1 400"));
    let no_reason = post("application/json", &json!({"key": kid(0)}).to_string());
    assert!(no_reason.starts_with("HTTP/1.1 400"), "{no_reason}");
    let large = "POST /v1/keys/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: 9999999\r\nConnection: close\r\n\r\n";
    assert!(raw(large).starts_with("HTTP/1.1 413"));
    let nothing = raw("GET /jwks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    // Nothing of it is on the other listeners.
    let http = Http::plain();
    assert_eq!(service.ask_admin("/v1/keys").await.status, 404);
    assert_eq!(
        http.get(&house.jwks().replace("/jwks", "/v1/keys")).await.status,
        404
    );
}

#[test]
fn a_kid_may_begin_with_a_hyphen() {
    let folder = Folder::new();
    for arguments in [
        &["revoke", "-abc", "--reason", "leaked", "--force"][..],
        &["unrevoke", "--reason", "a mistake", "-abc"],
        &["approve", "-abc"],
    ] {
        let output = keys_in(&folder.path("nowhere"), arguments);
        assert_eq!(
            output.code,
            Some(1),
            "it is taken, but no service runs: {}",
            output.stderr
        );
        assert!(output.stderr.contains("control.sock"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_second_issuer_has_to_be_named() {
    let house = House::new();
    let config = house.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let second = format!("issuers:\n- issuer: {ISSUER}/b\n  sources: [{{files: {{paths: ['1.pub']}}}}]");
    house
        .folder
        .write("config.yaml", &text.replacen("issuers:", &second, 1));
    let _service = OidcIssuer::serve_in(&house.state(), &["--config", &config]).await;
    house.publishes(&[0, 1]).await;
    let told = house.refused(64, &["list"]);
    assert!(
        told.contains("--issuer") && told.contains(&format!("{ISSUER}/b")),
        "{told}"
    );
    let report = house.done(&["list", "--issuer", &format!("{ISSUER}/b")]);
    assert_eq!(report["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_keys_of_a_former_issuer_are_taken_over_as_retained() {
    let house = House::new();
    std::fs::remove_file(house.folder.path("0.pub")).unwrap();
    let _service = house.serve("").await;
    house.publishes(&[1]).await;
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/kid.json")).unwrap();
    let jwk = |place: usize| vectors["vectors"][place]["jwk"].clone();
    let mut weak = jwk(1);
    weak["crv"] = "P-224".into();
    let jwks = json!({"keys": [jwk(0), jwk(1), weak]}).to_string();
    let file = house.folder.write("old.json", &jwks);

    let output = house.keys(&["import", &file, "--reason", "from the bucket"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for told in [
        format!("Taken over: {}", kid(0)),
        format!("Published already: {}", kid(1)),
        "Refused: keys[2]".to_owned(),
    ] {
        assert!(output.stdout.contains(&told), "{told}: {}", output.stdout);
    }
    house.publishes(&[0, 1]).await;
    let report = house.done(&["list"]);
    let taken = shown(&report, &kid(0));
    assert_eq!(taken["state"], "retained");
    let time = |name: &str| taken[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let stays = time("leavesAt").duration_since(time("absentSince"));
    assert_eq!(stays, jiff::SignedDuration::from_hours(49));

    let file = house
        .folder
        .write("none.json", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#);
    let told = house.keys(&["import", &file]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(!format!("{}{}", told.stdout, told.stderr).contains("AAAA"));
}

#[tokio::test]
async fn what_waits_for_an_approval_is_let_in() {
    let house = House::new();
    let config = house.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    house.folder.write(
        "config.yaml",
        &text.replacen("  sources:", "  newKeys: approve\n  sources:", 1),
    );
    std::fs::remove_file(house.folder.path("1.pub")).unwrap();
    let _service = OidcIssuer::serve_in(&house.state(), &["--config", &config]).await;
    house.publishes(&[0]).await;
    house.folder.write("1.pub", &key(1));
    let held = eventually("the new key is held", async || {
        let report = house.done(&["list"]);
        let keys = report["keys"].as_array().unwrap();
        keys.iter().find(|key| key["kid"] == kid(1)).cloned()
    })
    .await;
    assert_eq!(
        (&held["state"], &held["held"]["label"]),
        (&"held".into(), &"unapproved".into())
    );
    assert_eq!(house.kids().await, [kid(0)]);
    let report = house.done(&["approve", &kid(1), "--reason", "made by me"]);
    assert_eq!(report["changed"][0]["kid"], kid(1));
    house.publishes(&[0, 1]).await;
}

#[tokio::test]
async fn what_waits_can_be_approved_in_the_store_too() {
    let house = House::new();
    let config = house.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("  sources:", "  newKeys: approve\n  sources:", 1);
    house.folder.write("config.yaml", &text);
    std::fs::remove_file(house.folder.path("1.pub")).unwrap();
    let service = OidcIssuer::serve_in(&house.state(), &["--config", &config]).await;
    house.publishes(&[0]).await;
    killed(service).await;

    let told = house.refused(1, &["approve", "made-by-hand", "--store"]);
    assert!(told.contains("does not say which key is meant"), "{told}");
    let report = house.done(&["approve", &kid(1), "--store", "--reason", "made by me"]);
    assert_eq!(report["changed"][0]["kid"], kid(1));
    house.folder.write("1.pub", &key(1));
    let _service = OidcIssuer::serve_in(&house.state(), &["--config", &config]).await;
    house.publishes(&[0, 1]).await;
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone_replaces_a_stale_one_and_goes_with_the_service() {
    let house = House::new();
    let socket = house.state().join("control.sock");
    for _ in 0..2 {
        let service = house.serve("").await;
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        house.done(&["list"]);
        killed(service).await;
        let told = house.refused(1, &["list"]);
        assert!(told.contains("was killed") && told.contains("--store"), "{told}");
    }
    let mut service = house.serve("").await;
    service.program().signal("TERM");
    assert_eq!(service.program().ended().await.code(), Some(0));
    assert!(!socket.exists());
    let told = house.refused(1, &["list"]);
    assert!(told.contains("no service runs with this state folder"), "{told}");
}

#[tokio::test]
async fn every_command_that_changes_something_is_in_the_log_and_in_the_audit_file() {
    let house = House::new();
    let service = house
        .serve("audit: {file: audit.log}\nlogging: {level: error}\n")
        .await;
    house.publishes(&[0, 1]).await;
    house.done(&["list"]);
    house.done(&["revoke", &kid(0), "--reason", "leaked"]);
    house.refused(1, &["revoke", &kid(1), "--reason", "x"]);
    house.refused(1, &["unrevoke", "nobody", "--issuer", ISSUER]);

    let lines: Vec<Value> = std::fs::read_to_string(house.folder.path("audit.log"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[0]["command"], "revoke");
    assert_eq!(lines[0]["kids"], json!([kid(0)]));
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["reason"]),
        (&"done".into(), &"leaked".into())
    );
    assert_eq!(
        (&lines[0]["issuer"], &lines[0]["via"]),
        (&ISSUER.into(), &"socket".into())
    );
    assert_eq!(
        (&lines[1]["outcome"], &lines[1]["issuer"]),
        (&"denied".into(), &ISSUER.into())
    );
    assert!(
        lines[2]["message"].as_str().unwrap().contains("nobody"),
        "{}",
        lines[2]
    );
    let logged = service
        .logged("the revocation", |line| {
            line["target"] == "audit" && line["outcome"] == "done"
        })
        .await;
    assert_eq!(logged["kids"], kid(0));
    let metrics = service.ask_admin("/metrics").await.body;
    for row in [
        r#"oidc_issuer_control_commands_total{command="revoke",result="done"} 1"#,
        r#"oidc_issuer_control_commands_total{command="revoke",result="denied"} 1"#,
        r#"oidc_issuer_control_commands_total{command="list",result="done"} 1"#,
        "oidc_issuer_audit_failures_total 0",
    ] {
        assert!(metrics.contains(row), "{row}");
    }

    // Whoever hangs up before the answer is audited too.
    let hasty = {
        use std::io::Write as _;
        let body = json!({"key": kid(0), "reason": "a mistake"}).to_string();
        let head = "POST /v1/keys/unrevoke HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
        let mut stream = std::os::unix::net::UnixStream::connect(house.state().join("control.sock")).unwrap();
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    };
    house.publishes(&[0, 1]).await;
    drop(hasty);
    eventually("a line for it", async || {
        let lines = std::fs::read_to_string(house.folder.path("audit.log")).unwrap();
        lines.contains("a mistake").then_some(())
    })
    .await;
    house.done(&["revoke", &kid(0), "--reason", "leaked after all"]);

    // What cannot be written down is done nevertheless, and said.
    std::fs::remove_file(house.folder.path("audit.log")).unwrap();
    std::fs::create_dir(house.folder.path("audit.log")).unwrap();
    let output = house.keys(&["unrevoke", &kid(0)]);
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.contains("audit file"), "{}", output.stderr);
    let metrics = service.ask_admin("/metrics").await.body;
    assert!(metrics.contains("oidc_issuer_audit_failures_total 1"));
}
