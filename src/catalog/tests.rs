use proptest::prelude::*;

use super::*;
use crate::publication::{build, fake};

fn route(issuer: &str) -> Route {
    let issuer = IssuerUrl::parse(issuer).unwrap();
    Route {
        jwks_uri: JwksUri::of(&issuer),
        issuer,
        slot: Arc::new(Slot::new()),
    }
}

fn route_with_jwks(issuer: &str, jwks_uri: &str) -> Route {
    Route {
        jwks_uri: JwksUri::parse(jwks_uri).unwrap(),
        ..route(issuer)
    }
}

/// Which document of whom is served, for short.
fn served(catalog: &Catalog, path: &str, host: Option<&str>) -> Option<(Endpoint, String)> {
    catalog
        .lookup(path, host)
        .map(|found| (found.endpoint, found.route.issuer.to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "reads as what it is compared with")]
fn is(endpoint: Endpoint, issuer: &str) -> Option<(Endpoint, String)> {
    Some((endpoint, issuer.to_owned()))
}

#[test]
fn where_one_issuer_has_a_path_any_host_is_served() {
    let catalog = Catalog::new([route("https://h.example/a"), route("https://other.example/b")]);
    for host in [
        None,
        Some("h.example"),
        Some("10.0.0.1:8443"),
        Some("other.example"),
        Some(""),
    ] {
        assert_eq!(
            served(&catalog, "/a/jwks", host),
            is(Endpoint::Jwks, "https://h.example/a")
        );
    }
}

#[test]
fn an_issuer_shares_no_path_with_itself() {
    let catalog = Catalog::new([route_with_jwks("https://h.example", "https://cdn.example/jwks")]);
    for host in [None, Some("10.0.0.1"), Some("cdn.example")] {
        assert_eq!(
            served(&catalog, "/jwks", host),
            is(Endpoint::Jwks, "https://h.example")
        );
    }
}

#[test]
fn where_issuers_share_a_path_the_host_chooses_and_an_unknown_one_finds_nothing() {
    let catalog = Catalog::new([route("https://one.example"), route("https://two.example:8443")]);
    for host in [
        "two.example",
        "TWO.example",
        "two.example.",
        "two.example:443",
        "Two.Example.:8443",
    ] {
        assert_eq!(
            served(&catalog, "/.well-known/openid-configuration", Some(host)),
            is(Endpoint::Discovery, "https://two.example:8443"),
            "{host}"
        );
    }
    assert_eq!(
        served(&catalog, "/jwks", Some("one.example")),
        is(Endpoint::Jwks, "https://one.example")
    );
    for host in [
        None,
        Some("three.example"),
        Some(""),
        Some("one.example.evil.example"),
        Some("10.0.0.1"),
    ] {
        assert_eq!(served(&catalog, "/jwks", host), None, "{host:?}");
    }
}

#[test]
fn every_path_of_an_issuer_leads_to_its_document() {
    let catalog = Catalog::new([route("https://h.example/a/b/")]);
    for (path, endpoint) in [
        ("/a/b/.well-known/openid-configuration", Endpoint::Discovery),
        ("/.well-known/openid-configuration/a/b", Endpoint::Discovery),
        (
            "/.well-known/oauth-authorization-server/a/b",
            Endpoint::OauthAuthorizationServer,
        ),
        ("/a/b/jwks", Endpoint::Jwks),
    ] {
        assert_eq!(
            served(&catalog, path, None),
            is(endpoint, "https://h.example/a/b/"),
            "{path}"
        );
    }
}

#[test]
fn a_path_that_is_spelled_otherwise_is_another_path() {
    let catalog = Catalog::new([route("https://h.example/a")]);
    for path in [
        "/a/jwks/",
        "/A/jwks",
        "/a/JWKS",
        "//a/jwks",
        "/a//jwks",
        "/a/./jwks",
        "/b/../a/jwks",
        "/a%2Fjwks",
        "/%61/jwks",
        "a/jwks",
        "/a/jwks?",
        "/jwks",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/a/.well-known/oauth-authorization-server",
        "/",
        "*",
        "",
    ] {
        assert_eq!(served(&catalog, path, Some("h.example")), None, "{path}");
    }
}

#[test]
fn a_jwks_on_another_host_is_served_here_too() {
    let catalog = Catalog::new([
        route_with_jwks("https://h.example/a", "https://cdn-a.example/keys?v=1"),
        route_with_jwks("https://h.example/b", "https://cdn-b.example/keys"),
        route_with_jwks("https://i.example/c", "https://cdn-c.example/keys"),
    ]);
    let a = is(Endpoint::Jwks, "https://h.example/a");
    assert_eq!(served(&catalog, "/keys", Some("cdn-a.example")), a);
    assert_eq!(served(&catalog, "/a/jwks", Some("cdn-a.example")), a);
    assert_eq!(
        served(&catalog, "/keys", Some("i.example")),
        is(Endpoint::Jwks, "https://i.example/c")
    );
    assert_eq!(
        served(&catalog, "/keys", Some("h.example")),
        None,
        "both a and b could be meant"
    );
}

#[test]
fn the_host_of_a_url_goes_before_the_host_that_a_proxy_may_ask_for() {
    let catalog = Catalog::new([
        route_with_jwks("https://h.example/a", "https://cdn.example/jwks"),
        route("https://h.example"),
    ]);
    assert_eq!(
        served(&catalog, "/jwks", Some("h.example")),
        is(Endpoint::Jwks, "https://h.example")
    );
    assert_eq!(
        served(&catalog, "/jwks", Some("cdn.example")),
        is(Endpoint::Jwks, "https://h.example/a")
    );
}

#[test]
fn a_reload_serves_the_new_issuers_and_no_others() {
    let kept = route("https://h.example/kept");
    let catalog = Catalog::new([kept.clone(), route("https://h.example/dropped")]);
    kept.slot.publish(Arc::new(
        build(&fake::profile("https://h.example/kept"), &fake::rsa_only())
            .unwrap()
            .into(),
    ));
    catalog.replace([kept, route("https://h.example/added")]);
    assert_eq!(served(&catalog, "/dropped/jwks", None), None);
    let published = |path| {
        catalog
            .lookup(path, None)
            .map(|found| found.route.slot.current().is_some())
    };
    assert_eq!(
        (published("/kept/jwks"), published("/added/jwks")),
        (Some(true), Some(false))
    );
}

#[test]
fn what_an_issuer_publishes_is_found_at_once() {
    let route = route("https://h.example");
    let catalog = Catalog::new([route.clone()]);
    let found = catalog.lookup("/jwks", None).unwrap();
    assert_eq!(found.route.slot.current(), None);
    let publication = build(&fake::profile("https://h.example"), &fake::rsa_only()).unwrap();
    route.slot.publish(Arc::new(publication.clone().into()));
    let current = found.route.slot.current().unwrap();
    assert_eq!(found.endpoint.document(&current.publication), &publication.jwks);
    assert_eq!(
        Endpoint::OauthAuthorizationServer.document(&current.publication),
        &publication.discovery
    );
}

#[test]
fn two_issuers_with_documents_of_another_kind_at_one_path_are_told_apart_by_host() {
    let catalog = Catalog::new([
        route("https://h.example"),
        route_with_jwks(
            "https://i.example/x",
            "https://cdn.example/.well-known/openid-configuration",
        ),
    ]);
    let at = |host| served(&catalog, "/.well-known/openid-configuration", Some(host));
    assert_eq!(at("h.example"), is(Endpoint::Discovery, "https://h.example"));
    assert_eq!(at("cdn.example"), is(Endpoint::Jwks, "https://i.example/x"));
}

#[test]
fn one_host_among_thousands_is_found() {
    let issuers: Vec<_> = (0..3000)
        .map(|number| format!("https://c{number}.example"))
        .collect();
    let catalog = Catalog::new(issuers.iter().map(|issuer| route(issuer)));
    for (number, issuer) in issuers.iter().enumerate() {
        let host = format!("C{number}.example:443");
        assert_eq!(served(&catalog, "/jwks", Some(&host)), is(Endpoint::Jwks, issuer));
    }
    assert_eq!(served(&catalog, "/jwks", Some("c3000.example")), None);
}

#[test]
fn of_two_issuers_that_cannot_be_told_apart_the_first_is_served() {
    let catalog = Catalog::new([route("https://h.example/a"), route("https://h.example/a/")]);
    assert_eq!(
        served(&catalog, "/a/jwks", Some("h.example")),
        is(Endpoint::Jwks, "https://h.example/a")
    );
}

#[test]
fn an_issuer_that_is_added_or_removed_changes_only_its_own_paths() {
    let catalog = Catalog::new((0..500).map(|number| route(&format!("https://h.example/{number}"))));
    let parts = |catalog: &Catalog| -> Vec<_> { catalog.shards.iter().map(ArcSwap::load_full).collect() };
    let before = parts(&catalog);
    catalog.upsert(route("https://h.example/new"));
    let after = parts(&catalog);
    let copied = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| !Arc::ptr_eq(before, after));
    assert!((1..=4).contains(&copied.count()), "one shard a path at most");
    assert_eq!(
        served(&catalog, "/new/jwks", None),
        is(Endpoint::Jwks, "https://h.example/new")
    );
    catalog.remove(&IssuerUrl::parse("https://h.example/new").unwrap());
    assert_eq!(served(&catalog, "/new/jwks", None), None);
    assert_eq!(
        served(&catalog, "/499/jwks", None),
        is(Endpoint::Jwks, "https://h.example/499")
    );
}

#[test]
fn an_issuer_whose_jwks_moves_is_served_at_the_new_path_and_no_longer_at_the_old() {
    let catalog = Catalog::new([route_with_jwks("https://h.example/a", "https://h.example/old")]);
    catalog.upsert(route_with_jwks("https://h.example/a", "https://h.example/new"));
    let jwks = is(Endpoint::Jwks, "https://h.example/a");
    assert_eq!(served(&catalog, "/new", None), jwks);
    assert_eq!(served(&catalog, "/a/jwks", None), jwks);
    assert_eq!(served(&catalog, "/old", None), None);
}

#[test]
fn where_the_second_issuer_of_a_path_leaves_any_host_is_served_again() {
    let catalog = Catalog::new([route("https://one.example")]);
    catalog.upsert(route("https://two.example"));
    assert_eq!(served(&catalog, "/jwks", Some("10.0.0.1")), None);
    catalog.remove(&IssuerUrl::parse("https://two.example").unwrap());
    assert_eq!(
        served(&catalog, "/jwks", Some("10.0.0.1")),
        is(Endpoint::Jwks, "https://one.example")
    );
}

proptest! {
    /// The order of changes and whether they come one by one or as a whole leave no trace.
    #[test]
    fn a_catalog_changed_step_by_step_is_the_one_made_at_once(
        steps in prop::collection::vec((0..6_usize, 0..3_usize), 0..30),
    ) {
        let issuers = ["https://a.example", "https://b.example", "https://a.example/x", "https://b.example/x",
            "https://c.example/jwks", "https://A.example:8443/y"];
        let jwks = [None, Some("https://cdn.example/jwks"), Some("https://a.example/keys")];
        let stepwise = Catalog::default();
        // In the order in which they came: of two that cannot be told apart the first is served.
        let mut present: Vec<(usize, Route)> = Vec::new();
        for (issuer, what) in steps {
            let before = present.len();
            present.retain(|(other, _)| *other != issuer);
            if before > present.len() && what == 0 {
                stepwise.remove(&IssuerUrl::parse(issuers[issuer]).unwrap());
                continue;
            }
            let route = match jwks[what] {
                Some(jwks) => route_with_jwks(issuers[issuer], jwks),
                None => route(issuers[issuer]),
            };
            present.push((issuer, route.clone()));
            stepwise.upsert(route);
        }
        let whole = Catalog::new(present.into_iter().map(|(_, route)| route));
        for path in ["/jwks", "/x/jwks", "/keys", "/y/jwks", "/jwks/jwks", "/.well-known/openid-configuration"] {
            for host in [None, Some("a.example"), Some("b.example"), Some("cdn.example"), Some("c.example:1")] {
                prop_assert_eq!(served(&stepwise, path, host), served(&whole, path, host), "{} {:?}", path, host);
            }
        }
    }
}
