//! What the other commands answer.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Folder, Served, key, kid};
use crate::real::pki::Pki;
use crate::real::program::free_port;
use crate::real::service::run;

#[tokio::test]
async fn health_tells_whether_the_service_lives_and_is_ready() {
    let mut served = Served::with(&[]).await;
    let admin = served.service.admin("");
    let admin = admin.trim_start_matches("http://");
    for arguments in [
        &["health", "--admin", admin][..],
        &["health", "--ready", "--admin", admin],
    ] {
        let output = run(arguments);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    served.service.program().signal("TERM");
    served.service.program().ended().await;
    let output = run(&["health", "--admin", admin]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("does not answer"), "{}", output.stderr);
}

#[test]
fn health_takes_the_admin_address_from_the_configuration() {
    let folder = Folder::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let file = folder.write(
        "config.yaml",
        &format!("issuers: [{{issuer: https://a.example, sources: [apiServer: {{}}]}}]\nadmin: {{address: \"{admin}\"}}\n"),
    );
    let output = run(&["health", "--config", &file]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(&admin), "{}", output.stderr);
}

#[test]
fn inspect_shows_what_would_be_published_and_what_held_back() {
    let folder = Folder::new();
    let good = folder.write("good.pem", &key(0));
    let bad = folder.write(
        "bad.pem",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    let output = run(&["inspect", "--output", "json", &good, &bad]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown["keys"][0]["kid"], json!(kid(0)));
    assert_eq!(shown["keys"][0]["alg"], "RS256");
    assert_eq!(shown["keys"][0]["bits"], 2048);
    assert_eq!(shown["keys"][0]["from"], json!([good]));
    assert_eq!(shown["keys"][0]["jwk"]["use"], "sig");
    assert!(
        shown["quarantined"][0]["entry"]
            .as_str()
            .unwrap()
            .contains("bad.pem")
    );
    assert!(shown["quarantined"][0]["label"].is_string());

    let output = run(&["inspect", &good, &bad]);
    assert!(output.stdout.contains(&kid(0)) && output.stdout.contains("1 key would be published"));
    assert!(output.stdout.contains("Held back:"), "{}", output.stdout);
}

#[test]
fn inspect_looks_at_no_more_than_serve_does_and_says_so() {
    let folder = Folder::new();
    let keys: Vec<_> = (0..250)
        .map(|_| rcgen::KeyPair::generate().unwrap().public_key_pem())
        .collect();
    let output = run(&["inspect", &folder.write("many.pem", &keys.concat())]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let told = "further entries: 50 entries more than the 200 that are looked at in one reading";
    assert!(output.stdout.contains(told), "{}", output.stdout);
    // More than a thousand entries are no reason to read nothing of a document.
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/kid.json")).unwrap();
    let mut entries = vec![json!({}); 1500];
    entries[1200] = vectors["vectors"][0]["jwk"].clone();
    let document = json!({ "keys": entries }).to_string();
    let output = run(&["inspect", &folder.write("many.json", &document)]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("1 key would be published"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("1299 entries more than the 200"),
        "{}",
        output.stdout
    );
}

#[test]
fn inspect_tells_on_standard_error_what_it_could_not_read_whatever_else_it_found() {
    let folder = Folder::new();
    let good = folder.write("good.pem", &key(0));
    let (missing, glob) = (folder.text("missing.pem"), folder.text("none/*.pem"));
    for output in ["table", "json"] {
        let told = run(&["inspect", "--output", output, &good, &missing, &glob]);
        assert_eq!(told.code, Some(0), "a key would be published: {}", told.stderr);
        for what in [
            format!("warning: not read: {missing}: "),
            format!("warning: not read: {glob}: no file matches"),
        ] {
            assert!(told.stderr.contains(&what), "{what} is not in {}", told.stderr);
        }
        let told = run(&["inspect", "--output", output, &good]);
        assert_eq!((told.code, &*told.stderr), (Some(0), ""));
    }
}

#[test]
fn inspect_ends_with_1_where_nothing_would_be_published() {
    let folder = Folder::new();
    for (name, content) in [("bad.pem", "hello"), ("empty.json", r#"{"keys":[]}"#)] {
        let output = run(&["inspect", &folder.write(name, content)]);
        assert_eq!(output.code, Some(1), "{}", output.stdout);
        assert!(
            output.stdout.starts_with("No key would be published."),
            "{}",
            output.stdout
        );
    }
    assert_eq!(run(&["inspect", &folder.text("nowhere.pem")]).code, Some(1));
}

#[test]
fn inspect_warns_of_a_token_that_verifiers_would_refuse() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    // {"alg":"RS256","kid":"another"} . {"iss":"https://a.example/","iat":1,"exp":172801}
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImFub3RoZXIifQ.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZS8iLCJpYXQiOjEsImV4cCI6MTcyODAxfQ.AAAA";
    let token = folder.write("token", token);
    let output = run(&[
        "inspect",
        &keys,
        "--token",
        &token,
        "--issuer",
        "https://a.example",
    ]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    for warning in [
        "differs from https://a.example by a slash",
        "its key another is not published",
        "it expired at 1970-01-03T00:00:01Z",
        "it lives 48h, longer than tokenLifetime 24h",
    ] {
        assert!(
            output.stdout.contains(warning),
            "{warning} is not in {}",
            output.stdout
        );
    }
    let output = run(&["inspect", &keys, "--token", &keys]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("not a token"), "{}", output.stderr);
}

/// A token that a key in the folder signs.
fn signed(folder: &Folder, key: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    folder.write("message", &message);
    let signed = std::process::Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-sign",
            &folder.text(key),
            &folder.text("message"),
        ])
        .output()
        .unwrap();
    assert!(signed.status.success());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed.stdout))
}

#[test]
fn inspect_ends_with_1_for_every_token_that_a_verifier_would_refuse_and_with_0_for_a_good_one() {
    let folder = Folder::new();
    for name in ["a.pem", "b.pem"] {
        let made = std::process::Command::new("openssl")
            .args(["genrsa", "-out", &folder.text(name), "2048"])
            .output()
            .unwrap();
        assert!(made.status.success());
    }
    let keys = folder.text("a.pem");
    let shown: Value = serde_json::from_str(&run(&["inspect", &keys, "--output", "json"]).stdout).unwrap();
    let kid = shown["keys"][0]["kid"].clone();
    let now = oidc_issuer::clock::Clock::system().now().as_second();
    let header = json!({"alg": "RS256", "kid": kid});
    let claims =
        json!({"iss": "https://a.example", "sub": "s", "aud": ["x"], "iat": now - 60, "exp": now + 3600});
    let with = |of: &Value, name: &str, value: Value| {
        let mut of = of.clone();
        of[name] = value;
        of
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let judged = |name: &str, token: &str| {
        let token = folder.write("token", token);
        let output = run(&[
            "inspect",
            &keys,
            "--issuer",
            "https://a.example",
            "--token",
            &token,
        ]);
        (name.to_owned(), output.code, output.stdout + &output.stderr)
    };
    let good = judged("good", &signed(&folder, "a.pem", &header, &claims));
    assert_eq!(good.1, Some(0), "{}", good.2);
    let a =
        |name: &str, header: &Value, claims: &Value| judged(name, &signed(&folder, "a.pem", header, claims));
    let unsigned = {
        let signed = signed(&folder, "a.pem", &with(&header, "alg", json!("none")), &claims);
        format!("{}.", signed.rsplit_once('.').unwrap().0)
    };
    for (name, code, said) in [
        judged("a foreign signature", &signed(&folder, "b.pem", &header, &claims)),
        a(
            "another issuer",
            &header,
            &with(&claims, "iss", json!("https://b.example")),
        ),
        a("no issuer", &header, &without("iss")),
        a("expired", &header, &with(&claims, "exp", json!(now - 1))),
        a(
            "expired by a fraction",
            &header,
            &with(&claims, "exp", json!(1.5)),
        ),
        a("no expiry", &header, &without("exp")),
        a(
            "an expiry in words",
            &header,
            &with(&claims, "exp", json!("soon")),
        ),
        a("no audience", &header, &without("aud")),
        a("not valid yet", &header, &with(&claims, "nbf", json!(now + 600))),
        a(
            "issued in the future",
            &header,
            &with(&claims, "iat", json!(now + 600)),
        ),
        a(
            "a key that is not published",
            &with(&header, "kid", json!("other")),
            &claims,
        ),
        a("no kid", &json!({"alg": "RS256"}), &claims),
        a(
            "another algorithm",
            &with(&header, "alg", json!("RS512")),
            &claims,
        ),
        a("critical members", &with(&header, "crit", json!(["x"])), &claims),
        judged("not signed", &unsigned),
        judged("two parts", "a.b"),
        judged("no base64", "?.?.?"),
        judged("empty", ""),
    ] {
        assert_eq!(code, Some(1), "{name}: {said}");
    }
}

#[test]
fn token_refuses_any_source_but_the_embedded_key() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let output = run(&["token", "--issuer", "https://a.example", "--keys", &keys]);
    assert_eq!(output.code, Some(64));
    assert!(
        output.stderr.contains("kubectl create token"),
        "{}",
        output.stderr
    );
    let output = run(&["token", "--state-dir", &folder.text("nowhere")]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("oidc-issuer serve"), "{}", output.stderr);
}

#[test]
fn config_check_tells_what_would_be_served_or_every_problem() {
    let folder = Folder::new();
    let file = folder.write(
        "config.yaml",
        "issuers: [{issuer: https://a.example, sources: [files: {paths: [a.pem]}]}]\n",
    );
    let output = run(&["config", "check", &file]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("JWKS at https://a.example/jwks"),
        "{}",
        output.stdout
    );
    for told in [
        "a key is absent at the first read without it; a listing without any published key is believed at once",
        "new keys are published as they are listed",
        "a key that has left stays for 49h",
        "every cache has a new key 26h10s after it was published",
    ] {
        assert!(output.stdout.contains(told), "{told:?} in {}", output.stdout);
    }
    let file = folder.write(
        "config.yaml",
        "issuers:\n- {issuer: https://a.example, sources: [apiServer: {}], confirmation: 10m, newKeys: approve}\n\
         - {issuer: https://b.example, sources: [apiServer: {}], confirmation: manual}\nstore: {memory: {}}\n",
    );
    let output = run(&["config", "check", &file]);
    let warned = "warning: https://b.example waits for operators";
    assert!(output.stderr.contains(warned), "{}", output.stderr);
    for told in [
        "absent after 10m without it; a listing without any published key is believed after 10m",
        "new keys wait until an operator approves them",
        "absent after 3 reads in a row without it; a listing without any published key is believed when an operator",
    ] {
        assert!(output.stdout.contains(told), "{told:?} in {}", output.stdout);
    }
    let file = folder.write("config.yaml", "issuers: []\n");
    for arguments in [
        &["config", "check", &file][..],
        &["config", "check", "--config", &file],
    ] {
        let output = run(arguments);
        assert_eq!(output.code, Some(64));
        assert!(
            output.stderr.contains("line 1: issuers: is empty"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn usage_errors_end_with_64_and_help_and_version_with_0() {
    assert_eq!(run(&["serve", "--no-such-flag"]).code, Some(64));
    assert_eq!(run(&["serve", "--keys", "a", "--kubeconfig", "b"]).code, Some(64));
    assert_eq!(run(&[] as &[&str]).code, Some(64));
    assert_eq!(run(&["--help"]).code, Some(0));
    let version = run(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert!(
        version
            .stdout
            .starts_with(concat!("oidc-issuer ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.code, Some(0));
        assert!(output.stdout.contains("tls-cert"), "{shell}");
    }
}

#[test]
fn config_check_judges_the_certificate_files_as_a_start_would() {
    let folder = Folder::new();
    let one = Pki::create(&folder.path("one"), &["localhost"]);
    let two = Pki::create(&folder.path("two"), &["localhost"]);
    let check = |cert: &Path, key: &Path| {
        let file = folder.write(
            "config.yaml",
            &format!(
                "issuers: [{{issuer: https://a.example, sources: [files: {{paths: [a.pem]}}]}}]\nlisteners: \
                 [{{address: \":1\", tls: {{certFile: {}, keyFile: {}}}}}]\n",
                cert.display(),
                key.display()
            ),
        );
        run(&["config", "check", &file])
    };
    assert_eq!(check(&one.cert, &one.key).code, Some(0));
    let elsewhere = check(&folder.path("nowhere"), &one.key);
    assert_eq!(
        elsewhere.code,
        Some(0),
        "a pipeline checks what another machine serves"
    );
    assert!(
        elsewhere.stderr.contains("is not on this machine"),
        "{}",
        elsewhere.stderr
    );
    let output = check(&one.cert, &two.key);
    assert_eq!(output.code, Some(64));
    assert!(output.stderr.contains("does not match"), "{}", output.stderr);
}

#[test]
fn config_check_reads_every_file_that_serve_reads_and_names_each_field_at_once() {
    let folder = Folder::new();
    let pki = Pki::create(&folder.path("pki"), &["localhost"]);
    for (name, content) in [
        ("garbage.pem", "no certificate"),
        ("empty.token", ""),
        ("not.yaml", "apiVersion: v2\nkind: Other\n"),
        ("credentials", "SOMETHING_ELSE=1\n"),
        ("cert-only.pub", "no key"),
        (
            "kubeconfig",
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
             clusters: [{name: a, cluster: {server: https://a.example, certificate-authority: garbage.pem}}]\n\
             users: [{name: a, user: {client-certificate: nowhere.crt, client-key: nowhere.key}}]\n",
        ),
        (
            "data.kubeconfig",
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a}}]\n\
             clusters: [{name: a, cluster: {server: https://a.example, certificate-authority-data: Z2FyYmFnZQ==}}]\n",
        ),
    ] {
        folder.write(name, content);
    }
    let file = folder.write(
        "config.yaml",
        &format!(
            "issuers:\n\
             - issuer: https://a.example.com\n  sources:\n  - apiServer: {{kubeconfig: not.yaml}}\n\
             \x20 - apiServer: {{kubeconfig: kubeconfig}}\n  - apiServer: {{kubeconfig: data.kubeconfig}}\n\
             \x20 - apiServer: {{server: 'https://b.example', caFile: garbage.pem, tokenFile: empty.token}}\n\
             \x20 - jwks: {{url: 'https://c.example/jwks', caFile: nowhere.pem, tokenFile: empty.token}}\n\
             \x20 - files: {{paths: [cert-only.pub]}}\n\
             listeners:\n- {{address: ':1', tls: {{certFile: garbage.pem, keyFile: {cert}}}}}\n\
             - {{address: ':2', tls: {{certFile: {cert}, keyFile: nowhere.key}}}}\n\
             control: {{address: ':3', tls: {{certFile: {cert}, keyFile: {key}}}, clientCaFile: garbage.pem}}\n\
             audit: {{file: nowhere/audit}}\n\
             store: {{objectStorage: {{url: 's3://bucket', caFile: garbage.pem, credentialsFile: credentials}}}}\n",
            cert = pki.cert.display(),
            key = pki.key.display(),
        ),
    );
    let checked = run(&["config", "check", &file]);
    assert_eq!(checked.code, Some(64), "{}", checked.stderr);
    for problem in [
        "  - listeners[0].tls.certFile: ",
        "  - listeners[0].tls.keyFile: ",
        "  - control.clientCaFile: ",
        "warning: listeners[1].tls.keyFile: ",
        "warning: issuers[0].sources[0].apiServer.kubeconfig: kubeconfig",
        "warning: issuers[0].sources[1].apiServer.kubeconfig: certificate-authority",
        "warning: issuers[0].sources[1].apiServer.kubeconfig: client-certificate",
        "certificate-authority-data: ",
        "warning: issuers[0].sources[1].apiServer.kubeconfig: client-key",
        "warning: issuers[0].sources[3].apiServer.caFile, store.objectStorage.caFile: ",
        "warning: issuers[0].sources[3].apiServer.tokenFile, issuers[0].sources[4].jwks.tokenFile: ",
        "warning: issuers[0].sources[4].jwks.caFile: ",
        "warning: issuers[0].sources[5].files.paths: ",
        "warning: store.objectStorage.credentialsFile: ",
        "warning: audit.file: ",
    ] {
        assert!(
            checked.stderr.contains(problem),
            "{problem:?} in {}",
            checked.stderr
        );
    }
    let served = run(&["serve", "--config", &file, "--state-dir", &folder.text("state")]);
    assert_eq!(served.code, Some(64), "{}", served.stderr);
    for problem in checked.stderr.lines().filter(|line| line.starts_with("  - ")) {
        assert!(
            served.stderr.contains(problem),
            "{problem:?} in {}",
            served.stderr
        );
    }
    assert!(
        served.stderr.contains("  - listeners[1].tls.keyFile: "),
        "here the file has to be: {}",
        served.stderr
    );
}

#[test]
fn a_file_that_a_flag_names_is_told_by_the_flag() {
    let folder = Folder::new();
    let nowhere = folder.text("nowhere.pem");
    let keys = folder.write("sa.pub", "no key");
    let garbage = folder.write("garbage.pem", "no certificate");
    let arguments = [
        "--issuer",
        "https://a.example.com",
        "--keys",
        &keys,
        "--tls-cert",
        &garbage,
        "--tls-key",
        &nowhere,
    ];
    let checked = run(&[&["config", "check"][..], &arguments].concat());
    assert_eq!(checked.code, Some(64), "{}", checked.stderr);
    for told in ["  - --tls-cert: ", "warning: --tls-key: ", "warning: --keys: "] {
        assert!(checked.stderr.contains(told), "{told:?} in {}", checked.stderr);
    }
}
