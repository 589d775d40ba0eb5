//! Who gives a command.

use std::net::SocketAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::host;

/// The longest name that is taken from a certificate, in characters.
const MAX_NAME: usize = 200;

/// Whoever is at the other end of a connection, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// `root on node-a`, `alice by certificate on node-a`: the machine is the one that took the command.
    pub(super) by: String,
    /// Which way.
    pub(super) via: String,
}

impl Peer {
    /// At the socket: the kernel says which user, if it knows.
    pub(super) fn of_user(uid: Option<u32>) -> Self {
        let user = uid.map_or_else(|| "an unknown user".to_owned(), host::user);
        Self {
            by: format!("{user} on {}", host::name()),
            via: "socket".to_owned(),
        }
    }

    /// By a certificate, which the handshake has checked.
    pub(super) fn of_certificate(certificate: Option<&CertificateDer<'_>>, from: Option<SocketAddr>) -> Self {
        let name = certificate.and_then(subject);
        let name = name.unwrap_or_else(|| "a certificate without a name".to_owned());
        Self {
            by: format!("{name} by certificate on {}", host::name()),
            via: from.map_or_else(
                || "mutual TLS".to_owned(),
                |from| format!("mutual TLS from {from}"),
            ),
        }
    }
}

/// The common name of a certificate, else its first alternative name.
fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let mut common = certificate.subject().iter_common_name();
    let common = common.find_map(|name| name.as_str().ok()).map(str::to_owned);
    let alternative = || {
        let names = certificate.subject_alternative_name().ok()??;
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
    };
    let name = common
        .filter(|name| !name.trim().is_empty())
        .or_else(alternative)?;
    // It goes into logs and tables.
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    Some(name.chars().map(shown).take(MAX_NAME).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common: &str, alternative: &[&str]) -> CertificateDer<'static> {
        let names: Vec<_> = alternative.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_named_by_its_common_name_else_by_its_first_other_one() {
        let name = |common, alternative: &[&str]| subject(&certificate(common, alternative));
        assert_eq!(name("alice", &["a.example"]).as_deref(), Some("alice"));
        assert_eq!(
            name("", &["a.example", "b.example"]).as_deref(),
            Some("a.example")
        );
        assert_eq!(name("", &[]), None);
        let forged = name("alice\nroot\u{1b}[0m", &[]);
        assert_eq!(forged.as_deref(), Some("alice\u{fffd}root\u{fffd}[0m"));
    }

    #[test]
    fn a_user_of_the_socket_is_named_with_the_machine() {
        let by = Peer::of_user(Some(0)).by;
        assert!(by.starts_with("root on ") || by.starts_with("uid 0 on "), "{by}");
    }
}
