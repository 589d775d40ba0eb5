//! What is valid, and worth a second thought all the same. Told at the start, by `config check`, and at a reload.

use std::net::IpAddr;

use super::Settings;
use crate::issuer::{IssuerSettings, IssuerSource};
use crate::ring::{Confirmation, NewKeys};
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
    }
    warnings
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

/// What some verifiers stumble over in the URL of an issuer. A trial on this machine has none of it.
fn about_url(url: &str, host: &str) -> Vec<String> {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback());
    if is_local {
        return Vec::new();
    }
    let after_host = url.split_once(host).map_or("", |(_, rest)| rest);
    let port = after_host
        .strip_prefix(':')
        .map(|rest| rest.split('/').next().unwrap_or_default());
    let advice = "it must be the issuer of the tokens to the letter, so change it there too";
    [
        (port == Some("443")).then(|| {
            format!("{url}: some verifiers leave out the port :443 and then find another issuer. Leave it out; {advice}")
        }),
        host.bytes().any(|octet| octet.is_ascii_uppercase()).then(|| {
            format!("{url}: some verifiers write the host {host} in lower case and then find another issuer. Write it so; {advice}")
        }),
        address.is_some().then(|| {
            format!("{url}: the host is an IP address, which few CAs certify and some verifiers refuse. Use a DNS name; {advice}")
        }),
        (address.is_none() && !host.trim_end_matches('.').contains('.')).then(|| {
            format!("{url}: the host {host} is a single label, which verifiers elsewhere cannot resolve. Use a full DNS name; {advice}")
        }),
        is_of_cluster(host).then(|| {
            format!("{url}: the host {host} is known within a cluster alone, and verifiers elsewhere cannot resolve it. Use a public DNS name; {advice}")
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
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
            ("https://a.example.com:443/x", ":443"),
            ("https://a.example.com:443", ":443"),
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
        ] {
            assert_eq!(said(url), "", "{url}");
        }
    }
}
