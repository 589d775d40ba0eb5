//! The alerts speak of metrics that exist, and each is explained, reached by its runbook, and tested.

use std::collections::BTreeSet;

const RULES: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const TESTS: &str = include_str!("../../deploy/prometheus/alerts.test.yaml");
const README: &str = include_str!("../../deploy/prometheus/README.md");
/// What stands for the folder where an operator's engineers read the documents.
const RUNBOOKS: &str = "https://docs.example/oidc-issuer";
const DOCUMENT: &str = include_str!("../../docs/metrics.md");

/// What follows a marker on each line that has it.
fn after<'a>(text: &'a str, marker: &str) -> Vec<&'a str> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(marker));
    lines.map(str::trim).collect()
}

fn alerts() -> Vec<&'static str> {
    after(RULES, "- alert:")
}

/// The names in a text that may be those of metrics of the service.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("oidc_issuer_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn every_metric_of_the_alerts_is_exported() {
    let exported: BTreeSet<_> = after(DOCUMENT, "| `")
        .into_iter()
        .filter_map(|row| row.split('`').next())
        .collect();
    let (used, tested) = (metrics(RULES), metrics(TESTS));
    assert!(used.len() > 20, "{used:?}");
    for metric in used.iter().chain(&tested) {
        assert!(exported.contains(metric), "{metric} is not in docs/metrics.md");
    }
    assert_eq!(
        used, tested,
        "the tests have other series than the alerts ask for"
    );
}

#[test]
fn every_alert_is_explained_where_its_runbook_points() {
    let alerts = alerts();
    let headings: Vec<_> = after(DOCUMENT, "#### ");
    assert_eq!(alerts, headings, "the sections of docs/metrics.md");
    let runbooks = after(RULES, "runbook_url:");
    let expected: Vec<_> = alerts
        .iter()
        .map(|alert| format!("{RUNBOOKS}/metrics.md#{}", alert.to_lowercase()))
        .collect();
    assert_eq!(runbooks, expected);
}

#[test]
fn the_command_of_the_readme_changes_the_address_of_every_runbook() {
    let command = format!("sed -i 's|{RUNBOOKS}|");
    assert!(
        README.contains(&command) && README.contains("deploy/prometheus/alerts*.yaml"),
        "{command}"
    );
    for (file, text) in [("alerts.yaml", RULES), ("alerts.test.yaml", TESTS)] {
        let urls = after(text, "runbook_url:");
        assert!(urls.len() >= alerts().len(), "{file}: {urls:?}");
        assert!(
            urls.iter().all(|url| url.starts_with(RUNBOOKS)),
            "{file}: {urls:?}"
        );
    }
    let commented = RULES
        .lines()
        .any(|line| line.starts_with("# CHANGE THIS") && line.contains(RUNBOOKS));
    assert!(commented, "the rules say what to change");
}

#[test]
fn no_manifest_of_cargo_names_a_place_that_does_not_exist() {
    // A name under `.example` belongs to nobody (RFC 2606).
    for manifest in [
        include_str!("../../Cargo.toml"),
        include_str!("../../crates/core/Cargo.toml"),
    ] {
        assert!(!manifest.contains(".example"), "{manifest}");
    }
}

#[test]
fn every_alert_is_seen_firing_and_silent() {
    // A name in quotes is that of a further case.
    let fires: Vec<_> = after(TESTS, "alertname:")
        .into_iter()
        .filter(|name| !name.starts_with('"'))
        .collect();
    assert_eq!(fires, alerts(), "each once, in the order of the rules");
    for alert in alerts() {
        let silent = format!("alertname: {alert}, exp_alerts: []}}");
        assert!(
            TESTS.contains(&silent),
            "{alert} is not in the test in which all is well"
        );
    }
    let tests = TESTS.matches("exp_alerts:\n").count();
    let expected = TESTS.matches("exp_alerts:\n          - exp_labels:").count();
    assert_eq!(tests, expected, "a test that expects nothing");
}
