//! Certificates among the key files whose keys sign something else than tokens.

use x509_parser::parse_x509_certificate;

use crate::key;

/// The common names that Kubernetes distributions give the certificates of their CAs and servers.
const CAS_AND_SERVERS: &[&str] = &[
    "kubernetes",
    "kubernetes-ca",
    "kube-ca",
    "kube-apiserver",
    "etcd-ca",
    "etcd",
    "front-proxy-ca",
    "kubernetes-front-proxy-ca",
];

/// What is doubtful of the certificates in a key file, for a person; they are published all the same.
pub(super) fn of(document: &[u8]) -> Vec<String> {
    key::certificates(document)
        .into_iter()
        .filter_map(|(line, der)| Some(format!("line {line}: {}", doubt(&der)?)))
        .collect()
}

fn doubt(der: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let is_ca = certificate.is_ca();
    let is_server = certificate
        .extended_key_usage()
        .ok()
        .flatten()
        .is_some_and(|usage| usage.value.server_auth);
    let name = certificate
        .subject()
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .unwrap_or_default();
    let is_known =
        CAS_AND_SERVERS.contains(&name) || ["k3s-", "rke2-"].iter().any(|start| name.starts_with(start));
    let what = match (is_server, is_ca, is_known) {
        (true, ..) => "of a server (extended key usage serverAuth)".to_owned(),
        (_, true, _) => "of a CA (basicConstraints CA:TRUE)".to_owned(),
        (_, _, true) => format!("with the name of a CA or a server of a cluster ({name})"),
        _ => return None,
    };
    Some(format!(
        "a certificate {what} is given as a key file, and its key is published: whoever has its private key can sign \
         tokens that verifiers accept. Give the key that signs tokens (--service-account-key-file of the API server, \
         sa.pub), unless this certificate was made for that key"
    ))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    fn said(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        of(certificate.pem().as_bytes()).join("\n")
    }

    #[test]
    fn the_certificate_of_a_ca_or_a_server_is_doubted_as_a_key_file() {
        let ca = said(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        assert!(ca.starts_with("line 1: a certificate of a CA"), "{ca}");
        let server = said(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert!(server.contains("of a server"), "{server}");
        let named = said(|params| params.distinguished_name.push(DnType::CommonName, "kube-ca"));
        assert!(named.contains("(kube-ca)"), "{named}");
        let plain = said(|params| params.distinguished_name.push(DnType::CommonName, "sa"));
        assert_eq!(plain, "");
    }
}
