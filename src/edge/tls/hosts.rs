//! Whether the certificates of the listeners name the hosts of the issuers (RFC 9525): what every verifier checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};

use super::TlsSettings;
use super::pair::Files;
use crate::display;
use crate::edge::ListenerSettings;

/// The hosts that are expected, and the certificates from files that are shown. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    expected: Vec<String>,
    leaves: BTreeMap<PathBuf, CertificateDer<'static>>,
}

impl Hosts {
    /// What certificates in files say, for a command that opens no listener. What cannot be read is left out.
    pub fn of_files(listeners: &[ListenerSettings], expected: Vec<String>, now: Timestamp) -> Self {
        let hosts = Self::default();
        hosts.expect(expected);
        for listener in listeners {
            if let Some(TlsSettings::Files { cert, key }) = &listener.tls {
                let pair = Files::read(cert, key).and_then(|files| files.pair(cert, key, now));
                if let Some(leaf) = pair.ok().and_then(|pair| pair.certified.cert.first().cloned()) {
                    hosts.show(cert, leaf);
                }
            }
        }
        hosts
    }

    /// The hosts of the issuers from now on, without brackets.
    pub fn expect(&self, expected: Vec<String>) {
        self.with(|inner| inner.expected = expected);
    }

    /// A certificate that is shown from now on.
    pub(super) fn show(&self, path: &Path, leaf: CertificateDer<'static>) {
        self.with(|inner| inner.leaves.insert(path.to_owned(), leaf));
    }

    /// The hosts that no certificate names, for a person. None where no certificate is from a file.
    pub fn warnings(&self) -> Vec<String> {
        self.with(|inner| {
            let unnamed = inner.expected.iter().filter(|host| {
                !inner.leaves.is_empty() && !inner.leaves.values().any(|leaf| names(leaf, host))
            });
            let paths: Vec<_> = inner
                .leaves
                .keys()
                .map(display::path)
                .collect();
            unnamed
                .map(|host| {
                    format!(
                        "the certificate in {} does not name {host}, the host of an issuer, in subjectAltName: every \
                         verifier refuses it. Use one that does (the common name does not count)",
                        paths.join(", ")
                    )
                })
                .collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn names(leaf: &CertificateDer<'static>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host.trim_end_matches('.')) else {
        return false;
    };
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn hosts(names: &[&str], expected: &str) -> Vec<String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "common.example.com");
        let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let hosts = Hosts::default();
        hosts.expect(vec![expected.to_owned()]);
        assert_eq!(
            hosts.warnings(),
            Vec::<String>::new(),
            "no certificate, no warning"
        );
        hosts.show(Path::new("/tls.crt"), leaf.der().clone());
        hosts.warnings()
    }

    #[test]
    fn a_certificate_names_a_host_by_name_wildcard_or_address_and_never_by_its_common_name() {
        for (names, host) in [
            (&["a.example.com"][..], "a.example.com"),
            (&["a.example.com"], "A.Example.com"),
            (&["*.example.com"], "a.example.com"),
            (&["b.example.com", "a.example.com"], "a.example.com"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8:0::1"),
        ] {
            assert_eq!(hosts(names, host), Vec::<String>::new(), "{names:?} for {host}");
        }
        for (names, host) in [
            (&["localhost"][..], "a.example.com"),
            (&["*.example.com"], "a.b.example.com"),
            (&["*.example.com"], "example.com"),
            (&["a.example.com"], "common.example.com"),
            (&["192.0.2.2"], "192.0.2.1"),
        ] {
            let warnings = hosts(names, host);
            assert!(
                warnings.len() == 1 && warnings[0].contains(host),
                "{names:?} for {host}: {warnings:?}"
            );
        }
    }
}
