//! What is shown: nothing that acts on a terminal, whoever wrote it; which build this is; and which words are known.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_issuer::display;
use serde_json::{Value, json};

use super::{Folder, Served, key};
use crate::real::http::Http;
use crate::real::program::eventually;
use crate::real::service::{OidcIssuer, binary, run};

/// Clears the screen, forges a line, turns the direction, and hides.
const EVIL: &str = "a\u{1b}[2J\nFORGED\r\u{9b}1m\u{202e}b\u{2028}c\u{200b}\u{2066}\u{feff}\u{ad}\u{e0041}z";

fn is_clean(text: &str) -> bool {
    !text.contains(|c| c != '\n' && oidc_issuer::display::is_hidden(c))
        && !text.lines().any(|line| line.starts_with("FORGED"))
}

#[test]
fn nothing_that_acts_on_a_terminal_is_shown_by_any_command_whoever_wrote_it() {
    let folder = Folder::new();
    let good = folder.write("good.pem", &key(0));
    let evil_file = folder.path(&format!("{EVIL}.pem").replace('/', "_"));
    fs::write(&evil_file, "-----BEGIN X-----\n!!\n-----END X-----\n").unwrap();
    let bytes_file = folder.path("").join(OsStr::from_bytes(b"\xff\x1b[2J.pem"));
    fs::write(bytes_file, "").unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.AAAA",
        part(json!({"alg": "RS256", "kid": EVIL})),
        part(json!({"iss": EVIL, "sub": EVIL, EVIL: 1}))
    );
    let token = folder.write("token", &token);
    let mut jwk: Value = serde_json::from_str(include_str!("../../vectors/kid.json")).unwrap();
    let mut jwk = jwk["vectors"][0]["jwk"].take();
    jwk["kid"] = json!("kid\u{202e}\u{200b}\u{2028}z");
    let jwks = folder.write("jwks.json", &json!({ "keys": [jwk] }).to_string());
    let quoted = serde_json::to_string(EVIL).unwrap();
    let kubeconfig = folder.write(
        "kubeconfig",
        &format!("apiVersion: v1\nkind: Config\ncurrent-context: {quoted}\ncontexts: [{{name: {quoted}1, context: {{cluster: c}}}}]\nclusters: []\n"),
    );
    let config = folder.write(
        "config.yaml",
        &format!("issuers: [{{{quoted}: 1, issuer: {quoted}, sources: [files: {{paths: [{quoted}]}}]}}]\n"),
    );
    let valid = folder.write(
        "valid.yaml",
        &format!("issuers: [{{issuer: https://a.example, sources: [apiServer: {{kubeconfig: {quoted}, context: {quoted}}}]}}]\n"),
    );
    let all = folder.text("*.pem");
    let evil_file = evil_file.to_str().unwrap();
    let commands: Vec<Vec<&str>> = vec![
        vec!["inspect", &all],
        vec!["inspect", &good, evil_file],
        vec!["inspect", &jwks],
        vec!["inspect", &jwks, "--output", "json"],
        vec!["inspect", &all, "--output", "json"],
        vec!["inspect", &good, "--token", &token],
        vec!["inspect", &good, "--token", &token, "--output", "json"],
        vec!["inspect", &good, "--token", &token, "--issuer", EVIL],
        vec!["inspect", "--kubeconfig", &kubeconfig],
        vec!["inspect", &kubeconfig, "--output", "json"],
        vec!["inspect", EVIL],
        vec!["config", "check", &config],
        vec!["config", "check", &valid],
        vec!["serve", "--config", &config],
        vec!["serve", "--issuer", EVIL],
        vec!["serve", EVIL],
        vec!["keys", "list", "--state-dir", evil_file],
        vec!["keys", "list", "--store", &format!("x://{EVIL}")[..]]
            .into_iter()
            .map(|word| &*Box::leak(word.to_owned().into_boxed_str()))
            .collect(),
        vec!["keys", "import", EVIL],
        vec!["token", "--config", EVIL],
        vec!["health", "--admin", EVIL],
    ];
    for command in commands {
        let output = run(&command);
        assert!(is_clean(&output.stdout), "{command:?}: {:?}", output.stdout);
        assert!(is_clean(&output.stderr), "{command:?}: {:?}", output.stderr);
        if command.contains(&"json") {
            serde_json::from_str::<Value>(&output.stdout).unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_that_acts_on_a_terminal_reaches_the_log_the_audit_file_or_readyz() {
    let folder = Folder::new();
    let audit = folder.text("audit.log");
    let keys = folder.text("*.pub");
    let config = folder.write(
        "more.yaml",
        &format!(
            "audit: {{file: \"{audit}\"}}\nlisteners: [{{address: \"127.0.0.1:0\"}}]\n\
             issuers: [{{issuer: https://a.example, sources: [files: {{paths: [\"{keys}\"]}}]}}]\n"
        ),
    );
    let broken = "-----BEGIN X-----\n!!\n-----END X-----\n";
    fs::write(folder.path(&format!("{EVIL}.pub")), broken).unwrap();
    for format in ["json", "human"] {
        let service = OidcIssuer::spawn_logging(format, &["--config", &config]);
        let (http, alive) = (Http::plain(), service.admin("/livez"));
        eventually("it runs", async || http.is_ok(&alive, None).await.then_some(())).await;
        eventually("readyz says why", async || {
            let ready = service.ask_admin("/readyz").await;
            assert!(is_clean(&ready.body), "{:?}", ready.body);
            ready.body.contains("FORGED").then_some(())
        })
        .await;
        let state = service.state.to_str().unwrap().to_owned();
        let hidden = "a\u{202e}b\u{200b}";
        let refused = run(&[
            "keys",
            "revoke",
            hidden,
            "--reason",
            hidden,
            "--state-dir",
            &state,
        ]);
        assert!(
            refused.code == Some(1) && is_clean(&refused.stderr),
            "{:?}",
            refused.stderr
        );
        let log = eventually("it is logged", async || {
            let log = service.text();
            (log.contains("audit: revoke") && log.contains("FORGED")).then_some(log)
        })
        .await;
        assert!(is_clean(&log), "{log:?}");
        let entry = fs::read_to_string(&audit).unwrap();
        assert!(is_clean(&entry), "{entry:?}");
        let entry: Value = serde_json::from_str(entry.lines().next().unwrap()).unwrap();
        assert_eq!(entry["reason"], hidden, "it says what was given");
    }
}

#[test]
fn a_store_that_is_none_is_answered_with_every_kind_that_there_is() {
    let help = run(&["keys", "list", "--help"]).stdout;
    for wrong in ["--store=foo://x", "--store=foo", "--store=ftp://a/b"] {
        let told = run(&["keys", "list", wrong]);
        assert_eq!(told.code, Some(64), "{}", told.stderr);
        for kind in ["sqlite:", "file:", "s3://", "gs://", "az://", "kubernetes://"] {
            assert!(told.stderr.contains(kind), "{kind} is not in {}", told.stderr);
            assert!(help.contains(kind), "{kind} is not in {help}");
        }
    }
}

#[test]
fn every_command_refuses_a_log_level_and_a_log_format_that_are_none() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let config = folder.write(
        "config.yaml",
        "issuers: [{issuer: https://a.example, sources: [apiServer: {}]}]\n",
    );
    for arguments in [
        &["serve", "--config", &config][..],
        &["token", "--config", &config],
        &["inspect", &keys],
        &["keys", "list", "--state-dir", "/nowhere"],
        &["keys", "list", "--store", &format!("file://{}", folder.text("x"))],
        &["config", "check", &config],
        &["health", "--admin", "127.0.0.1:1"],
        &["completions", "bash"],
    ] {
        for (variable, flag) in [
            ("OIDC_ISSUER_LOG_LEVEL", "--log-level"),
            ("OIDC_ISSUER_LOG_FORMAT", "--log-format"),
        ] {
            let by_variable = binary().args(arguments).env(variable, "loud").output().unwrap();
            let by_flag = binary().args(arguments).args([flag, "loud"]).output().unwrap();
            for output in [by_variable, by_flag] {
                let told = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    output.status.code(),
                    Some(64),
                    "{arguments:?}, {variable}: {told}"
                );
                assert!(told.contains("`loud`"), "{arguments:?}, {variable}: {told}");
            }
        }
    }
}

#[test]
fn bash_takes_a_quoted_word_for_the_very_bytes_that_it_was() {
    let words: [&[u8]; 9] = [
        b"plain/a.pem",
        b"",
        b"a b",
        b"it's",
        b"$(x) `y` \"z\" \\",
        b"\xff1/\xe2\x80\xaeb",
        b"a\nb\x1b[2J'\\",
        "grüße".as_bytes(),
        b"-x;y",
    ];
    for word in words {
        let quoted = display::shell_word(OsStr::from_bytes(word));
        assert!(!quoted.contains(display::is_hidden), "{quoted:?}");
        let script = format!("printf %s {quoted}");
        let told = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(told.stdout, word, "{quoted}");
    }
}

#[test]
fn names_that_are_not_utf_8_work_and_are_shown_with_their_bytes() {
    let folder = Folder::new();
    let odd = OsStr::from_bytes(b"\xff");
    let state = folder.path("").join(odd);
    for variable in ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"] {
        let output = binary()
            .args(["keys", "list"])
            .env_remove("STATE_DIRECTORY")
            .env_remove("XDG_STATE_HOME")
            .env(variable, &state)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(r"/\xff"), "{variable}: {told}");
    }

    let kubeconfig = state.join("kubeconfig");
    fs::create_dir(&state).unwrap();
    fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\n").unwrap();
    let missing = state.join("missing");
    for arguments in [
        vec![
            OsStr::new("inspect"),
            OsStr::new("--kubeconfig"),
            kubeconfig.as_os_str(),
        ],
        vec![OsStr::new("serve"), OsStr::new("--config"), missing.as_os_str()],
        vec![OsStr::new("config"), OsStr::new("check"), missing.as_os_str()],
        vec![OsStr::new("keys"), OsStr::new("import"), missing.as_os_str()],
        vec![OsStr::new("health"), OsStr::new("--config"), missing.as_os_str()],
    ] {
        let output = run(&arguments);
        let told = output.stdout + &output.stderr;
        assert!(
            told.contains(r"\xff/") && !told.contains('\u{fffd}'),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn every_command_warns_of_a_variable_that_means_nothing_and_names_the_nearest() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let config = folder.write("config.yaml", "issuers: [{isuer: 1}]\n");
    for arguments in [
        &["serve", "--config", &config][..],
        &["token", "--config", &config],
        &["inspect", &keys],
        &["keys", "list", "--state-dir", "/nowhere"],
        &["config", "check", &config],
        &["health", "--admin", "127.0.0.1:1"],
        &["completions", "bash"],
    ] {
        for (name, meant) in [
            ("OIDC_ISSUER_LISTENN", "OIDC_ISSUER_LISTEN"),
            ("OIDC_ISSUER_log_level", "OIDC_ISSUER_LOG_LEVEL"),
            ("OIDC_ISUER_STATE_DIR", "OIDC_ISSUER_STATE_DIR"),
        ] {
            let output = binary()
                .args(arguments)
                .env(name, "x")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            let once = told.matches(name).count() == 1;
            assert!(
                once && told.contains(&format!("did you mean {meant}?")),
                "{arguments:?}: {told}"
            );
        }
    }
}

/// It would count as not set: the configuration that it names as if there were none.
#[test]
fn every_command_refuses_a_variable_whose_value_is_not_utf_8() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    for arguments in [
        &["serve"][..],
        &["token"],
        &["inspect", &keys],
        &["keys", "list"],
        &["config", "check"],
        &["health"],
    ] {
        for name in [
            "OIDC_ISSUER_CONFIG",
            "OIDC_ISSUER_STATE_DIR",
            "OIDC_ISSUER_LOG_LEVEL",
        ] {
            let output = binary()
                .args(arguments)
                .env(name, OsStr::from_bytes(b"/a\xff"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{arguments:?}: {told}");
            assert!(
                told.contains(&format!("{name}: its value is not UTF-8")),
                "{told}"
            );
        }
    }
}

#[test]
fn every_command_refuses_a_log_level_that_is_none() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    for arguments in [
        &["serve"][..],
        &["token"],
        &["inspect", &keys],
        &["keys", "list"],
        &["config", "check"],
        &["health"],
    ] {
        let state = folder.path("state");
        let output = binary()
            .env("OIDC_ISSUER_STATE_DIR", state)
            .args(["--log-level", "loud"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains("--log-level: `loud` is no level"), "{told}");
    }
}

#[path = "../../../build/commit.rs"]
mod commit;

/// A git that knows who commits, and nothing of this machine's settings.
fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_commit_of_a_build_is_that_of_its_checkout_in_each_of_its_forms() {
    let folder = Folder::new();
    let top = folder.path("top");
    fs::create_dir_all(top.join("vendored")).unwrap();
    assert_eq!(commit::commit(&top), None, "no checkout");
    git(&top, &["init"]);
    assert_eq!(commit::commit(&top), None, "no commit yet");
    fs::write(top.join("file"), "a").unwrap();
    git(&top, &["add", "file"]);
    git(&top, &["commit", "-m", "a"]);
    let first = commit::commit(&top).unwrap();
    assert!(
        first.len() >= 40 && first.chars().all(|c| c.is_ascii_hexdigit()),
        "{first}"
    );
    assert_eq!(
        commit::commit(&top.join("vendored")),
        None,
        "that of another project"
    );
    fs::write(top.join("beside"), "").unwrap();
    assert_eq!(
        commit::commit(&top).as_ref(),
        Some(&first),
        "a file that git does not know"
    );

    fs::write(top.join("file"), "b").unwrap();
    assert_eq!(commit::commit(&top), Some(format!("{first}-dirty")));
    git(&top, &["commit", "-a", "-m", "b"]);
    let second = commit::commit(&top).unwrap();
    assert_ne!(second, first);
    git(&top, &["pack-refs", "--all"]);
    assert_eq!(commit::commit(&top).as_ref(), Some(&second), "packed references");
    git(&top, &["checkout", "--detach", "HEAD~1"]);
    assert_eq!(commit::commit(&top).as_ref(), Some(&first), "a detached HEAD");
    git(&top, &["worktree", "add", "../tree", "main"]);
    let tree = folder.path("tree");
    assert_eq!(commit::commit(&tree).as_ref(), Some(&second), "a work tree");
    for folder in [&top, &tree] {
        let witnesses = commit::witnesses(folder);
        assert!(
            witnesses.len() >= 2 && witnesses.iter().all(|path| path.exists()),
            "{witnesses:?}"
        );
    }
}

#[tokio::test]
async fn the_version_and_the_metrics_name_the_commit() {
    let Some(commit) = commit::commit(Path::new(env!("CARGO_MANIFEST_DIR"))) else {
        return;
    };
    let commit = commit.trim_end_matches("-dirty");
    let version = run(&["--version"]).stdout;
    assert!(
        version.contains(&format!("(commit {commit}")),
        "{commit} is not in {version}"
    );
    let served = Served::with(&[]).await;
    let metrics = served.service.ask_admin("/metrics").await.body;
    assert!(metrics.contains(&format!("commit=\"{commit}")));
}
