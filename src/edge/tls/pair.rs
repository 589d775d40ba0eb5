//! A certificate chain and its key, checked before they are shown to anyone.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error as TlsError, InconsistentKeys};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::edge::EdgeError;
use crate::{fs, pem};

/// A pair that matches and is valid at the time of the check.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// What clients may stumble over all the same.
    pub(super) doubt: Option<String>,
}

/// The two files as they were read. Holds a private key: no `Debug`.
pub(super) struct Files {
    /// A key may stand beside the certificates.
    pub(super) cert: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// Tells whether files changed, without keeping a private key for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Files {
    pub(super) fn read(cert: &Path, key: &Path) -> Result<Self, EdgeError> {
        Ok(Self {
            cert: text(cert)?,
            key: text(key)?,
        })
    }

    /// The same for a start, which must not hang.
    pub(super) fn read_soon(cert: &Path, key: &Path) -> Result<Self, EdgeError> {
        let (path, key) = (cert.to_owned(), key.to_owned());
        let read = fs::soon(move || Self::read(&path, &key));
        read.map_err(|error| EdgeError::Unreadable {
            path: cert.to_owned(),
            error,
        })?
    }

    /// Reads and checks them: all that is wrong, while [`Files::pair`] ends at the first. Blocks.
    pub(super) fn judged(cert: &Path, key: &Path, now: Timestamp) -> Result<Pair, Vec<EdgeError>> {
        let of_cert = text(cert).and_then(|text| chain(&text, cert).map(|_| text));
        let of_key = text(key).and_then(|text| signing(&text, key).map(|_| text));
        match (of_cert, of_key) {
            (Ok(cert_text), Ok(key_text)) => Self {
                cert: cert_text,
                key: key_text,
            }
            .pair(cert, key, now)
            .map_err(|error| vec![error]),
            (cert, key) => Err(cert.err().into_iter().chain(key.err()).collect()),
        }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(self.cert.len().to_be_bytes());
        hash.update(&self.cert);
        hash.update(&self.key);
        Fingerprint(hash.finalize().into())
    }

    /// Checks them. The paths are for the error.
    pub(super) fn pair(&self, cert: &Path, key: &Path, now: Timestamp) -> Result<Pair, EdgeError> {
        let chain = chain(&self.cert, cert)?;
        let leaf = leaf(&chain, cert)?;
        let signing = signing(&self.key, key)?;
        let not_before = timestamp(leaf.validity().not_before);
        let not_after = timestamp(leaf.validity().not_after);
        let doubt = doubt(&leaf, &chain);
        let certified = CertifiedKey::new(chain.clone(), signing);
        match certified.keys_match() {
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(TlsError::InconsistentKeys(_)) => {
                return Err(EdgeError::Mismatch {
                    cert: cert.to_owned(),
                    key: key.to_owned(),
                });
            }
            Err(error) => {
                let problem = format!("holds a certificate that cannot be used ({error})");
                return Err(bad_certificate(cert, problem));
            }
        }
        if now > not_after {
            return Err(EdgeError::Expired {
                path: cert.to_owned(),
                at: not_after,
            });
        }
        if now < not_before {
            return Err(EdgeError::NotYetValid {
                path: cert.to_owned(),
                at: not_before,
            });
        }
        Ok(Pair {
            certified: Arc::new(certified),
            not_before,
            not_after,
            doubt,
        })
    }
}

fn text(path: &Path) -> Result<Zeroizing<Vec<u8>>, EdgeError> {
    fs::read(path, fs::MAX_PEM).map_err(|error| EdgeError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn bad_certificate(path: &Path, problem: String) -> EdgeError {
    EdgeError::BadCertificate {
        path: path.to_owned(),
        problem,
    }
}

/// The certificates in a text: at least one, and the first is X.509.
fn chain(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let chain = pem::certificates(text).map_err(|error| bad_certificate(path, error.to_string()))?;
    leaf(&chain, path)?;
    Ok(chain)
}

fn leaf<'c>(chain: &'c [CertificateDer<'_>], path: &Path) -> Result<X509Certificate<'c>, EdgeError> {
    let leaf = chain.first().map(parse).transpose();
    leaf.and_then(|leaf| leaf.ok_or_else(|| "holds no certificate".to_owned()))
        .map_err(|problem| bad_certificate(path, problem))
}

/// The private key in a text.
fn signing(text: &[u8], path: &Path) -> Result<Arc<dyn SigningKey>, EdgeError> {
    let bad = |problem: String| EdgeError::BadKey {
        path: path.to_owned(),
        problem,
    };
    let private = pem::private_key(text).map_err(|error| bad(error.to_string()))?;
    let private = private.ok_or_else(|| bad("holds no private key".to_owned()))?;
    any_supported_type(&private.der())
        .map_err(|error| bad(format!("holds a private key that cannot be used ({error})")))
}

pub(super) fn parse<'c>(der: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, String> {
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("has octets after the end of its certificate".to_owned()),
        Err(_) => Err("holds something that is no X.509 certificate".to_owned()),
    }
}

pub(super) fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// What some clients will refuse although others do not: they fetch what is missing, or have it already.
fn doubt(leaf: &X509Certificate<'_>, chain: &[CertificateDer<'_>]) -> Option<String> {
    let no_names = match leaf.subject_alternative_name() {
        Ok(names) => names.is_none_or(|names| names.value.general_names.is_empty()),
        Err(_) => true,
    };
    if no_names {
        return Some("names no host in subjectAltName: no client will accept it".to_owned());
    }
    // CAs that have intermediates say where to fetch them.
    let fetchable = leaf
        .extensions()
        .iter()
        .any(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.1");
    if chain.len() == 1 && fetchable && leaf.issuer().as_raw() != leaf.subject().as_raw() {
        return Some(
            "holds the server's certificate alone: if its CA has intermediates, append them, \
             since many verifiers do not fetch them"
                .to_owned(),
        );
    }
    let parsed: Vec<_> = chain.iter().filter_map(|der| parse(der).ok()).collect();
    let in_order = parsed.windows(2).all(|two| match two {
        [below, above] => below.issuer().as_raw() == above.subject().as_raw(),
        _ => true,
    });
    (!in_order).then(|| {
        "holds certificates that do not follow from one another: put each one's issuer after it".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, Issuer, KeyPair};

    use super::*;

    /// A certificate of this name by an issuer of that name; with where to fetch the issuer's, if asked.
    fn signed(name: &str, by: &str, fetchable: bool) -> CertificateDer<'static> {
        let named = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut params = named(name);
        if fetchable {
            let empty_list = vec![0x30, 0x00];
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&oid, empty_list));
        }
        let issuer = Issuer::new(named(by), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        certificate.der().clone()
    }

    fn doubt_of(chain: &[CertificateDer<'_>]) -> String {
        doubt(&parse(&chain[0]).unwrap(), chain).unwrap_or_default()
    }

    #[test]
    fn a_certificate_whose_ca_has_intermediates_is_doubted_without_them() {
        let (alone, intermediate) = (
            signed("host", "intermediate", true),
            signed("intermediate", "root", true),
        );
        assert!(doubt_of(std::slice::from_ref(&alone)).contains("append them"));
        assert_eq!(doubt_of(&[alone, intermediate]), "");
        assert_eq!(doubt_of(&[signed("host", "private root", false)]), "");
        assert_eq!(doubt_of(&[signed("host", "host", true)]), "");
    }

    #[test]
    fn a_chain_in_another_order_is_doubted() {
        let chain = [
            signed("host", "one", true),
            signed("two", "root", true),
            signed("one", "two", true),
        ];
        assert!(doubt_of(&chain).contains("put each one's issuer after it"));
    }

    #[test]
    fn a_certificate_without_names_is_doubted() {
        let key = KeyPair::generate().unwrap();
        let nameless = CertificateParams::default().self_signed(&key).unwrap();
        assert!(doubt_of(&[nameless.der().clone()]).contains("subjectAltName"));
    }
}
