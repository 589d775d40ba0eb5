//! A certificate authority of our own and a certificate from it, so that HTTPS works without any other.
//!
//! Clients trust it with `ca.crt` (`curl --cacert`), which stays the same while the certificate is renewed.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions, remove_file, rename};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use tracing::{info, warn};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use zeroize::Zeroizing;

use super::pair::{Files, Pair, parse, timestamp};
use crate::edge::EdgeError;
use crate::{display, fs, pem};

/// What clients trust.
pub(super) const CA: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
/// What the server sends.
pub(super) const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

const CA_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Valid since before it was made, for clients whose clocks are behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// The pair in the folder: made if there is none, or it names other hosts, or two thirds of its life are over.
pub(super) fn open(folder: &Path, names: &[String], now: Timestamp) -> Result<Pair, EdgeError> {
    let error = |problem: String| EdgeError::SelfSigned {
        folder: folder.to_owned(),
        problem,
    };
    let names = all_names(names);
    let (cert, key) = (folder.join(CERT), folder.join(KEY));
    if let Ok(files) = Files::read(&cert, &key)
        && let Ok(pair) = files.pair(&cert, &key, now)
        && let Ok(ca) = read_certificate(&folder.join(CA))
        && serves(&pair, &ca, &names, now)
    {
        return Ok(pair);
    }
    let authority = authority(folder, now).map_err(error)?;
    let files = issue(&authority, &names, now).map_err(|problem| error(problem.to_string()))?;
    let write = |name: &str, content: &[u8], mode| write(folder, name, content, mode).map_err(error);
    write(KEY, &files.key, 0o600)?;
    write(CERT, &files.cert, 0o644)?;
    let pair = files.pair(&cert, &key, now)?;
    info!(certificate = %display::path(cert), valid_until = %pair.not_after, "made a self-signed certificate");
    Ok(pair)
}

fn all_names(configured: &[String]) -> BTreeSet<String> {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    configured
        .iter()
        .cloned()
        .chain(loopback)
        .map(|name| normal(&name))
        .collect()
}

/// One spelling of an address or a name.
fn normal(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
    }
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, String> {
    let name = display::path(path);
    let text = fs::read(path, fs::MAX_PEM).map_err(|error| format!("{name}: {error}"))?;
    let found = pem::certificates(&text).map_err(|error| format!("{name} {error}"))?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| format!("{name} holds no certificate"))
}

/// Whether a pair is from this CA, for these names, and not due for renewal.
fn serves(pair: &Pair, ca: &CertificateDer<'_>, names: &BTreeSet<String>, now: Timestamp) -> bool {
    let Some(leaf) = pair
        .certified
        .end_entity_cert()
        .ok()
        .and_then(|der| parse(der).ok())
    else {
        return false;
    };
    let Ok(ca) = parse(ca) else { return false };
    let life = pair.not_after.duration_since(pair.not_before);
    now.duration_since(pair.not_before) < life * 2 / 3 && issued_by(&leaf, &ca) && names_of(&leaf) == *names
}

fn issued_by(leaf: &X509Certificate<'_>, ca: &X509Certificate<'_>) -> bool {
    let authority = leaf
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        });
    let subject = ca
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        });
    authority.is_some() && authority == subject && leaf.issuer().as_raw() == ca.subject().as_raw()
}

fn names_of(leaf: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(normal(name)),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

type Authority = Issuer<'static, KeyPair>;

/// The CA in the folder, if it outlives a new certificate; otherwise a new one.
fn authority(folder: &Path, now: Timestamp) -> Result<Authority, String> {
    let path = folder.join(CA);
    if path.exists() {
        match read_authority(folder, now) {
            Ok(authority) => return Ok(authority),
            Err(problem) => warn!(
                "a new CA replaces {}, so clients must be given that file again: {problem}",
                display::path(path)
            ),
        }
    }
    make_authority(folder, now)
}

fn read_authority(folder: &Path, now: Timestamp) -> Result<Authority, String> {
    let der = read_certificate(&folder.join(CA))?;
    let certificate = parse(&der).map_err(|problem| format!("{CA} {problem}"))?;
    if now + LEAF_LIFE > timestamp(certificate.validity().not_after) {
        return Err("the old one ends too soon".to_owned());
    }
    let text = fs::read(&folder.join(CA_KEY), fs::MAX_PEM).map_err(|error| format!("{CA_KEY}: {error}"))?;
    let key = pem::private_key(&text).map_err(|error| format!("{CA_KEY} {error}"))?;
    let key = key.and_then(|key| KeyPair::try_from(&key.der()).ok());
    let key = key.ok_or_else(|| format!("{CA_KEY} holds no private key"))?;
    if certificate.public_key().subject_public_key.data != rcgen::PublicKeyData::der_bytes(&key) {
        return Err(format!("{CA_KEY} is not the key of {CA}"));
    }
    Issuer::from_ca_cert_der(&der, key).map_err(|error| format!("{CA}: {error}"))
}

fn make_authority(folder: &Path, now: Timestamp) -> Result<Authority, String> {
    let failed = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    valid_for(&mut params, now, CA_LIFE);
    // Told apart in a trust store that holds those of several installations.
    let id = params.key_identifier(&key);
    let mark = id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
    params.distinguished_name = named(&format!("oidc-issuer self-signed CA {mark:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?;
    write(
        folder,
        CA_KEY,
        &pem::write_private_key(key.serialized_der()),
        0o600,
    )?;
    write(folder, CA, certificate.pem().as_bytes(), 0o644)?;
    Ok(Issuer::new(params, key))
}

fn issue(authority: &Authority, names: &BTreeSet<String>, now: Timestamp) -> Result<Files, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    valid_for(&mut params, now, LEAF_LIFE);
    params.distinguished_name = named("oidc-issuer");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Files {
        cert: Zeroizing::new(certificate.pem().into_bytes()),
        key: pem::write_private_key(key.serialized_der()),
    })
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn valid_for(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch =
        |time: Timestamp| std::time::Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default());
    params.not_before = epoch + since_epoch(now - BACKDATED);
    params.not_after = epoch + since_epoch(now - BACKDATED + life);
}

/// Writes a file whole or not at all.
fn write(folder: &Path, name: &str, content: &[u8], mode: u32) -> Result<(), String> {
    let temporary = folder.join(format!(".{name}.new"));
    let written = (|| -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        match remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        rename(&temporary, folder.join(name))
    })();
    written.map_err(|error| {
        format!(
            "{name} cannot be written ({error}); make the folder writable for this user, \
             or give a certificate and its key"
        )
    })
}

#[cfg(test)]
mod tests;
