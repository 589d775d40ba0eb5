mod documentation;
mod overlay;
mod reads;
mod rotation;
mod store;

use std::path::Path;

use jiff::SignedDuration;

use super::*;
use crate::edge::TlsSettings;
use crate::ring::{Confirmation, NewKeys};
use crate::source::SourceSettings;

/// Reads a configuration as from /etc/oidc-issuer/config.yaml, with the state folder /state.
fn read_with(yaml: &str, overlay: &Overlay) -> Result<Settings, Problems> {
    let tree = tree::parse(yaml.as_bytes()).unwrap();
    read(
        Some("config.yaml"),
        tree,
        Path::new("/etc/oidc-issuer"),
        overlay,
        Path::new("/state"),
    )
}

fn taken(yaml: &str) -> Settings {
    read_with(yaml, &Overlay::default()).unwrap()
}

/// The problems as `path: message`.
fn refused(yaml: &str) -> Vec<String> {
    let problems = read_with(yaml, &Overlay::default()).unwrap_err();
    problems
        .list
        .iter()
        .map(|problem| format!("{}: {}", problem.place, problem.message))
        .collect()
}

#[track_caller]
fn assert_refused(yaml: &str, path: &str, told: &str) {
    let problems = refused(yaml);
    let found = problems
        .iter()
        .any(|problem| problem.starts_with(&format!("{path}: ")) && problem.contains(told));
    assert!(found, "no {path:?} with {told:?} in {problems:#?}");
}

fn issuer_with(fields: &str) -> String {
    format!("issuers:\n- issuer: https://a.example\n  sources: [files: {{paths: [a.pem]}}]\n{fields}\n")
}

fn flags(set: impl FnOnce(&mut Overlay)) -> Overlay {
    let mut overlay = Overlay::default();
    set(&mut overlay);
    overlay
}

fn said(by: &str, value: &str) -> Said {
    Said {
        by: by.to_owned(),
        value: value.to_owned(),
    }
}

const MINIMAL: &str = "issuers:\n- issuer: https://a.example\n  sources:\n  - files: {paths: [keys/*.pem]}\n";

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let settings = taken(MINIMAL);
    let issuer = &settings.issuers[0];
    assert_eq!(issuer.profile.jwks_uri.as_str(), "https://a.example/jwks");
    assert_eq!(
        issuer.profile.jwks_content_type.as_str(),
        "application/jwk-set+json"
    );
    assert!(issuer.required);
    assert_eq!(issuer.refresh, SignedDuration::from_secs(10));
    assert_eq!(issuer.token_lifetime, SignedDuration::from_hours(24));
    assert_eq!(issuer.rules.retention, SignedDuration::from_hours(49));
    assert_eq!(
        issuer.rules.propagation,
        SignedDuration::from_secs(25 * 3600 + 10 + 3600),
        "discovery is cached for 1h + 24h; refresh; a margin"
    );
    assert_eq!(issuer.rules.new_keys, NewKeys::Publish);
    assert_eq!(issuer.sources[0].confirmation, Confirmation::Reads(1));
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].address.to_string(), "[::]:8443");
    assert!(settings.listeners[0].hsts);
    assert_eq!(settings.admin.to_string(), "127.0.0.1:9180");
    assert_eq!(settings.state_dir, Path::new("/state"));
    assert_eq!(settings.logging.level, "info");
    assert_eq!(settings.limits, Limits::default());
}

#[test]
fn paths_in_a_file_start_at_its_folder_and_flags_where_the_shell_is() {
    let settings = taken(MINIMAL);
    let SourceSettings::Files(files) = &settings.issuers[0].sources[0].settings else {
        panic!("no files");
    };
    assert_eq!(files.paths, ["/etc/oidc-issuer/keys/*.pem"]);
    let overlay = flags(|flags| flags.keys = vec![said("--keys", "b.pem")]);
    let settings = read_with(MINIMAL, &overlay).unwrap();
    let SourceSettings::Files(files) = &settings.issuers[0].sources[0].settings else {
        panic!("no files");
    };
    assert_eq!(files.paths, ["b.pem"]);
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
    let yaml = "issuers:\n- issuer: ftp://a.example\n  jwks_uri: x\n  refresh: 5\nadmin: {adress: x}\n";
    let problems = read_with(yaml, &Overlay::default()).unwrap_err();
    let places: Vec<_> = problems
        .list
        .iter()
        .map(|problem| (problem.line, problem.place.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            (Some(2), "issuers[0]"),
            (Some(2), "issuers[0].issuer"),
            (Some(3), "issuers[0].jwks_uri"),
            (Some(4), "issuers[0].refresh"),
            (Some(5), "admin.adress"),
        ]
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn a_configuration_without_issuers_is_an_error() {
    for yaml in ["admin:\n", "issuers:\n", "issuers: []\n"] {
        let problems = refused(yaml);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("a configuration without an issuer serves nothing"),
            "{problems:?}"
        );
    }
    assert_refused("- a\n", "", "is a list, but should be a mapping");
    assert_refused("issuers: {}\n", "issuers", "should be a list");
    assert_refused("issuers: [x]\n", "issuers[0]", "is text, but should be a mapping");
}

#[test]
fn a_field_given_twice_is_told() {
    assert_refused(
        &format!("{MINIMAL}admin: {{}}\nadmin: {{}}\n"),
        "admin",
        "given twice",
    );
}

#[test]
fn each_endpoint_is_asked_in_the_cluster_and_elsewhere_where_it_is_said() {
    for (fields, expected) in [
        ("", true),
        ("endpoints: false", false),
        ("server: https://a.example", false),
        ("server: https://a.example, endpoints: true", true),
        ("kubeconfig: /k", false),
        ("kubeconfig: /k, endpoints: true", true),
    ] {
        let yaml =
            format!("issuers:\n- issuer: https://a.example\n  sources:\n  - apiServer: {{{fields}}}\n");
        let SourceSettings::ApiServer(settings) = &taken(&yaml).issuers[0].sources[0].settings else {
            panic!("{fields}");
        };
        assert_eq!(settings.asks_endpoints(), expected, "{fields}");
    }
}

#[test]
fn a_source_is_of_one_kind() {
    let source = |source: &str| format!("issuers:\n- issuer: https://a.example\n  sources:\n  - {source}\n");
    let path = "issuers[0].sources[0]";
    assert_refused(
        &source("{files: {paths: [a]}, jwks: {url: https://b}}"),
        path,
        "files and jwks at once",
    );
    assert_refused(&source("{}"), path, "names no source");
    assert_refused(&source("embedded"), path, "write `- embedded: {}`");
    assert_refused(&source("files: {}"), &format!("{path}.files"), "has no `paths`");
    assert_refused(
        &source("jwks: {url: http://b.example/}"),
        &format!("{path}.jwks.url"),
        "is not https",
    );
    assert_refused(
        &source("jwks: {url: \"https://u:p@b.example/\"}"),
        &format!("{path}.jwks.url"),
        "tokenFile",
    );
    assert_refused(
        &source("apiServer: {context: prod}"),
        &format!("{path}.apiServer.context"),
        "only beside `kubeconfig`",
    );
    assert_refused(
        &source("files: {paths: [\"a[\"]}"),
        &format!("{path}.files.paths[0]"),
        "is no glob",
    );
    assert_refused(
        &source("files: {paths: [a]}\n    claims: [\"\"]"),
        &format!("{path}.claims[0]"),
        "is empty",
    );
    taken(&source("jwks: {url: \"http://127.0.0.1:1/jwks\"}"));
}

#[test]
fn issuers_that_would_share_a_path_are_refused() {
    let yaml = "issuers:\n- {issuer: https://a.example/x, sources: [apiServer: {}]}\n- {issuer: https://a.example/x/, sources: [apiServer: {}]}\n";
    assert_refused(yaml, "issuers[1]", "collide");
}

#[test]
fn members_of_discovery_that_the_service_writes_are_refused() {
    assert_refused(
        &issuer_with("  discovery: {jwks_uri: x}"),
        "issuers[0].discovery.jwks_uri",
        "from `jwksUri`",
    );
    let settings = taken(&issuer_with(
        "  discovery: {claims_supported: [sub, iss], b: {c: 1.5}, d: true, e: 3}",
    ));
    let extra = serde_json::to_string(&settings.issuers[0].profile.extra).unwrap();
    assert_eq!(
        extra,
        r#"{"claims_supported":["sub","iss"],"b":{"c":1.5},"d":true,"e":3}"#
    );
}

#[test]
fn members_of_discovery_that_a_reader_without_case_takes_for_reserved_ones_are_refused() {
    for name in [
        "Issuer",
        "ISSUER",
        "JWKS_URI",
        "jw\u{212a}s_uri",
        "i\u{17f}\u{17f}uer",
        "Response_Types_Supported",
        "subject_types_\u{17f}upported",
        "ID_TOKEN_signing_alg_values_supported",
    ] {
        let yaml = issuer_with(&format!("  discovery: {{\"{name}\": x}}"));
        assert_refused(&yaml, &format!("issuers[0].discovery.{name}"), "without case");
    }
}

#[test]
fn members_of_discovery_with_characters_that_cannot_be_seen_are_refused_at_every_depth() {
    for (name, shown) in [
        ("issuer\\u200b", "issuer\u{200b}"),
        ("\\ufeffjwks_uri", "\u{feff}jwks_uri"),
        ("a\\u0000", "a\0"),
        ("a\\u001b[31m", "a\u{1b}[31m"),
        ("a\\n", "a\n"),
        ("a\\tb", "a\tb"),
        ("a\\u007f", "a\u{7f}"),
        ("a\\u202eb", "a\u{202e}b"),
        ("a\\u00adb", "a\u{ad}b"),
        ("a\\u00a0b", "a\u{a0}b"),
        ("a\\u3164", "a\u{3164}"),
        ("issuer ", "issuer "),
    ] {
        for (discovery, path) in [
            (format!("{{\"{name}\": x}}"), shown.to_owned()),
            (format!("{{b: [{{\"{name}\": x}}]}}"), format!("b[0].{shown}")),
        ] {
            let yaml = issuer_with(&format!("  discovery: {discovery}"));
            assert_refused(&yaml, &format!("issuers[0].discovery.{path}"), "cannot be seen");
        }
    }
    taken(&issuer_with(
        "  discovery: {\"x-stra\u{df}e two\": x, \u{4e2d}: y}",
    ));
}

#[test]
fn members_of_discovery_that_differ_only_by_case_are_refused_at_every_depth() {
    for (discovery, path) in [
        (
            "{claims_supported: [a], Claims_Supported: [b]}",
            "Claims_Supported",
        ),
        ("{a: {Stra\u{df}e: 1, STRASSE: 2}}", "a.STRASSE"),
        ("{a: [{k: 1, \u{212a}: 2}]}", "a[0].\u{212a}"),
    ] {
        let yaml = issuer_with(&format!("  discovery: {discovery}"));
        assert_refused(&yaml, &format!("issuers[0].discovery.{path}"), "only by case");
    }
}

#[test]
fn members_of_discovery_that_readers_stumble_over_are_refused() {
    for (discovery, path, told) in [
        ("{a: ~}", "a", "null"),
        ("{a: null}", "a", "null"),
        ("{a: {b: null}}", "a.b", "null"),
        ("{a: []}", "a", "empty list"),
        ("{a: [x, []]}", "a[1]", "empty list"),
        ("{a: \"\"}", "a", "empty"),
        ("{a_supported: [x, \"\"]}", "a_supported[1]", "empty"),
        ("{\"\": x}", "", "no name"),
        ("{token_endpoint: 5}", "token_endpoint", "should be a string"),
        ("{op_policy_uri: [x]}", "op_policy_uri", "should be a string"),
        ("{claims_supported: sub}", "claims_supported", "list of strings"),
        ("{claims_supported: [1]}", "claims_supported", "list of strings"),
    ] {
        let yaml = issuer_with(&format!("  discovery: {discovery}"));
        assert_refused(&yaml, &format!("issuers[0].discovery.{path}"), told);
    }
    taken(&issuer_with(
        "  discovery: {token_endpoint: \"https://a.example/t\", claims_parameter_supported: false, scopes_supported: [openid]}",
    ));
}

#[test]
fn announced_algorithms_are_those_that_can_be_published() {
    assert_refused(
        &issuer_with("  announcedAlgorithms: [ES256, EdDSA]"),
        "issuers[0].announcedAlgorithms[1]",
        "unknown",
    );
    let settings = taken(&issuer_with("  announcedAlgorithms: [ES256]"));
    assert_eq!(settings.issuers[0].profile.announced[0].as_str(), "ES256");
}

#[test]
fn listeners_need_an_address_of_their_own_and_a_whole_certificate() {
    let with = |listeners: &str| format!("{MINIMAL}listeners: {listeners}\n");
    for (listeners, path, told) in [
        ("[]", "listeners", "empty list"),
        ("[{}]", "listeners[0]", "has no `address`"),
        ("[{address: \"host:1\"}]", "listeners[0].address", "is no address"),
        (
            "[{address: \":80\"}, {address: \"[::]:80\"}]",
            "listeners[1]",
            "like another listener",
        ),
        (
            "[{address: \":80\", tls: {}}]",
            "listeners[0].tls",
            "names no certificate",
        ),
        (
            "[{address: \":80\", tls: {certFile: a}}]",
            "listeners[0].tls",
            "has no `keyFile`",
        ),
        (
            "[{address: \":80\", tls: {certFile: a, keyFile: b, selfSigned: {}}}]",
            "listeners[0].tls",
            "at once",
        ),
        (
            "[{address: \":80\", tls: {selfSigned: {}}, hsts: false}]",
            "listeners[0].hsts",
            "always sent on TLS",
        ),
    ] {
        assert_refused(&with(listeners), path, told);
    }
    let settings = taken(&with(
        "[{address: \":80\", hsts: true}, {address: \"localhost:81\"}]",
    ));
    assert_eq!(settings.listeners[0].address.to_string(), "[::]:80");
    assert!(settings.listeners[0].hsts);
    assert_eq!(settings.listeners[1].address.to_string(), "127.0.0.1:81");
    assert!(!settings.listeners[1].hsts);
}

#[test]
fn the_admin_listener_is_never_one_of_the_edge() {
    let yaml = format!("{MINIMAL}listeners: [{{address: \"[::]:9180\"}}]\nadmin: {{address: \":9180\"}}\n");
    assert_refused(&yaml, "admin.address", "must not face the internet");
}

#[test]
fn a_self_signed_certificate_is_for_the_hosts_of_the_issuers() {
    let settings = taken(MINIMAL);
    let TlsSettings::SelfSigned { folder, names } = settings.listeners_to_open().remove(0).tls.unwrap()
    else {
        panic!("not self-signed");
    };
    assert_eq!(
        (folder.as_path(), names.as_slice()),
        (Path::new("/state/tls"), &["a.example".to_owned()][..])
    );
}

#[test]
fn a_new_issuer_needs_no_restart_but_a_new_listener_does() {
    let old = taken(MINIMAL);
    let more = MINIMAL.replace(
        "issuers:",
        "issuers:\n- {issuer: https://b.example, sources: [apiServer: {}]}",
    );
    assert!(old.needing_restart(&taken(&more)).is_empty());
    let other = taken(&format!(
        "{MINIMAL}listeners: [{{address: \":1\"}}]\nadmin: {{address: \":2\"}}\nstateDir: /s\n"
    ));
    assert_eq!(
        old.needing_restart(&other),
        ["store", "listeners", "admin.address", "stateDir"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let load = |file: &Path| {
        load(Some(file), &Overlay::default(), Path::new("/state"))
            .unwrap_err()
            .to_string()
    };
    assert!(load(Path::new("/nowhere.yaml")).contains("/nowhere.yaml\n  - does not exist"));
    assert!(load(Path::new("/")).contains("is a folder"));
    assert!(load(Path::new("/dev/zero")).contains("a device, not a regular file"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    crate::fs::fake::fifo(&file);
    let fifo = load(&file);
    assert!(
        fifo.contains("a FIFO, not a regular file") && fifo.contains("write its content into a file"),
        "{fifo}"
    );
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    assert!(load(&file).contains("is empty"));
    // Sparse: it takes no room.
    let sparse = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    sparse.set_len((64 << 20) + 1).unwrap();
    assert!(load(&file).contains("larger than 64 MiB"));
}

#[test]
fn more_issuers_than_one_service_takes_are_refused_with_both_numbers() {
    let file = |count: usize| format!("issuers: [{}]\n", vec!["{}"; count].join(","));
    assert_refused(
        &file(MAX_ISSUERS + 1),
        "issuers",
        "lists 100001 issuers, but one service takes at most 100000",
    );
}

#[test]
fn as_many_issuers_as_one_service_takes_are_read_with_room_for_their_keys_and_values() {
    let issuer = |number: usize| {
        format!(
            "- issuer: https://a.example/{number}\n  sources: [{{files: {{paths: [/keys/{number}.pem]}}}}]\n"
        )
    };
    let text = (0..3).fold("issuers:\n".to_owned(), |text, number| text + &issuer(number));
    let tree = tree::parse(text.as_bytes()).unwrap();
    let taken = |most: usize| {
        let report = Report::default();
        let root = Field::root(&tree, &report)
            .mapping(&schema::ROOT)
            .given()
            .unwrap();
        let here = Path::new("/");
        let folders = Folders {
            file: here,
            state: here,
        };
        let issuers = read_issuers(&root, folders, most);
        drop(root);
        (
            issuers.map(|issuers| issuers.len()),
            report.finish(None, ()).is_ok(),
        )
    };
    assert_eq!(taken(3), (Some(3), true));
    assert_eq!(taken(2), (None, false));
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "(issuers|sources|files|[a-z]|[-:{}\\[\\],\\n *&#\"']| ){0,80}") {
            if let Ok(tree) = tree::parse(text.as_bytes()) {
                let _ = read(Some("x"), tree, Path::new(""), &Overlay::default(), Path::new("/state"));
            }
        }
    }
}

#[test]
fn the_control_listener_needs_an_address_a_certificate_and_a_ca_for_clients() {
    const CONTROL: &str = "control: {address: ':9443', tls: {certFile: c, keyFile: k}, clientCaFile: ca}\n";
    let settings = taken(&format!("{MINIMAL}{CONTROL}"));
    let control = settings.control.clone().unwrap();
    assert_eq!(control.address.to_string(), "[::]:9443");
    assert_eq!(control.client_ca, Path::new("/etc/oidc-issuer/ca"));
    assert_eq!(
        settings.needing_restart(&taken(&format!("{MINIMAL}audit: {{file: a}}\n"))),
        ["control", "audit.file"]
    );
    for (part, path, told) in [
        (", clientCaFile: ca", "control", "anybody could revoke"),
        (", tls: {certFile: c, keyFile: k}", "control", "no `tls`"),
        (", keyFile: k", "control.tls", "no `keyFile`"),
        ("address: ':9443', ", "control", "no `address`"),
    ] {
        assert_refused(&format!("{MINIMAL}{}", CONTROL.replace(part, "")), path, told);
    }
    let shared = |address: &str| format!("{MINIMAL}{}", CONTROL.replace(":9443", address));
    assert_refused(&shared("127.0.0.1:9180"), "control.address", "admin listener");
    assert_refused(
        &shared("[::]:8443"),
        "control.address",
        "must not face the internet",
    );
    assert_refused(&format!("{MINIMAL}audit: {{}}\n"), "audit", "no `file`");
}
