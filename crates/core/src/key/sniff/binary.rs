//! Binary documents: DER in its forms, key stores of Java, archives.

use super::{Foreign, Way};
use crate::key::der::{Der, INTEGER, OID, SEQUENCE};
use crate::key::forms;
use crate::key::{Reason, reason::REQUEST};

/// 1.2.840.113549.1.7: the contents of PKCS#7.
const PKCS7: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07";

/// What octets are, where they are known by sight.
pub(super) fn of(octets: &[u8]) -> Option<Foreign> {
    let command = |what, command| {
        Some(Foreign {
            what,
            way: Way::Command(command),
        })
    };
    match octets {
        [0xfe, 0xed, 0xfe, 0xed, ..] => {
            command("a Java key store (JKS)", "keytool -list -rfc -keystore FILE")
        }
        [0xce, 0xce, 0xce, 0xce, ..] => command(
            "a Java key store (JCEKS)",
            "keytool -list -rfc -storetype JCEKS -keystore FILE",
        ),
        [0x1f, 0x8b, ..] => command("compressed with gzip", "gunzip < FILE"),
        [b'P', b'K', 3, 4, ..] => command("a ZIP archive", "unzip -p FILE"),
        [0x98..=0x99 | 0xc5 | 0xc6 | 0x94 | 0x95, _, _, 3..=6, ..] | [0x98 | 0x94, _, 3..=6, ..] => {
            Some(Foreign {
                what: "an OpenPGP key",
                way: Way::Never("an API server signs with no such key".to_owned()),
            })
        }
        // Of indefinite length, as some programs write PKCS#12.
        [0x30, 0x80, 2, 1, 3, ..] => Some(pkcs12(octets)),
        // A SEQUENCE whose length takes one, two or three further octets, or none.
        [0x30, 0x81..=0x83, ..] => Some(der(octets)),
        [0x30, length, content @ ..] if usize::from(*length) == content.len() => Some(der(octets)),
        _ => None,
    }
}

fn der(octets: &[u8]) -> Foreign {
    let openssl = |what, program| Foreign {
        what,
        way: Way::Openssl(program),
    };
    let outline = Der::new(octets)
        .sequence()
        .map(|content| (content.outline(), content.rest()));
    let (outline, content) = outline.unwrap_or_default();
    match outline.as_slice() {
        [INTEGER, SEQUENCE, ..] if content.starts_with(&[INTEGER, 1, 3]) => return pkcs12(octets),
        [OID, ..] if contains(&content[..content.len().min(16)], PKCS7) => {
            return openssl("a PKCS#7 file", "openssl pkcs7 -inform DER -print_certs");
        }
        _ => {}
    }
    let (what, program) = match (forms::key(octets), outline.as_slice()) {
        (Err(Reason::NotAKey { what: REQUEST }), _) => match forms::request(octets) {
            Ok(_) => (
                "a certificate request in binary (DER)",
                "openssl req -inform DER -noout -pubkey",
            ),
            Err(reason) => {
                return Foreign {
                    what: "a certificate request in binary (DER)",
                    way: reason.into(),
                };
            }
        },
        (Err(Reason::Encrypted), _) => (
            "an encrypted private key in binary (DER)",
            "openssl pkey -inform DER -pubout",
        ),
        (Err(Reason::Der { .. }), _) => {
            return Foreign {
                what: "binary (DER) of an unknown form",
                way: Way::Never("no key was found in it".to_owned()),
            };
        }
        (Err(reason), _) => {
            return Foreign {
                what: "binary (DER)",
                way: reason.into(),
            };
        }
        (Ok(_), [INTEGER, INTEGER]) => (
            "an RSA public key in binary (DER, PKCS#1)",
            "openssl rsa -RSAPublicKey_in -inform DER -pubout",
        ),
        (Ok(_), [INTEGER, ..]) => (
            "a private key in binary (DER)",
            "openssl pkey -inform DER -pubout",
        ),
        (Ok(_), [SEQUENCE, SEQUENCE, ..]) => ("a certificate in binary (DER)", "openssl x509 -inform DER"),
        (Ok(_), _) => ("a public key in binary (DER)", "openssl pkey -pubin -inform DER"),
    };
    openssl(what, program)
}

/// What openssl 3 reads with `-legacy` only: keys of RC2 and RC4 (RFC 7292 appendix C).
fn pkcs12(octets: &[u8]) -> Foreign {
    let old = [1, 2, 5, 6].iter().any(|scheme| {
        let oid = [b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01".as_slice(), &[*scheme]].concat();
        contains(octets, &oid)
    });
    let program = if old {
        "openssl pkcs12 -legacy -clcerts -nokeys"
    } else {
        "openssl pkcs12 -clcerts -nokeys"
    };
    Foreign {
        what: "a key store (PKCS#12)",
        way: Way::Openssl(program),
    }
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}
