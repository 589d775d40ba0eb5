//! Certificates and keys that the tests make for themselves.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};

/// A CA's files and those of one server it vouches for.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    /// The CA's certificate.
    pub(crate) ca: PathBuf,
    /// The server's certificate.
    pub(crate) cert: PathBuf,
    /// The server's private key.
    pub(crate) key: PathBuf,
}

impl Pki {
    /// Makes `ca.crt`, `tls.crt` and `tls.key` in `folder`, for a server of these names and addresses.
    pub(crate) fn create(folder: &Path, names: &[&str]) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let pki = Self {
            ca: folder.join("ca.crt"),
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "CA of a test");
        let ca_key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&ca_key).expect("a CA");
        let issuer = Issuer::new(params, ca_key);
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut leaf = CertificateParams::new(names).expect("names of a server");
        leaf.distinguished_name
            .push(rcgen::DnType::CommonName, "a server of a test");
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate().expect("a key");
        let leaf = leaf.signed_by(&leaf_key, &issuer).expect("a certificate");
        std::fs::write(&pki.ca, ca.pem()).expect("a file");
        std::fs::write(&pki.cert, leaf.pem()).expect("a file");
        std::fs::write(&pki.key, leaf_key.serialize_pem()).expect("a file");
        pki
    }
}

/// A private RSA key of 2048 bits, PKCS#8 in PEM: what `openssl genrsa` writes.
pub(crate) fn rsa_key() -> String {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .expect("a key")
        .serialize_pem()
}
