//! Keys and certificates of OpenSSL, and what it would not make.

use std::io::Write as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::super::programs::Programs;

/// The `openssl` command.
#[derive(Debug)]
pub(super) struct OpenSsl<'a>(pub(super) &'a Programs);

impl OpenSsl<'_> {
    pub(super) fn rsa(&self) -> String {
        self.run(&["genrsa", "2048"], "")
    }

    pub(super) fn ec(&self, curve: &str) -> String {
        self.run(&["ecparam", "-name", curve, "-genkey", "-noout"], "")
    }

    pub(super) fn spki(&self, private: &str) -> String {
        self.run(&["pkey", "-pubout"], private)
    }

    pub(super) fn certificate(&self, private: &str) -> String {
        self.run(
            &[
                "req",
                "-x509",
                "-days",
                "1",
                "-subj",
                "/CN=cluster",
                "-key",
                "/dev/stdin",
            ],
            private,
        )
    }

    /// The `kid` that follows from a key, in PEM as SPKI or private.
    pub(super) fn kid(&self, pem: &str) -> String {
        let public = if pem.contains("PRIVATE") {
            self.spki(pem)
        } else {
            pem.to_owned()
        };
        let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        URL_SAFE_NO_PAD.encode(Sha256::digest(STANDARD.decode(body).expect("base64")))
    }

    pub(super) fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.0.command("openssl");
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl runs");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input.as_bytes())
            .ok();
        let output = child.wait_with_output().expect("openssl ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "openssl {}: {error}",
            arguments.join(" ")
        );
        String::from_utf8(output.stdout).expect("PEM is text")
    }
}

/// The same PEM with its content changed.
pub(super) fn changed(pem: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).expect("base64");
    change(&mut der);
    public_key_pem(&der)
}

/// An odd number of exactly this many bits. Nobody can tell that it is not the product of two primes.
pub(super) fn modulus(bits: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..bits / 8).map(|_| rand::random()).collect();
    bytes[0] |= 0x80;
    bytes[bits / 8 - 1] |= 1;
    bytes
}

/// `SubjectPublicKeyInfo` of any RSA key, in PEM: OpenSSL would not make a weak one.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> String {
    const RSA_ENCRYPTION: &[u8] = &[
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let key = tlv(0x30, &[integer(modulus), integer(exponent)].concat());
    let bits = tlv(0x03, &[&[0], &key[..]].concat());
    let der = tlv(0x30, &[RSA_ENCRYPTION, &bits].concat());
    public_key_pem(&der)
}

fn public_key_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .filter_map(|line| str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
    tlv(0x02, &[sign, number].concat())
}

/// One DER value (X.690 section 8.1).
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short value").to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &length[1..],
        0x80..0x100 => &[0x81, length[1]],
        _ => &[0x82, length[0], length[1]],
    };
    [&[tag], length, content].concat()
}
