//! Why a certificate that the other side showed is refused, in words.
//!
//! What rustls says of the rarer causes is the name of a variant of its verifier: `Other(OtherError(…))`.

use rustls::{CertificateError, OtherError};
use rustls_pki_types::CertificateDer;
use x509_parser::x509::X509Version;

const VERSION_1: &str = "it is an X.509 certificate of version 1 (or 2), which has no extensions and is accepted by few: \
                         sign it once more with extensions (openssl x509 -req with -extfile)";

/// What is wrong, as a clause: `it has expired`.
pub(crate) fn refusal(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::BadEncoding => "it cannot be read",
        E::Expired | E::ExpiredContext { .. } => "it has expired: renew it",
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet: compare the clocks of both machines"
        }
        E::Revoked => "it is revoked",
        E::UnknownIssuer => "it is signed by an unknown CA, or an intermediate certificate is missing",
        E::BadSignature => "its signature is wrong: it is signed by another CA of the same name",
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another name",
        E::UnhandledCriticalExtension => "it has a critical extension that is not known here",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its extendedKeyUsage is for something else: a client needs clientAuth, a server serverAuth"
        }
        E::Other(OtherError(inner)) => return other(&format!("{inner:?}")),
        other => {
            let said = format!("{other:?}");
            let name = said.split(|c: char| !c.is_ascii_alphanumeric()).next();
            return format!("it is refused ({})", spaced(name.unwrap_or_default()));
        }
    }
    .to_owned()
}

/// By the name of a variant of webpki.
fn other(variant: &str) -> String {
    let name = variant
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    match name {
        "UnsupportedCertVersion" => VERSION_1.to_owned(),
        "CaUsedAsEndEntity" => {
            "it is the certificate of a CA: use one that the CA has signed, with basicConstraints CA:FALSE"
                .to_owned()
        }
        "EndEntityUsedAsCa" => {
            "it is signed by a certificate that is none of a CA: that one needs basicConstraints CA:TRUE"
                .to_owned()
        }
        "NameConstraintViolation" => "its CA may not sign for this name (nameConstraints)".to_owned(),
        "PathLenConstraintViolated" => "its CA may have fewer intermediates (pathLenConstraint)".to_owned(),
        "EmptyEkuExtension" => "its extendedKeyUsage is empty".to_owned(),
        name => format!("it is refused ({})", spaced(name)),
    }
}

/// `NameOfAVariant` as words.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

/// Why a certificate of our own will be refused by the other side, as far as that can be seen.
pub(crate) fn doubt(certificate: &CertificateDer<'_>) -> Option<&'static str> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    (parsed.version() != X509Version::V3).then_some(VERSION_1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn no_refusal_is_a_debug_print() {
        use CertificateError as E;
        #[derive(Debug)]
        struct UnsupportedCertVersion;
        impl std::fmt::Display for UnsupportedCertVersion {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                Ok(())
            }
        }
        impl std::error::Error for UnsupportedCertVersion {}
        let version = E::Other(OtherError(Arc::new(UnsupportedCertVersion)));
        assert!(refusal(&version).contains("version 1") && refusal(&version).contains("-extfile"));
        for error in [
            version,
            E::BadEncoding,
            E::Revoked,
            E::UnhandledCriticalExtension,
            E::UnknownRevocationStatus,
            E::ApplicationVerificationFailure,
            E::InvalidPurpose,
            E::InvalidOcspResponse,
        ] {
            let told = refusal(&error);
            assert!(told.starts_with("it ") || told.starts_with("its "), "{told}");
            assert!(
                !told.contains(&format!("{error:?}")) && !told.contains("Other"),
                "{told}"
            );
        }
        for variant in ["CaUsedAsEndEntity", "TrailingData(X)", "MalformedExtensions"] {
            assert!(!other(variant).contains(variant), "{variant}");
        }
    }
}
