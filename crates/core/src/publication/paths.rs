//! Where an issuer's documents are, and whether issuers can live side by side.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::{Document, IssuerUrl, JwksUri, Publication};

/// Which document a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The discovery document at `…/.well-known/openid-configuration`, in either place (OpenID Connect
    /// Discovery 1.0 section 4, RFC 8414 section 5).
    Discovery,
    /// The same document at `/.well-known/oauth-authorization-server…` (RFC 8414 section 3).
    OauthAuthorizationServer,
    /// The JWKS.
    Jwks,
}

impl Endpoint {
    /// This endpoint's document.
    pub fn document(self, publication: &Publication) -> &Document {
        match self {
            Self::Discovery | Self::OauthAuthorizationServer => &publication.discovery,
            Self::Jwks => &publication.jwks,
        }
    }
}

/// One path at which one document of an issuer is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which document.
    pub endpoint: Endpoint,
    /// The path, exactly as in a request.
    pub path: Cow<'a, str>,
    /// The host of a document's own URL. Where the path is shared, this host means this issuer.
    pub host: &'a str,
    /// Another host by which the document may be asked for: that of the issuer, where the JWKS has a host of
    /// its own whose requests are passed on to ours.
    pub or_host: Option<&'a str>,
}

/// Every path of an issuer, each once. A slash at the end of the issuer is left out of them.
pub fn places<'a>(issuer: &'a IssuerUrl, jwks_uri: &'a JwksUri) -> Vec<Place<'a>> {
    let (host, path) = (issuer.host(), issuer.path());
    let place = |endpoint, path: String| Place {
        endpoint,
        path: path.into(),
        host,
        or_host: None,
    };
    let mut places = vec![
        place(
            Endpoint::Discovery,
            format!("{path}/.well-known/openid-configuration"),
        ),
        place(
            Endpoint::OauthAuthorizationServer,
            format!("/.well-known/oauth-authorization-server{path}"),
        ),
        place(Endpoint::Jwks, format!("{path}/jwks")),
    ];
    if !path.is_empty() {
        places.push(place(
            Endpoint::Discovery,
            format!("/.well-known/openid-configuration{path}"),
        ));
    }
    let elsewhere = !same_host(host, jwks_uri.host());
    if elsewhere || jwks_uri.path() != format!("{path}/jwks") {
        places.push(Place {
            endpoint: Endpoint::Jwks,
            path: jwks_uri.path().into(),
            host: jwks_uri.host(),
            or_host: elsewhere.then_some(host),
        });
    }
    places
}

/// Whether two hosts are the same: without case, port and final dot. Allocates nothing.
pub fn same_host(one: &str, other: &str) -> bool {
    bare_host(one).eq_ignore_ascii_case(bare_host(other))
}

/// A host without port and final dot. Allocates nothing.
pub fn bare_host(host: &str) -> &str {
    let end = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let host = host.get(..end).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

/// Two issuers would be served at one path of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathsCollide {
    /// Place of the first in what was checked.
    pub first: usize,
    /// Place of the second in what was checked; the same as `first` where an issuer collides with itself.
    pub second: usize,
    /// URL of the first.
    pub first_issuer: IssuerUrl,
    /// URL of the second.
    pub second_issuer: IssuerUrl,
    /// The host that both have, without port.
    pub host: String,
    /// The path that both would be served at.
    pub path: String,
}

impl std::error::Error for PathsCollide {}

impl fmt::Display for PathsCollide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first_issuer,
            second_issuer,
            host,
            path,
            ..
        } = self;
        if self.first == self.second {
            return write!(
                f,
                "paths collide: the jwksUri of {first_issuer} is the address of its discovery document, \
                 {host}{path}; give the JWKS a path of its own, such as {}/jwks",
                first_issuer.base()
            );
        }
        if first_issuer == second_issuer {
            return write!(
                f,
                "paths collide: the issuer {first_issuer} is configured twice; remove one"
            );
        }
        write!(
            f,
            "paths collide: {host}{path} would be a document of both {first_issuer} and {second_issuer}"
        )?;
        if first_issuer.path() == second_issuer.path() && same_host(first_issuer.host(), second_issuer.host())
        {
            f.write_str(" (case and port of the host and a slash at the end do not tell them apart)")?;
        }
        f.write_str("; give one of them another path or host")
    }
}

/// Every pair of issuers that cannot be served together, since `Host` could not choose between them; each
/// pair once, with the first path that they share.
pub fn collisions(issuers: &[(&IssuerUrl, &JwksUri)]) -> Vec<PathsCollide> {
    let mut taken: HashMap<(String, Cow<'_, str>), (usize, Endpoint)> = HashMap::new();
    let mut reported = BTreeSet::new();
    let mut found = Vec::new();
    for (second, (issuer, jwks_uri)) in issuers.iter().enumerate() {
        for place in places(issuer, jwks_uri) {
            let host = bare_host(place.host).to_ascii_lowercase();
            let key = (host, place.path);
            let Some(&(first, endpoint)) = taken.get(&key) else {
                taken.insert(key, (second, place.endpoint));
                continue;
            };
            let harmless = first == second && endpoint == place.endpoint;
            if !harmless && reported.insert((first, second)) {
                found.push(PathsCollide {
                    first,
                    second,
                    first_issuer: issuers
                        .get(first)
                        .map_or(issuer, |(first, _)| first)
                        .to_owned()
                        .clone(),
                    second_issuer: (*issuer).clone(),
                    host: key.0,
                    path: key.1.into_owned(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> (IssuerUrl, JwksUri) {
        let issuer = IssuerUrl::parse(text).unwrap();
        let jwks_uri = JwksUri::of(&issuer);
        (issuer, jwks_uri)
    }

    fn with_jwks(text: &str, jwks_uri: &str) -> (IssuerUrl, JwksUri) {
        (IssuerUrl::parse(text).unwrap(), JwksUri::parse(jwks_uri).unwrap())
    }

    fn paths_of((issuer, jwks_uri): &(IssuerUrl, JwksUri)) -> Vec<(Endpoint, String)> {
        places(issuer, jwks_uri)
            .into_iter()
            .map(|place| (place.endpoint, place.path.into_owned()))
            .collect()
    }

    fn check(issuers: &[(IssuerUrl, JwksUri)]) -> Vec<String> {
        let borrowed: Vec<_> = issuers
            .iter()
            .map(|(issuer, jwks_uri)| (issuer, jwks_uri))
            .collect();
        collisions(&borrowed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_issuer_with_a_path_is_served_at_both_rfc_8414_forms_too() {
        use Endpoint::{Discovery, Jwks, OauthAuthorizationServer};
        let expected = vec![
            (Discovery, "/a/b/.well-known/openid-configuration".to_owned()),
            (
                OauthAuthorizationServer,
                "/.well-known/oauth-authorization-server/a/b".to_owned(),
            ),
            (Jwks, "/a/b/jwks".to_owned()),
            (Discovery, "/.well-known/openid-configuration/a/b".to_owned()),
        ];
        assert_eq!(paths_of(&issuer("https://h.example/a/b")), expected);
        assert_eq!(paths_of(&issuer("https://h.example/a/b/")), expected);
    }

    #[test]
    fn an_issuer_without_a_path_has_three_places() {
        use Endpoint::{Discovery, Jwks, OauthAuthorizationServer};
        assert_eq!(
            paths_of(&issuer("https://h.example/")),
            vec![
                (Discovery, "/.well-known/openid-configuration".to_owned()),
                (
                    OauthAuthorizationServer,
                    "/.well-known/oauth-authorization-server".to_owned()
                ),
                (Jwks, "/jwks".to_owned()),
            ]
        );
    }

    #[test]
    fn the_path_of_a_configured_jwks_uri_is_served_beside_the_usual_one() {
        let (issuer, jwks_uri) = with_jwks("https://h.example/a", "https://cdn.example/keys.json?v=2");
        let jwks: Vec<_> = places(&issuer, &jwks_uri)
            .into_iter()
            .filter(|place| place.endpoint == Endpoint::Jwks)
            .map(|place| (place.path.into_owned(), place.host, place.or_host))
            .collect();
        assert_eq!(
            jwks,
            [
                ("/a/jwks".to_owned(), "h.example", None),
                ("/keys.json".to_owned(), "cdn.example", Some("h.example")),
            ]
        );
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_final_dot() {
        for other in [
            "h.example",
            "H.Example",
            "h.example.",
            "h.example:8443",
            "h.example.:1",
        ] {
            assert!(same_host("h.example", other), "{other}");
        }
        assert!(same_host("[2001:DB8::1]:8443", "[2001:db8::1]"));
        for other in ["", "h.example..", "x.h.example", "h.exampl", "[::1]"] {
            assert!(!same_host("h.example", other), "{other}");
        }
    }

    #[test]
    fn issuers_on_different_paths_or_hosts_live_side_by_side() {
        assert!(
            check(&[
                issuer("https://h.example"),
                issuer("https://h.example/a"),
                issuer("https://h.example/A"),
                issuer("https://h.example/a/jwks"),
                issuer("https://other.example/a"),
                with_jwks("https://h.example/b", "https://cdn-b.example/jwks"),
                with_jwks("https://h.example/c", "https://cdn-c.example/jwks"),
            ])
            .is_empty()
        );
    }

    #[test]
    fn issuers_whose_document_paths_collide_on_one_host_are_refused() {
        insta::assert_snapshot!(
            check(&[
                issuer("https://h.example/a"),
                issuer("https://h.example/a/"),
                issuer("https://H.example:8443/a"),
                issuer("https://other.example"),
                issuer("https://other.example"),
                with_jwks("https://third.example", "https://other.example/jwks"),
                with_jwks("https://fourth.example", "https://fourth.example/.well-known/openid-configuration"),
            ])
            .join("\n"),
            @r"
        paths collide: h.example/a/.well-known/openid-configuration would be a document of both https://h.example/a and https://h.example/a/ (case and port of the host and a slash at the end do not tell them apart); give one of them another path or host
        paths collide: h.example/a/.well-known/openid-configuration would be a document of both https://h.example/a and https://H.example:8443/a (case and port of the host and a slash at the end do not tell them apart); give one of them another path or host
        paths collide: the issuer https://other.example is configured twice; remove one
        paths collide: other.example/jwks would be a document of both https://other.example and https://third.example; give one of them another path or host
        paths collide: the jwksUri of https://fourth.example is the address of its discovery document, fourth.example/.well-known/openid-configuration; give the JWKS a path of its own, such as https://fourth.example/jwks
        ");
    }
}
