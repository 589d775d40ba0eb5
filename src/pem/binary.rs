//! Files without any PEM that are often given for one: DER in its forms, PKCS#12.

use rustls_pki_types::PrivateKeyDer;

use super::{Fault, Wanted};

/// The contents of PKCS#7: 1.2.840.113549.1.7.
const PKCS7: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07";

/// What openssl 3 reads with `-legacy` only: keys of RC2 and RC4 (RFC 7292 appendix C), less the last number.
const OLD_PKCS12: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01";

/// What a file is, if it is no text; with a command that makes PEM of it, in a new file.
pub(super) fn of(bytes: &[u8], wanted: Wanted) -> Option<Fault> {
    let fault = |what, command| Some(Fault::Binary { what, command });
    // A SEQUENCE, whose length takes up to three further bytes or is not said.
    let content = match bytes {
        [0x30, 0x80, rest @ ..]
        | [0x30, 0x81, _, rest @ ..]
        | [0x30, 0x82, _, _, rest @ ..]
        | [0x30, 0x83, _, _, _, rest @ ..] => rest,
        [0x30, length @ ..=0x7f, rest @ ..]
            if rest.len() == usize::from(*length) && matches!(rest.first(), Some(2 | 6 | 0x30)) =>
        {
            rest
        }
        _ => return None,
    };
    if content.starts_with(&[2, 1, 3]) {
        let is_old = [1, 2, 5, 6]
            .iter()
            .any(|last| has(bytes, &[OLD_PKCS12, &[*last]].concat()));
        return fault(
            "a key store (PKCS#12)",
            match (wanted, is_old) {
                (Wanted::Certificates, false) => "openssl pkcs12 -nokeys -in FILE -out NEW",
                (Wanted::Certificates, true) => "openssl pkcs12 -legacy -nokeys -in FILE -out NEW",
                (Wanted::Key, false) => "openssl pkcs12 -nocerts -nodes -in FILE -out NEW",
                (Wanted::Key, true) => "openssl pkcs12 -legacy -nocerts -nodes -in FILE -out NEW",
            },
        );
    }
    if content.first() == Some(&6) && has(content.get(..16)?, PKCS7) {
        return fault(
            "binary PKCS#7",
            "openssl pkcs7 -inform DER -print_certs -in FILE -out NEW",
        );
    }
    if x509_parser::parse_x509_certificate(bytes).is_ok() {
        return fault(
            "a certificate in binary (DER)",
            "openssl x509 -inform DER -in FILE -out NEW",
        );
    }
    let is_encrypted = is_encrypted_key(content);
    if is_encrypted || PrivateKeyDer::try_from(bytes).is_ok() {
        return fault(
            "a private key in binary (DER)",
            "openssl pkey -inform DER -in FILE -out NEW",
        );
    }
    fault(
        "binary (DER) that holds neither a certificate nor a private key",
        "",
    )
}

/// PBES2 or PBE of PKCS#5 and PKCS#12, named first.
fn is_encrypted_key(content: &[u8]) -> bool {
    let start = content.get(..20).unwrap_or(content);
    [
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x05".as_slice(),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c",
    ]
    .iter()
    .any(|oid| has(start, oid))
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
