use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;

use super::*;
use crate::key::fake::{key, key_with};
use crate::key::{Algorithm, PublicKey};
use crate::publication::{self, CachePolicy, IssuerUrl, JwksUri, MediaType, Profile, Publication};
use crate::ring::{KeySet, KeyState, Ledger, Listing, PublishedKey, Ring, Rules, SourceId};

const ISSUER: &str = "https://a.example/cluster";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn source(id: &str) -> SourceId {
    SourceId(id.into())
}

fn listed(key: PublicKey) -> PublishedKey {
    PublishedKey {
        key,
        state: KeyState::Listed,
        first_seen: at(100),
    }
}

fn retained(key: PublicKey) -> PublishedKey {
    let state = KeyState::Retained {
        absent_since: at(200),
        leaves_at: at(176_600),
    };
    PublishedKey { state, ..listed(key) }
}

fn key_set(keys: impl IntoIterator<Item = PublishedKey>) -> KeySet {
    KeySet {
        keys: keys.into_iter().collect(),
        ..KeySet::default()
    }
}

fn publication(keys: &KeySet) -> Publication {
    let cache = CachePolicy {
        max_age: SignedDuration::from_mins(5),
        stale_while_revalidate: SignedDuration::ZERO,
        stale_if_error: SignedDuration::ZERO,
    };
    let issuer = IssuerUrl::parse(ISSUER).unwrap();
    let profile = Profile {
        jwks_uri: JwksUri::of(&issuer),
        issuer,
        announced: vec![],
        extra: serde_json::Map::new(),
        jwks_content_type: MediaType::JWKS,
        jwks_cache: cache,
        discovery_cache: cache,
    };
    publication::build(&profile, keys).unwrap()
}

/// What a ring says that has read these listings, a second apart, the last one now.
fn rotation_of(listings: &[&str], now: Timestamp) -> RotationState {
    let mut ring = ring_of(listings, now);
    RotationState::of(&ring.view(now), ring.ledger(), now, now)
}

fn ring_of(listings: &[&str], now: Timestamp) -> Ring {
    let only = source("sources[0].apiServer");
    let rules = Rules::new(SignedDuration::from_hours(49));
    let mut ring = Ring::new(rules, [(only.clone(), 1)], Ledger::default());
    for (names, before) in listings
        .iter()
        .zip((0..).take(listings.len()).collect::<Vec<_>>().into_iter().rev())
    {
        let keys = names.split(' ').map(|name| key(name, name.as_bytes()[0]));
        let listing = Listing {
            keys: keys.collect(),
            complete: true,
            ..Listing::default()
        };
        let now = now - SignedDuration::from_secs(before);
        ring.heard(&only, &listing, now).unwrap();
    }
    ring
}

fn publish(issuer: &IssuerMetrics, keys: &KeySet, now: i64) {
    issuer.published(keys, &publication(keys), at(now));
}

/// Metrics in which every row there can be is there.
fn everything() -> Metrics {
    let metrics = Metrics::new(at(0));
    metrics
        .edge()
        .response(Endpoint::Jwks, StatusCode::OK, Duration::from_micros(30));
    let listener = metrics.listener("[::]:8443");
    drop(listener.accepted());
    listener.refused(RefusedConnection::Limit);
    listener.handshake_failed(HandshakeFailure::NotTls);
    listener.certificate_expires(at(1));
    listener.certificate_reload(true);
    metrics.config_reloaded(at(1));
    let issuer = metrics.issuer(ISSUER);
    let asked = source("sources[0].apiServer");
    issuer.read(&asked, Ok(()), at(1));
    issuer.endpoints(&asked, Some(EndpointState::default()));
    issuer.quarantined([("weak_rsa", 1)].into());
    publish(&issuer, &key_set([listed(key("a", 1)), retained(key("b", 2))]), 1);
    issuer.rotation(rotation_of(&["a b", "b"], at(1)));
    issuer.requested(Arc::new(Counted(3)));
    issuer.kept(|| StoreState {
        is_durable: Some(true),
        shared: Some(SharedStoreState {
            agreed: Some(Duration::from_secs(3)),
            ..SharedStoreState::default()
        }),
        ..StoreState::default()
    });
    metrics
}

/// The samples of a metric: its rows after the name.
fn rows<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'))
        .collect()
}

/// (name, type) → labels, as exported.
fn exported(text: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            current = Some((name.to_owned(), kind.to_owned()));
        } else if !line.starts_with('#') {
            let labels: &mut BTreeSet<String> = metrics.entry(current.clone().unwrap()).or_default();
            let Some((_, pairs)) = line.split_once('{') else {
                continue;
            };
            let names = pairs.split("=\"").filter_map(|before| {
                let name = before.rsplit(['"', ',', '{']).next()?;
                (!name.contains('}')).then_some(name)
            });
            labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    metrics
}

/// (name, type) → labels, as `docs/metrics.md` says.
fn documented() -> BTreeMap<(String, String), BTreeSet<String>> {
    let rows = include_str!("../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2]
            .split('`')
            .filter(|label| !label.trim_matches([',', ' ']).is_empty());
        let metric = (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned());
        (metric, labels.map(str::to_owned).collect())
    })
    .collect()
}

#[derive(Debug)]
struct Counted(u64);

impl CountsRequests for Counted {
    fn requests(&self) -> u64 {
        self.0
    }
}

#[test]
fn the_documentation_lists_what_is_exported_and_nothing_else() {
    let exported = exported(&everything().render().unwrap());
    let documented = documented();
    assert!(exported.len() > 20, "{exported:?}");
    for (metric, labels) in &exported {
        assert_eq!(
            documented.get(metric),
            Some(labels),
            "docs/metrics.md says otherwise of {metric:?}"
        );
    }
    for metric in documented.keys() {
        assert!(
            exported.contains_key(metric),
            "{metric:?} is in docs/metrics.md but not exported"
        );
    }
}

#[test]
fn every_metric_has_a_help_text() {
    let text = everything().render().unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn a_response_is_counted_by_endpoint_and_code_known_beforehand_or_not() {
    let metrics = Metrics::new(at(0));
    for code in [StatusCode::OK, StatusCode::OK, StatusCode::IM_A_TEAPOT] {
        metrics
            .edge()
            .clone()
            .response(Endpoint::Jwks, code, Duration::from_millis(1));
    }
    let text = metrics.render().unwrap();
    let requests = rows(&text, "oidc_issuer_http_requests_total");
    assert!(
        requests.contains(&r#"code="200",endpoint="jwks"} 2"#),
        "{requests:?}"
    );
    assert!(
        requests.contains(&r#"code="418",endpoint="jwks"} 1"#),
        "{requests:?}"
    );
    let durations = rows(&text, "oidc_issuer_http_request_duration_seconds_count");
    assert!(durations.contains(&r#"endpoint="jwks"} 3"#), "{durations:?}");
}

#[test]
fn a_503_is_a_row_before_it_happens_so_that_the_first_one_is_an_increase() {
    let text = Metrics::new(at(0)).render().unwrap();
    let requests = rows(&text, "oidc_issuer_http_requests_total");
    assert!(
        requests.contains(&r#"code="503",endpoint="jwks"} 0"#),
        "{requests:?}"
    );
}

#[test]
fn a_connection_is_open_until_it_is_dropped() {
    let metrics = Metrics::new(at(0));
    let listener = metrics.listener("[::]:80");
    let first = listener.accepted();
    let second = listener.clone().accepted();
    drop(first);
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_connections_open"),
        [r#"listener="[::]:80"} 1"#]
    );
    assert_eq!(
        rows(&text, "oidc_issuer_connections_accepted_total"),
        [r#"listener="[::]:80"} 2"#]
    );
    drop(second);
}

#[test]
fn a_listener_without_tls_has_no_rows_of_certificates() {
    let metrics = Metrics::new(at(0));
    drop(metrics.listener("[::]:80").accepted());
    let text = metrics.render().unwrap();
    assert!(!text.contains("certificate") && !text.contains("tls"), "{text}");
}

#[test]
fn failed_reads_are_counted_in_a_row_until_one_succeeds() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let files = source("sources[0].files");
    issuer.sources([&files]);
    issuer.read(&files, Ok(()), at(5));
    issuer.read(&files, Err("timeout"), at(15));
    issuer.read(&files, Err("timeout"), at(25));
    let labels = format!(r#"issuer="{ISSUER}",source="sources[0].files""#);
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_source_reads_total"),
        [
            format!(r#"{labels},result="success"}} 1"#),
            format!(r#"{labels},result="timeout"}} 2"#)
        ]
    );
    assert_eq!(
        rows(&text, "oidc_issuer_source_consecutive_failures"),
        [format!("{labels}}} 2")]
    );
    assert_eq!(
        rows(&text, "oidc_issuer_source_last_success_timestamp_seconds"),
        [format!("{labels}}} 5")]
    );

    issuer.read(&files, Ok(()), at(35));
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_source_consecutive_failures"),
        [format!("{labels}}} 0")]
    );
}

#[test]
fn endpoints_have_rows_where_they_are_asked_one_by_one() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let (asked, files) = (source("sources[0].apiServer"), source("sources[1].files"));
    issuer.sources([&asked, &files]);
    let state = EndpointState {
        read: 2,
        silent: 1,
        is_listed: true,
    };
    issuer.endpoints(&asked, Some(state));
    issuer.endpoints(&files, None);
    let labels = format!(r#"issuer="{ISSUER}",source="sources[0].apiServer""#);
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_source_endpoints"),
        [
            format!(r#"{labels},state="read"}} 2"#),
            format!(r#"{labels},state="silent"}} 1"#)
        ]
    );
    let listed = rows(&text, "oidc_issuer_source_endpoints_listed");
    assert_eq!(listed, [format!("{labels}}} 1")]);
}

#[test]
fn a_source_that_a_reload_drops_takes_its_rows_with_it_and_the_others_go_on() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let (files, jwks) = (source("sources[0].files"), source("sources[1].jwks"));
    issuer.read(&files, Ok(()), at(5));
    issuer.read(&jwks, Ok(()), at(5));
    issuer.sources([&files]);
    let text = metrics.render().unwrap();
    assert!(!text.contains("sources[1].jwks"));
    assert!(text.contains(r#"source="sources[0].files",result="success"} 1"#));
}

#[test]
fn every_published_key_has_one_info_row_and_a_retained_one_says_when_it_leaves() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let before = key_set([listed(key("a", 1)), listed(key_with("b", 2, Algorithm::Es256))]);
    publish(&issuer, &before, 1);
    let after = key_set([listed(key("a", 1)), retained(key_with("b", 2, Algorithm::Es256))]);
    publish(&issuer, &after, 2);

    let text = metrics.render().unwrap();
    let a = format!(r#"issuer="{ISSUER}",kid="a""#);
    let b = format!(r#"issuer="{ISSUER}",kid="b""#);
    assert_eq!(
        rows(&text, "oidc_issuer_key_info"),
        [
            format!(r#"{a},alg="RS256",state="listed"}} 1"#),
            format!(r#"{b},alg="ES256",state="retained"}} 1"#),
        ]
    );
    assert_eq!(
        rows(&text, "oidc_issuer_key_first_seen_timestamp_seconds"),
        [format!("{a}}} 100"), format!("{b}}} 100")]
    );
    assert_eq!(
        rows(&text, "oidc_issuer_key_leaves_timestamp_seconds"),
        [format!("{b}}} 176600")]
    );
    let keys = rows(&text, "oidc_issuer_keys");
    assert!(keys.iter().all(|row| row.ends_with("} 1")), "{keys:?}");
}

#[test]
fn keys_that_are_not_published_are_counted_by_state() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let unpublished = |ring: &mut Ring, now: i64| {
        issuer.rotation(RotationState::of(
            &ring.view(at(now)),
            ring.ledger(),
            at(now),
            at(now),
        ));
        let text = metrics.render().unwrap();
        let values = rows(&text, "oidc_issuer_keys");
        let values: Vec<_> = values
            .iter()
            .map(|row| row.rsplit(['"', ' ']).next().unwrap().to_owned())
            .collect();
        let revocations = rows(&text, "oidc_issuer_revocations")[0]
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned();
        (values.join(" "), revocations)
    };
    // In this order: held, revoked, expired.
    let mut ring = ring_of(&["a b c", "b c"], at(1));
    assert_eq!(unpublished(&mut ring, 2), ("0 0 0".into(), "0".into()));
    ring.revoke("b", "ann", "leaked", false, at(3)).unwrap();
    assert_eq!(unpublished(&mut ring, 3), ("0 1 0".into(), "1".into()));
    let end = 1 + 49 * 3600;
    assert_eq!(unpublished(&mut ring, end), ("0 1 1".into(), "1".into()));
    ring.unrevoke("b", "ann", at(end)).unwrap();
    assert_eq!(unpublished(&mut ring, end), ("0 0 1".into(), "0".into()));
}

#[test]
fn the_next_key_to_leave_has_a_time_and_the_last_one_none() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let next = |listings: &[&str], heard: i64, now: i64| {
        let mut ring = ring_of(listings, at(heard));
        issuer.rotation(RotationState::of(
            &ring.view(at(now)),
            ring.ledger(),
            at(now),
            at(now),
        ));
        let text = metrics.render().unwrap();
        let row = rows(&text, "oidc_issuer_next_key_leaves_timestamp_seconds").pop();
        row.map(|row| row.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(next(&["a b"], 0, 10), None);
    assert_eq!(next(&["a b", "b"], 0, 10).as_deref(), Some("176400"));
    assert_eq!(next(&["a b", "b"], 0, 176_400), None);
}

#[test]
fn a_listed_key_says_from_when_it_may_sign() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    issuer.rotation(rotation_of(&["a", "a b", "b"], at(1)));
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_key_may_sign_timestamp_seconds").len(),
        1,
        "a retained key has no row"
    );
}

#[test]
fn a_ledger_from_a_clock_that_is_ahead_says_by_how_much() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let mut ring = ring_of(&["a"], at(100));
    for (now, ahead) in [(40, "60"), (100, "0"), (200, "0")] {
        issuer.rotation(RotationState::of(
            &ring.view(at(now)),
            ring.ledger(),
            at(now),
            at(now),
        ));
        let text = metrics.render().unwrap();
        assert_eq!(
            rows(&text, "oidc_issuer_ledger_ahead_seconds"),
            [format!("issuer=\"{ISSUER}\"}} {ahead}")]
        );
    }
}

#[test]
fn the_time_of_change_moves_only_with_the_bytes() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    publish(&issuer, &key_set([listed(key("a", 1))]), 10);
    publish(&issuer, &key_set([retained(key("a", 1))]), 20);
    let changed = |text: &str| rows(text, "oidc_issuer_documents_changed_timestamp_seconds")[0].to_owned();
    assert!(changed(&metrics.render().unwrap()).ends_with(" 10"));
    publish(&issuer, &key_set([listed(key("b", 2))]), 30);
    assert!(changed(&metrics.render().unwrap()).ends_with(" 30"));
}

#[test]
fn more_than_ten_keys_are_warned_of() {
    let metrics = Metrics::new(at(0));
    let issuer = metrics.issuer(ISSUER);
    let warned = |keys: u8| {
        publish(
            &issuer,
            &key_set((0..keys).map(|n| listed(key(&n.to_string(), n)))),
            1,
        );
        rows(&metrics.render().unwrap(), "oidc_issuer_too_many_keys")[0].ends_with("} 1")
    };
    assert!(!warned(10));
    assert!(warned(11));
}

#[test]
fn however_many_keys_there_are_the_rows_are_bounded() {
    let metrics = Metrics::new(at(0));
    let keys = (0..=200).map(|n| listed(key(&n.to_string(), n)));
    publish(&metrics.issuer(ISSUER), &key_set(keys), 1);
    let text = metrics.render().unwrap();
    assert_eq!(rows(&text, "oidc_issuer_key_info").len(), 100);
    assert!(rows(&text, "oidc_issuer_keys")[0].ends_with(r#"state="listed"} 201"#));
}

#[test]
fn a_kid_from_outside_cannot_write_rows_of_its_own() {
    let metrics = Metrics::new(at(0));
    let kid = "a\"} 1\noidc_issuer_published{issuer=\"x\"} 0\\ é";
    publish(&metrics.issuer(ISSUER), &key_set([listed(key(kid, 1))]), 1);
    let text = metrics.render().unwrap();
    assert_eq!(rows(&text, "oidc_issuer_published").len(), 1);
    let info = rows(&text, "oidc_issuer_key_info");
    assert!(
        info[0].contains(r#"kid="a\"} 1\\noidc_issuer_published{issuer=\"x\"} 0\\\\ é",alg"#),
        "{info:?}"
    );
}

#[test]
fn labels_have_no_hidden_characters_and_kids_that_differ_are_series_of_their_own() {
    let metrics = Metrics::new(at(0));
    let kids = [
        "a\u{202e}b",
        r"a\u{202e}b",
        r"a\\u{202e}b",
        "a\u{200b}",
        "a\u{2028}",
        "a\u{1b}[2J",
        "a",
    ];
    let keys = kids.iter().zip(1..).map(|(kid, n)| listed(key(kid, n)));
    let keys = key_set(keys.collect::<Vec<_>>());
    let issuer = metrics.issuer("https://a.example/\u{2066}x");
    issuer.read(&source("sources[0].\u{feff}files"), Ok(()), at(1));
    publish(&issuer, &keys, 1);
    drop(metrics.listener("[::]:8443\u{200f}").accepted());

    let text = metrics.render().unwrap();
    let hidden = text.lines().find(|line| line.contains(crate::display::is_hidden));
    assert_eq!(hidden, None);
    for name in [
        "oidc_issuer_key_info",
        "oidc_issuer_key_first_seen_timestamp_seconds",
    ] {
        let series: BTreeSet<_> = rows(&text, name)
            .iter()
            .map(|row| row.rsplit_once(' ').unwrap().0)
            .collect();
        assert_eq!(series.len(), kids.len(), "{series:?}");
    }
    assert!(
        text.contains(r#"kid="a\\u{202e}b""#) && text.contains(r#"kid="a\\\\u{202e}b""#),
        "{text}"
    );
}

#[test]
fn an_issuer_that_is_gone_takes_its_rows_with_it_and_starts_anew_when_it_returns() {
    let metrics = Metrics::new(at(0));
    let old = metrics.issuer(ISSUER);
    let other = metrics.issuer("https://b.example");
    publish(&old, &key_set([listed(key("a", 1))]), 1);
    publish(&other, &key_set([listed(key("a", 1))]), 1);
    old.removed();
    old.read(&source("sources[0].files"), Ok(()), at(2));
    let text = metrics.render().unwrap();
    assert!(!text.contains(ISSUER), "{text}");
    assert!(text.contains("https://b.example"));

    metrics.issuer(ISSUER);
    old.removed();
    let text = metrics.render().unwrap();
    assert_eq!(
        rows(&text, "oidc_issuer_published")[0],
        format!(r#"issuer="{ISSUER}"}} 0"#)
    );
}

#[test]
fn a_refused_reload_is_seen_until_one_is_taken() {
    let metrics = Metrics::new(at(0));
    metrics.config_loaded(at(7));
    metrics.config_refused();
    let text = metrics.render().unwrap();
    assert!(text.contains("\noidc_issuer_config_last_reload_successful 0\n"));
    assert!(text.contains("\noidc_issuer_config_last_reload_success_timestamp_seconds 7\n"));
    assert!(text.contains("\noidc_issuer_config_reloads_total{result=\"failure\"} 1\n"));
    metrics.config_reloaded(at(9));
    let text = metrics.render().unwrap();
    assert!(text.contains("\noidc_issuer_config_last_reload_successful 1\n"));
    assert!(text.contains("\noidc_issuer_config_last_reload_success_timestamp_seconds 9\n"));
}

/// A fleet of published issuers; the sources of the first few fail.
fn fleet(issuers: usize, failing: usize) -> Metrics {
    let metrics = Metrics::new(at(0));
    let keys = key_set([listed(key("a", 1))]);
    let publication = publication(&keys);
    for number in 0..issuers {
        let issuer = metrics.issuer(&format!("https://a.example/{number:06}"));
        issuer.sources(&[source("sources[0].files")]);
        issuer.published(&keys, &publication, at(1));
        let result = if number < failing { Err("timeout") } else { Ok(()) };
        issuer.read(&source("sources[0].files"), result, at(2));
    }
    metrics
}

#[test]
fn of_many_issuers_those_in_trouble_have_rows_and_all_are_counted() {
    let text = fleet(2000, 3).render().unwrap();
    assert_eq!(rows(&text, "oidc_issuer_published").len(), 3);
    assert!(text.contains("oidc_issuer_issuers{state=\"published\"} 2000\n"));
    assert!(text.contains("oidc_issuer_issuers_in_trouble{trouble=\"source_fails\"} 3\n"));
    assert!(text.contains("oidc_issuer_issuers_without_rows 1997\n"));
    assert!(text.contains("oidc_issuer_all_keys{state=\"listed\"} 2000\n"));
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 500, "{series}");
}

#[test]
fn the_rows_of_issuers_in_trouble_are_bounded() {
    let text = fleet(1200, 1200).render().unwrap();
    assert_eq!(rows(&text, "oidc_issuer_published").len(), 500);
    assert!(text.contains("oidc_issuer_issuers_in_trouble{trouble=\"source_fails\"} 1200\n"));
}

#[test]
fn which_issuers_have_rows_is_configuration() {
    let metrics = fleet(600, 1);
    for (shown, expected) in [
        (IssuerRows::Auto, 1),
        (IssuerRows::All, 600),
        (IssuerRows::Troubled, 1),
        (IssuerRows::None, 0),
    ] {
        metrics.show_issuers(shown);
        let text = metrics.render().unwrap();
        assert_eq!(rows(&text, "oidc_issuer_published").len(), expected, "{shown:?}");
        assert!(text.contains("oidc_issuer_issuers{state=\"published\"} 600\n"));
    }
    let few = fleet(500, 0).render().unwrap();
    assert_eq!(rows(&few, "oidc_issuer_published").len(), 500);
}

#[test]
fn requests_are_counted_by_issuer_for_a_bounded_number_of_issuers() {
    let metrics = Metrics::new(at(0));
    for n in 0..503_u64 {
        metrics
            .issuer(&format!("https://a.example/{n:03}"))
            .requested(Arc::new(Counted(n)));
    }
    let text = metrics.render().unwrap();
    let rows = rows(&text, "oidc_issuer_issuer_requests_total");
    assert_eq!(rows.len(), 501);
    for line in [
        "oidc_issuer_issuer_requests_total{issuer=\"https://a.example/007\"} 7\n",
        "oidc_issuer_issuer_requests_total{issuer=\"https://a.example/499\"} 499\n",
        "oidc_issuer_issuer_requests_total{issuer=\"other\"} 1503\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
