//! Flags and variables laid over a file.

use super::*;
use crate::client::ApiServerSettings;

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let environment = |name: &str| match name {
        "OIDC_ISSUER_ADMIN" => Some(":1".to_owned()),
        "OIDC_ISSUER_STATE_DIR" => Some("/env".to_owned()),
        "OIDC_ISSUER_LOG_LEVEL" => Some(String::new()),
        _ => None,
    };
    let overlay = flags(|flags| flags.admin = Some(said("--admin", ":2")));
    let overlay = overlay.over(Overlay::from_env(environment));
    let yaml = format!("{MINIMAL}admin: {{address: \":3\"}}\nlogging: {{level: debug}}\n");
    let settings = read_with(&yaml, &overlay).unwrap();
    assert_eq!(settings.admin.port(), 2);
    assert_eq!(settings.state_dir, Path::new("/env"));
    assert_eq!(settings.logging.level, "debug", "an empty variable is none");
}

#[test]
fn a_problem_of_a_flag_or_a_variable_names_it() {
    let overlay = flags(|flags| {
        flags.issuer = Some(said("--issuer", "x"));
        flags.admin = Some(said("OIDC_ISSUER_ADMIN", "y"));
        flags.keys = vec![said("--keys", "a[")];
    });
    let problems = read(None, empty(), Path::new(""), &overlay, Path::new("/state")).unwrap_err();
    let mut places: Vec<_> = problems
        .list
        .iter()
        .map(|problem| problem.place.as_str())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["--issuer", "--keys", "OIDC_ISSUER_ADMIN"]);
}

/// Reads what flags alone say.
fn by_flags(set: impl FnOnce(&mut Overlay)) -> Result<Settings, Problems> {
    read(None, empty(), Path::new(""), &flags(set), Path::new("/state"))
}

#[test]
fn a_source_without_an_issuer_is_one_problem() {
    let problems = by_flags(|flags| flags.keys = vec![said("--keys", "/keys")]).unwrap_err();
    let told: Vec<_> = problems
        .list
        .iter()
        .map(|problem| format!("{}: {}", problem.place, problem.message))
        .collect();
    assert_eq!(
        told,
        ["--issuer: is missing: name the issuer, exactly as in the `iss` of the cluster's tokens"]
    );
}

#[test]
fn an_issuer_without_a_source_means_the_pods_cluster_in_a_pod_and_is_refused_elsewhere() {
    let in_pod = |in_pod| {
        by_flags(|flags| {
            flags.issuer = Some(said("--issuer", "https://a.example"));
            flags.source_claims = vec![said("--source-claims", "https://old.example")];
            flags.in_pod = in_pod;
        })
    };
    let settings = in_pod(true).unwrap();
    let source = &settings.issuers[0].sources[0];
    assert_eq!(
        source.settings,
        SourceSettings::ApiServer(ApiServerSettings::default())
    );
    assert_eq!(source.claims, ["https://old.example"]);
    let problems = in_pod(false).unwrap_err().to_string();
    for choice in ["--keys", "--kubeconfig", "--from-jwks", "--config"] {
        assert!(problems.contains(choice), "{problems}");
    }
}

#[test]
fn from_jwks_is_a_url_or_a_file_by_its_exact_name() {
    let from = |value: &str| {
        let settings = by_flags(|flags| {
            flags.issuer = Some(said("--issuer", "https://a.example"));
            flags.from_jwks = Some(said("--from-jwks", value));
        });
        settings.unwrap().issuers[0].sources[0].settings.clone()
    };
    assert!(matches!(from("https://b.example/jwks"), SourceSettings::Jwks(_)));
    let SourceSettings::Files(files) = from("/a/jwks[1].json") else {
        panic!("no files");
    };
    assert!(
        glob::Pattern::new(&files.paths[0])
            .unwrap()
            .matches("/a/jwks[1].json")
    );
}

#[test]
fn only_the_listeners_that_flags_name_are_opened() {
    let settings = by_flags(|flags| {
        flags.issuer = Some(said("--issuer", "https://a.example"));
        flags.keys = vec![said("--keys", "a")];
        flags.listen_http = vec![said("--listen-http", ":80")];
    })
    .unwrap();
    assert_eq!(settings.listeners.len(), 1);
    assert!(settings.listeners[0].tls.is_none());
    assert!(settings.keeps_state(), "the ledgers");

    let yaml = format!(
        "{MINIMAL}listeners: [{{address: \":1\", tls: {{certFile: a, keyFile: b}}}}, {{address: \":2\"}}]\n"
    );
    let overlay = flags(|flags| flags.listen = vec![said("--listen", ":3")]);
    let settings = read_with(&yaml, &overlay).unwrap();
    assert_eq!(settings.listeners.len(), 1);
    let Some(TlsSettings::Files { cert, .. }) = &settings.listeners[0].tls else {
        panic!("the certificate of the file was lost");
    };
    assert_eq!(cert, Path::new("/etc/oidc-issuer/a"));
}

#[test]
fn a_certificate_by_flags_is_that_of_every_https_listener() {
    let yaml = format!(
        "{MINIMAL}listeners: [{{address: \":1\", tls: {{selfSigned: {{}}}}}}, {{address: \":2\"}}]\n"
    );
    let cert = |flags: &mut Overlay| {
        flags.tls_cert = Some(said("--tls-cert", "c"));
        flags.tls_key = Some(said("--tls-key", "k"));
    };
    let settings = read_with(&yaml, &flags(cert)).unwrap();
    assert!(matches!(
        settings.listeners[0].tls,
        Some(TlsSettings::Files { .. })
    ));
    assert!(settings.listeners[1].tls.is_none());
    let settings = read_with(MINIMAL, &flags(cert)).unwrap();
    assert_eq!(settings.listeners[0].address.to_string(), "[::]:8443");
    assert!(matches!(
        settings.listeners[0].tls,
        Some(TlsSettings::Files { .. })
    ));
    let half = flags(|flags| flags.tls_cert = Some(said("--tls-cert", "c")));
    let problems = read_with(MINIMAL, &half).unwrap_err().to_string();
    assert!(
        problems.contains("--tls-cert: needs the private key too"),
        "{problems}"
    );
}

#[test]
fn a_flag_for_one_issuer_beside_a_file_with_several_is_refused() {
    let yaml = "issuers:\n- {issuer: https://a.example, sources: [apiServer: {}]}\n- {issuer: https://b.example, sources: [apiServer: {}]}\n";
    let overlay = flags(|flags| flags.issuer = Some(said("--issuer", "https://c.example")));
    let problems = read_with(yaml, &overlay).unwrap_err().to_string();
    assert!(
        problems.contains("--issuer: says something of one issuer, but the file has 2"),
        "{problems}"
    );
}

#[test]
fn a_source_by_flags_replaces_that_of_variables() {
    let environment = |name: &str| match name {
        "OIDC_ISSUER_KUBECONFIG" => Some("k".to_owned()),
        "OIDC_ISSUER_CONTEXT" => Some("c".to_owned()),
        _ => None,
    };
    let overlay = flags(|flags| flags.keys = vec![said("--keys", "a")]).over(Overlay::from_env(environment));
    assert_eq!((overlay.kubeconfig, overlay.context), (None, None));
    assert_eq!(overlay.keys.len(), 1);
}

#[test]
fn the_embedded_default_is_for_this_machine_alone() {
    let settings = by_flags(|flags| flags.embedded = true).unwrap();
    assert_eq!(
        settings.issuers[0].profile.issuer.as_str(),
        "https://localhost:8443"
    );
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8443");
    assert!(settings.keeps_state());
    let settings = by_flags(|flags| {
        flags.embedded = true;
        flags.listen = vec![said("--listen", "127.0.0.1:9443")];
    })
    .unwrap();
    assert_eq!(
        settings.issuers[0].profile.issuer.as_str(),
        "https://localhost:9443"
    );
}

#[test]
fn a_variable_that_looks_like_ours_and_is_none_is_told() {
    let told = unknown_variable("OIDC_ISSUER_LISTENN").unwrap();
    assert!(told.ends_with("did you mean OIDC_ISSUER_LISTEN?"), "{told}");
    assert!(unknown_variable("OIDC_ISSUER_FOO").is_some());
    for fine in [
        "OIDC_ISSUER_LISTEN",
        "OIDC_ISSUER_CONFIG",
        "OIDC_ISSUER_PORT",
        "OIDC_ISSUER_PORT_443_TCP_ADDR",
        "OIDC_ISSUER_SERVICE_HOST",
        "OIDC_ISSUER_ADMIN_SERVICE_PORT_METRICS",
        "PATH",
    ] {
        assert_eq!(unknown_variable(fine), None);
    }
}
