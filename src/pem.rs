//! Certificates and private keys in PEM, as TLS needs them: a file is taken whole, or refused with the line.
//!
//! Readers of PEM that skip what they do not know lose certificates: two blocks on one line, an indented one, another
//! label. A chain without its intermediate is then served, or a CA is not trusted, and nothing says so. Here whatever
//! looks like a part of a block was taken, or is an error. The scanner is that of the key files.

mod binary;
mod outside;
#[cfg(test)]
mod tests;

use std::fmt;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use crate::key::{Armoured, PemFault, armoured};

/// Why a PEM file is not taken: the rest of a sentence that begins with the file. It names the line, and nothing of what
/// is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemError {
    line: usize,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Block(PemFault),
    /// No PEM at all.
    Binary {
        what: &'static str,
        /// Empty where none helps.
        command: &'static str,
    },
    /// Two PEM lines on one.
    Glued,
    /// A BEGIN or END line that is none.
    Marker,
    /// Something invisible before BEGIN.
    Mark,
    /// Zero bytes.
    Zero,
    /// A body without its BEGIN and END.
    Bare,
    Label {
        label: &'static str,
        what: &'static str,
    },
    UnknownLabel,
    NotACertificate,
    NotACa,
    SecondKey,
    Encrypted,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, fault } = self;
        let broken = match fault {
            Fault::Block(fault) => &fault.to_string(),
            Fault::Glued => {
                "two PEM lines on one: END and BEGIN each need a line of their own (sed 's/-----BEGIN /\\n&/g' FILE > NEW)"
            }
            Fault::Marker => {
                "BEGIN or END, but not as in -----BEGIN CERTIFICATE-----: correct the line, or remove it"
            }
            Fault::Mark => "a byte order mark or another invisible character before BEGIN: remove it",
            Fault::Zero => "zero bytes, as in UTF-16 text: save it as UTF-8",
            Fault::Bare => {
                "base64 outside of any block: its BEGIN and END lines are missing, or it was encoded twice"
            }
            Fault::Binary { what, command: "" } => {
                return write!(f, "is {what} (line {line}): a file in PEM is needed");
            }
            Fault::Binary { what, command } => {
                return write!(
                    f,
                    "is {what}, not PEM (line {line}): make a new file of it with {command}"
                );
            }
            Fault::Label { label, what } => {
                return write!(f, "holds a block {label:?} (line {line}), {what}");
            }
            Fault::UnknownLabel => {
                return write!(
                    f,
                    "holds a block of an unknown kind (line {line}): CERTIFICATE and PRIVATE KEY are known"
                );
            }
            Fault::NotACertificate => {
                return write!(f, "holds something that is no X.509 certificate (line {line})");
            }
            Fault::NotACa => {
                return write!(f, "holds a certificate that cannot be used as a CA (line {line})");
            }
            Fault::SecondKey => {
                return write!(
                    f,
                    "holds a second private key (line {line}): leave the one that belongs to the certificate"
                );
            }
            Fault::Encrypted => {
                return write!(
                    f,
                    "holds an encrypted private key (line {line}): decrypt it into a new file with openssl pkey -in FILE -out NEW"
                );
            }
        };
        write!(f, "has a broken PEM block (line {line}: {broken})")
    }
}

impl std::error::Error for PemError {}

/// Labels of other blocks, and what to do about them.
const LABELS: &[(&str, &str)] = &[
    (
        "TRUSTED CERTIFICATE",
        "which is OpenSSL's own form: make a new file with openssl crl2pkcs7 -nocrl -certfile FILE | openssl pkcs7 -print_certs \
         -out NEW",
    ),
    (
        "X509 CERTIFICATE",
        "an old label: make a new file with openssl crl2pkcs7 -nocrl -certfile FILE | openssl pkcs7 -print_certs -out NEW",
    ),
    (
        "CERTIFICATE REQUEST",
        "which is no certificate yet: put the one there that the CA makes of it",
    ),
    (
        "NEW CERTIFICATE REQUEST",
        "which is no certificate yet: put the one there that the CA makes of it",
    ),
    ("X509 CRL", "a revocation list, which is not read here: remove it"),
    (
        "PKCS7",
        "make a new file with openssl pkcs7 -print_certs -in FILE -out NEW",
    ),
    (
        "PKCS #7 SIGNED DATA",
        "make a new file with openssl pkcs7 -print_certs -in FILE -out NEW",
    ),
    (
        "CMS",
        "make a new file with sed 's/ CMS-----/ PKCS7-----/' FILE | openssl pkcs7 -print_certs -out NEW",
    ),
    ("PUBLIC KEY", "a public key alone: remove it"),
    ("RSA PUBLIC KEY", "a public key alone: remove it"),
    (
        "OPENSSH PRIVATE KEY",
        "which is OpenSSH's own form: make a new file with cp FILE NEW && ssh-keygen -p -N '' -m PKCS8 -f NEW",
    ),
    (
        "DSA PRIVATE KEY",
        "which TLS no longer uses: make an RSA or EC key",
    ),
];

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Certificate,
    Pkcs8,
    Pkcs1,
    Sec1,
    EncryptedKey,
    /// What other programs want beside the key, and nobody needs here.
    Parameters,
}

/// What a file is read for: others may stand in it beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Certificates,
    Key,
}

/// A certificate, and the line of its BEGIN.
struct Certificate {
    line: usize,
    der: CertificateDer<'static>,
}

/// A private key; wiped when it is dropped.
pub(crate) struct PrivateKey {
    kind: Kind,
    der: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// As rustls takes it: not copied.
    pub(crate) fn der(&self) -> PrivateKeyDer<'_> {
        let der = self.der.as_slice();
        match self.kind {
            Kind::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
            Kind::Sec1 => PrivateSec1KeyDer::from(der).into(),
            _ => PrivatePkcs8KeyDer::from(der).into(),
        }
    }
}

/// The CAs of a file: as they are, and as a verifier wants them.
pub(crate) struct Authorities {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) store: RootCertStore,
}

/// What a file holds.
#[derive(Default)]
struct Contents {
    certificates: Vec<Certificate>,
    keys: Vec<(usize, PrivateKey)>,
    /// The line of a key that is encrypted.
    encrypted: Option<usize>,
}

/// All certificates of a file, in their order. A private key may stand beside them.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = read(text, Wanted::Certificates)?.certificates;
    Ok(found.into_iter().map(|certificate| certificate.der).collect())
}

/// All certificates of a file, to verify others by.
pub(crate) fn authorities(text: &[u8]) -> Result<Authorities, PemError> {
    let mut store = RootCertStore::empty();
    let mut certificates = Vec::new();
    for Certificate { line, der } in read(text, Wanted::Certificates)?.certificates {
        let added = store.add(der.clone());
        added.map_err(|_| at(line, Fault::NotACa))?;
        certificates.push(der);
    }
    Ok(Authorities { certificates, store })
}

/// The one private key of a file, if there is one. Certificates may stand beside it.
pub(crate) fn private_key(text: &[u8]) -> Result<Option<PrivateKey>, PemError> {
    let Contents {
        mut keys, encrypted, ..
    } = read(text, Wanted::Key)?;
    if let Some(line) = encrypted {
        return Err(at(line, Fault::Encrypted));
    }
    if let Some((line, _)) = keys.get(1) {
        return Err(at(*line, Fault::SecondKey));
    }
    Ok(keys.pop().map(|(_, key)| key))
}

/// A certificate chain with its key, which must belong to the first of them.
pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKey,
) -> Result<CertifiedKey, rustls::Error> {
    let certified = CertifiedKey::new(chain, any_supported_type(&key.der())?);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(error),
    }
}

fn read(text: &[u8], wanted: Wanted) -> Result<Contents, PemError> {
    if let Some(fault) = binary::of(text, wanted) {
        return Err(at(1, fault));
    }
    let found: Vec<_> = armoured(text).collect();
    let taken = found.iter().filter_map(|found| found.block.as_ref().ok());
    outside::check(text, taken.map(|block| block.span.clone())).map_err(|error| {
        // What is wrong with a block says more than that it is there.
        let first = found.iter().find_map(|found| {
            let fault = found.block.as_ref().err()?;
            Some(at(found.line, Fault::Block(*fault)))
        });
        match first {
            Some(first) if error.fault == Fault::Marker && first.line <= error.line => first,
            _ => error,
        }
    })?;
    let mut contents = Contents::default();
    for Armoured { line, block } in found {
        let block = block.map_err(|fault| at(line, Fault::Block(fault)))?;
        let kind = kind(block.label).map_err(|fault| at(line, fault))?;
        match kind {
            Kind::Certificate => contents.certificates.push(Certificate {
                line,
                der: certificate(block.body.to_vec()).ok_or(at(line, Fault::NotACertificate))?,
            }),
            Kind::Parameters => {}
            Kind::EncryptedKey => contents.encrypted = contents.encrypted.or(Some(line)),
            _ if block.encrypted => contents.encrypted = contents.encrypted.or(Some(line)),
            kind => {
                let der = block.body;
                contents.keys.push((line, PrivateKey { kind, der }));
            }
        }
    }
    Ok(contents)
}

fn kind(label: &[u8]) -> Result<Kind, Fault> {
    Ok(match label {
        b"CERTIFICATE" => Kind::Certificate,
        b"PRIVATE KEY" => Kind::Pkcs8,
        b"RSA PRIVATE KEY" => Kind::Pkcs1,
        b"EC PRIVATE KEY" => Kind::Sec1,
        b"ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
        b"EC PARAMETERS" | b"DH PARAMETERS" => Kind::Parameters,
        label => {
            let known = LABELS.iter().find(|(known, _)| known.as_bytes() == label);
            return Err(known.map_or(Fault::UnknownLabel, |(label, what)| Fault::Label { label, what }));
        }
    })
}

/// The bytes, if they are one X.509 certificate and nothing else.
fn certificate(der: Vec<u8>) -> Option<CertificateDer<'static>> {
    match x509_parser::parse_x509_certificate(&der) {
        Ok(([], _)) => Some(der.into()),
        _ => None,
    }
}

fn at(line: usize, fault: Fault) -> PemError {
    PemError { line, fault }
}

/// A private key in PEM, in one buffer that is wiped.
pub(crate) fn write_private_key(pkcs8: &[u8]) -> Zeroizing<Vec<u8>> {
    use base64::Engine as _;
    const BEGIN: &[u8] = b"-----BEGIN PRIVATE KEY-----\n";
    const END: &[u8] = b"-----END PRIVATE KEY-----\n";
    const ENGINE: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;
    let length = pkcs8.len().div_ceil(3) * 4;
    let mut body = Zeroizing::new(vec![0; length]);
    // Cannot fail: it is as long as it has to be.
    let written = ENGINE.encode_slice(pkcs8, &mut body).unwrap_or_default();
    let mut pem = Zeroizing::new(Vec::with_capacity(
        BEGIN.len() + length + length.div_ceil(64) + END.len(),
    ));
    pem.extend_from_slice(BEGIN);
    for line in body[..written].chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(END);
    pem
}
