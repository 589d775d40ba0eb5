//! What is valid, and worth a second thought all the same. Told at the start, by `config check`, and at a reload.

use std::net::IpAddr;

use jiff::SignedDuration;
use url::Url;

use super::Settings;
use super::duration::show;
use crate::issuer::{IssuerSettings, IssuerSource};
use crate::ring::{Confirmation, NewKeys};
use crate::source::SourceSettings;
use crate::store::StoreSettings;

/// All of it, in the order of the issuers.
pub(super) fn of(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.store_is_file {
        warnings.push(
            "store.file: ledgers are kept in a database now, and those in the folder are taken over at the start. Write \
             store.sqlite, or leave it out: the next release refuses store.file"
                .to_owned(),
        );
    }
    for issuer in &settings.issuers {
        warnings.extend(forgets(settings, issuer));
        warnings.extend(about_url(
            issuer.profile.issuer.as_str(),
            issuer.profile.issuer.host(),
        ));
        let jwks = &issuer.profile.jwks_uri;
        if jwks.host() != issuer.profile.issuer.host() && !is_local(jwks.host()) {
            // Nobody compares it: only whether it can be reached counts.
            warnings.extend(about_host(jwks.host()).map(|message| format!("jwksUri {jwks}: {message}")));
        }
    }
    warnings.extend(long_round(settings));
    warnings
}

/// All sources over the network need so long to be read once, and caches ask for the keys more often.
fn long_round(settings: &Settings) -> Option<String> {
    let shortest = settings.issuers.iter();
    let shortest = shortest.min_by_key(|issuer| issuer.profile.jwks_cache.max_age)?;
    let max_age = shortest.profile.jwks_cache.max_age;
    let sources = settings.issuers.iter().flat_map(|issuer| &issuer.sources);
    let remote = |source: &&IssuerSource| {
        matches!(
            source.settings,
            SourceSettings::ApiServer(_) | SourceSettings::Jwks(_)
        )
    };
    let reads = i64::try_from(sources.filter(remote).count()).ok()?;
    let per_second = i64::from(settings.reads.per_second);
    let seconds = reads.checked_div(per_second)? + i64::from(reads % per_second != 0);
    let round = SignedDuration::from_secs(seconds);
    (round > max_age).then(|| {
        format!(
            "a round over all sources takes at least {}: {reads} sources (apiServer, jwks) / {per_second} reads a second \
             (limits.reads.perSecond); that is longer than cache.jwks.maxAge {} of {}, so what they list is noticed later \
             than caches ask for it. Raise limits.reads.perSecond or maxAge, or divide the issuers among several services",
            show(round),
            show(max_age),
            shortest.profile.issuer
        )
    })
}

fn forgets(settings: &Settings, issuer: &IssuerSettings) -> Option<String> {
    let manual = |source: &IssuerSource| source.confirmation == Confirmation::Manual;
    let waits = issuer.rules.new_keys == NewKeys::Approve || issuer.sources.iter().any(manual);
    (settings.store == StoreSettings::Memory && waits).then(|| {
        format!(
            "{} waits for operators (newKeys: approve, confirmation: manual), but store.memory forgets by a restart \
             what they approved and revoked: then whatever its sources list first is published. Keep it in \
             store.sqlite or a shared store",
            issuer.profile.issuer
        )
    })
}

const ADVICE: &str = "it must be the issuer of the tokens to the letter, so change it there too";

/// What some verifiers stumble over in the URL of an issuer. A trial on this machine has none of it.
fn about_url(url: &str, host: &str) -> Vec<String> {
    if is_local(host) {
        return Vec::new();
    }
    let spelling = normal(url).map(|normal| match normal {
        Ok(normal) => format!(
            "{url}: URL libraries write it as {normal} ({}), and verifiers that use one then find another issuer. Write it \
             so; {ADVICE}",
            difference(url, host)
        ),
        Err(error) => format!(
            "{url}: URL libraries refuse it ({error}), and with them verifiers. Correct it; {ADVICE}"
        ),
    });
    let reach = about_host(host).map(|message| format!("{url}: {message}; {ADVICE}"));
    spelling.into_iter().chain(reach).collect()
}

/// What keeps verifiers from the host of a URL, with what to do.
fn about_host(host: &str) -> impl Iterator<Item = String> {
    let is_address = address(host).is_some();
    let name = host.trim_end_matches('.');
    [
        is_address.then(|| {
            "the host is an IP address, which few CAs certify and some verifiers refuse. Use a DNS name".to_owned()
        }),
        (!is_address && !name.contains('.')).then(|| {
            format!("the host {host} is a single label, which verifiers elsewhere cannot resolve. Use a full DNS name")
        }),
        is_of_cluster(name).then(|| {
            format!(
                "the host {host} is known within a cluster alone, and verifiers elsewhere cannot resolve it. Use a public \
                 DNS name"
            )
        }),
        (host.ends_with('.')).then(|| {
            format!(
                "the host {host} ends in a dot, which some verifiers leave out, and no certificate has. Leave it out"
            )
        }),
        name.contains('_').then(|| {
            format!(
                "the host {host} has an underscore, which public CAs do not certify and some verifiers refuse. Use \
                 letters, digits and hyphens"
            )
        }),
    ]
    .into_iter()
    .flatten()
}

/// As the WHATWG URL Standard writes a URL, where that differs: most URL libraries follow it.
fn normal(url: &str) -> Option<Result<String, url::ParseError>> {
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed.to_string(),
        Err(error) => return Some(Err(error)),
    };
    // Without a path they add a slash, whatever the issuer is: verifiers have to live with that.
    let is_same = parsed == url || parsed.strip_suffix('/') == Some(url);
    (!is_same).then(|| {
        let slash = if url.ends_with('/') { "" } else { "/" };
        Ok(parsed.strip_suffix(slash).unwrap_or(&parsed).to_owned())
    })
}

/// What of a URL is spelled in another way than libraries do.
fn difference(url: &str, host: &str) -> &'static str {
    let after_host = url.split_once(host).map_or("", |(_, rest)| rest);
    let port = after_host
        .strip_prefix(':')
        .map(|rest| rest.split('/').next().unwrap_or_default());
    match port {
        _ if host.bytes().any(|octet| octet.is_ascii_uppercase()) => "the host in lower case",
        Some(port) if port.trim_start_matches('0') == "443" => "without the port of https, 443",
        Some(port) if port.starts_with('0') => "the port without zeros before it",
        _ if address(host).is_some() => "the address in its shortest form",
        _ => "in its usual form",
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']', '.']).parse().ok()
}

/// A trial on this machine.
fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

fn is_of_cluster(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    [".svc", ".cluster.local"].iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::IssuerUrl;

    fn said(url: &str) -> String {
        let issuer = IssuerUrl::parse(url).unwrap();
        about_url(issuer.as_str(), issuer.host()).join("\n")
    }

    #[test]
    fn an_issuer_url_that_verifiers_may_stumble_over_is_warned_of() {
        for (url, what) in [
            (
                "https://a.example.com:443/x",
                "as https://a.example.com/x (without the port of https, 443)",
            ),
            ("https://a.example.com:443", "as https://a.example.com (without"),
            ("https://a.example.com:443/", "as https://a.example.com/ (without"),
            (
                "https://a.example.com:0443/x",
                "as https://a.example.com/x (without",
            ),
            (
                "https://a.example.com:08443/x",
                "as https://a.example.com:8443/x (the port without zeros",
            ),
            ("https://a.example.com./x", "ends in a dot"),
            ("https://a_b.example.com", "underscore"),
            // No punycode: the label says nothing, or something that is written without it.
            ("https://xn--a.example.com", "URL libraries refuse it"),
            // To such libraries a last label in hexadecimal makes an IPv4 address.
            ("https://1.0x7f", "as https://1.0.0.127 (in its usual form)"),
            (
                "https://A.EXAMPLE.com/B",
                "as https://a.example.com/B (the host in lower case)",
            ),
            ("https://A.example.com", "lower case"),
            ("https://192.0.2.1/a", "IP address"),
            ("https://[2001:db8::1]", "IP address"),
            ("https://oidc", "single label"),
            ("https://oidc:8443/a", "single label"),
            ("https://kubernetes.default.svc", "within a cluster"),
            ("https://kubernetes.default.svc.cluster.local", "within a cluster"),
        ] {
            let said = said(url);
            assert!(said.contains(what) && said.lines().count() == 1, "{url}: {said}");
        }
        for url in [
            "https://a.example.com",
            "https://a.example.com:8443/B",
            "https://a.example.com/443",
            "https://localhost:8443",
            "https://127.0.0.1:443",
            "https://[::1]/a",
            "https://localhost.:0443/a",
            "https://xn--bcher-kva.example.com/a",
            "https://a.example.com/",
            "https://a.example.com/a'b~c/",
        ] {
            assert_eq!(said(url), "", "{url}");
        }
    }
}
