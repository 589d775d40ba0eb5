//! When a source is believed, how long a key stays, and the inequalities that durations must satisfy.

use super::*;

fn rules(fields: &str) -> crate::ring::Rules {
    taken(&issuer_with(fields)).issuers[0].rules.clone()
}

fn confirmations(yaml: &str) -> Vec<Confirmation> {
    let issuers = taken(yaml).issuers;
    issuers[0]
        .sources
        .iter()
        .map(|source| source.confirmation)
        .collect()
}

const THREE_KINDS: &str = "issuers:\n- issuer: https://a.example\n  sources:\n  - apiServer:\n  - jwks: {url: https://b.example/jwks}\n  - embedded: {}\n";

#[test]
fn api_servers_and_jwks_are_confirmed_by_three_reads_files_by_one() {
    assert_eq!(
        confirmations(THREE_KINDS),
        [3, 3, 1].map(Confirmation::Reads),
        "not given"
    );
}

#[test]
fn a_confirmation_is_a_number_of_reads_a_duration_or_an_operators() {
    for (written, confirmation) in [
        ("1", Confirmation::Reads(1)),
        ("1000", Confirmation::Reads(1000)),
        ("10m", Confirmation::Duration(SignedDuration::from_mins(10))),
        ("1s", Confirmation::Duration(SignedDuration::from_secs(1))),
        (
            "\"7d\"",
            Confirmation::Duration(SignedDuration::from_hours(7 * 24)),
        ),
        ("manual", Confirmation::Manual),
    ] {
        let yaml = THREE_KINDS.replace("  sources", &format!("  confirmation: {written}\n  sources"));
        assert_eq!(confirmations(&yaml), [confirmation; 3], "{written}");
    }
    for (written, told) in [
        ("0", "is 0, but should be from 1 to 1000"),
        ("-1", "should be from 1 to 1000"),
        ("1001", "should be from 1 to 1000"),
        ("0s", "is 0s, but should be from 1s to 168h"),
        ("500ms", "should be from 1s to 168h"),
        ("8d", "should be from 1s to 168h"),
        (
            "Manual",
            "`Manual` is no confirmation: write a number of reads such as 3, a duration such as 10m, or manual",
        ),
        ("\"3\"", "`3` is no confirmation"),
        ("1.5", "write a number of reads"),
        ("[3]", "write a number of reads"),
        ("", "has no value: write a number of reads"),
    ] {
        let yaml = issuer_with(&format!("  confirmation: {written}"));
        assert_refused(&yaml, "issuers[0].confirmation", told);
        assert_eq!(refused(&yaml).len(), 1, "{written}");
    }
}

#[test]
fn new_keys_are_published_or_wait_for_an_approval() {
    assert_eq!(rules("").new_keys, NewKeys::Publish);
    assert_eq!(rules("  newKeys: publish").new_keys, NewKeys::Publish);
    assert_eq!(rules("  newKeys: approve").new_keys, NewKeys::Approve);
    assert_refused(
        &issuer_with("  newKeys: aprove"),
        "issuers[0].newKeys",
        "did you mean `approve`?",
    );
}

#[test]
fn retention_covers_the_token_the_cache_and_five_minutes() {
    // 24h + (300s + 86400s) + 5m
    assert_refused(
        &issuer_with("  retention: 48h9m"),
        "issuers[0].retention",
        "is 48h9m, but must be at least 48h10m: tokenLifetime 24h + cache lifetime of the JWKS 24h5m",
    );
    let settings = taken(&issuer_with("  retention: 48h10m"));
    assert_eq!(
        settings.issuers[0].rules.retention,
        SignedDuration::from_mins(48 * 60 + 10)
    );
    let settings = taken(&issuer_with("  tokenLifetime: 365d"));
    assert_eq!(
        settings.issuers[0].rules.retention,
        SignedDuration::from_mins(365 * 24 * 60 + 24 * 60 + 10),
        "not given, it is the sum"
    );
    assert_refused(
        &issuer_with("  tokenLifetime: 366d"),
        "issuers[0].tokenLifetime",
        "from 1m to 8760h",
    );
}

#[test]
fn refresh_is_at_most_the_max_age_of_the_jwks() {
    assert_refused(
        &issuer_with("  refresh: 301s"),
        "issuers[0].refresh",
        "refresh 5m1s is longer than cache.jwks.maxAge 5m",
    );
    assert_refused(
        &issuer_with("  cache: {jwks: {maxAge: 9s}}"),
        "issuers[0]",
        "refresh 10s is longer than cache.jwks.maxAge 9s",
    );
    taken(&issuer_with("  refresh: 5m"));
}

#[test]
fn an_invalid_duration_is_told_once_and_no_sum_is_made_of_it() {
    let problems = refused(&issuer_with("  tokenLifetime: forever\n  retention: 1h"));
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn every_term_of_the_sum_counts_in_the_least_retention() {
    // 1h + (1m + the larger of 2m and 3m) + 5m
    let fields = |retention: &str| {
        format!(
            "  tokenLifetime: 1h\n  cache: {{jwks: {{maxAge: 1m, staleWhileRevalidate: 2m, staleIfError: 3m}}}}\n  retention: {retention}"
        )
    };
    assert_refused(
        &issuer_with(&fields("68m59s")),
        "issuers[0].retention",
        "is 1h8m59s, but must be at least 1h9m: tokenLifetime 1h + cache lifetime of the JWKS 4m (maxAge 1m + the \
         larger of staleWhileRevalidate 2m and staleIfError 3m) + 5m",
    );
    assert_eq!(rules(&fields("69m")).retention, SignedDuration::from_mins(69));
    let longer_while_revalidating =
        fields("69m").replace("staleWhileRevalidate: 2m", "staleWhileRevalidate: 4m");
    assert_refused(
        &issuer_with(&longer_while_revalidating),
        "issuers[0].retention",
        "at least 1h10m",
    );
}

#[test]
fn a_token_lives_for_a_minute_to_a_year() {
    for lifetime in ["0s", "59s", "366d"] {
        assert_refused(
            &issuer_with(&format!("  tokenLifetime: {lifetime}")),
            "issuers[0].tokenLifetime",
            "from 1m to 8760h",
        );
    }
    taken(&issuer_with("  tokenLifetime: 1m"));
    taken(&issuer_with("  tokenLifetime: 365d"));
}

#[test]
fn what_follows_from_the_longest_of_all_settings_can_still_be_written() {
    let fields = "  tokenLifetime: 365d\n  cache: {jwks: {maxAge: 366d, staleIfError: 366d}}";
    let retention = rules(fields).retention;
    let written = format!("{fields}\n  retention: {}", show_duration(retention));
    assert_eq!(rules(&written).retention, retention);
}

#[test]
fn every_cache_has_a_new_key_after_the_longer_lifetime_of_both_documents_a_refresh_and_an_hour() {
    let propagation = |fields: &str| rules(fields).propagation;
    // discovery: 2h + 1m
    let longer_discovery = "  refresh: 30s\n  cache: {jwks: {maxAge: 1m, staleIfError: 1h}, discovery: {maxAge: 2h, staleWhileRevalidate: 1m, staleIfError: 0s}}";
    assert_eq!(
        propagation(longer_discovery),
        SignedDuration::from_secs(2 * 3600 + 60 + 30 + 3600)
    );
    // JWKS: 1m + 3h
    let longer_jwks = longer_discovery.replace("staleIfError: 1h", "staleIfError: 3h");
    assert_eq!(
        propagation(&longer_jwks),
        SignedDuration::from_secs(3 * 3600 + 60 + 30 + 3600)
    );
}

#[test]
fn decisions_of_operators_in_memory_are_warned_of() {
    let warnings = |fields: &str| taken(&issuer_with(fields)).warnings();
    for fields in ["  newKeys: approve", "  confirmation: manual"] {
        assert_eq!(warnings(fields), Vec::<String>::new());
        let warned = warnings(&format!("{fields}\nstore: {{memory: {{}}}}"));
        assert!(
            warned[0].starts_with("https://a.example waits for operators"),
            "{warned:?}"
        );
    }
    assert_eq!(warnings("store: {memory: {}}"), Vec::<String>::new());
}
