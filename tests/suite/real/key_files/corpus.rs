//! Key files of every form, the odd ones too: made by OpenSSL, or by hand where it refuses to.

use std::io::Write as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::super::programs::Programs;

/// One file, and what is to become of the keys in it.
#[derive(Debug)]
pub(super) struct Item {
    /// What is odd about it.
    pub(super) what: &'static str,
    /// Its content.
    pub(super) text: String,
    /// The derived `kid`s of the keys that `verdict` is about.
    pub(super) kids: Vec<String>,
    /// Who publishes them.
    pub(super) verdict: Verdict,
}

/// Who publishes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The API server and the service, byte for byte the same.
    Both,
    /// The service accepts more forms than the API server.
    ServiceOnly,
    /// The API server publishes what no verifier should trust; the service tells why it does not.
    ApiServerOnly,
    /// Neither; the service tells why.
    Neither,
}

/// Makes the files.
#[derive(Debug)]
pub(super) struct Corpus<'a> {
    programs: &'a Programs,
    items: Vec<Item>,
}

impl<'a> Corpus<'a> {
    /// All files.
    pub(super) fn create(programs: &'a Programs) -> Vec<Item> {
        let mut corpus = Self {
            programs,
            items: Vec::new(),
        };
        corpus.key_types();
        corpus.containers();
        corpus.surroundings();
        corpus.several_blocks();
        corpus.weak_keys();
        corpus.foreign_keys();
        corpus.items
    }

    /// The key that makes the API server answer 404 for both documents.
    pub(super) fn p224(programs: &'a Programs) -> String {
        let corpus = Self {
            programs,
            items: Vec::new(),
        };
        corpus.spki(&corpus.ec("secp224r1"))
    }

    fn key_types(&mut self) {
        for (what, curve) in [
            ("P-256", "prime256v1"),
            ("P-384", "secp384r1"),
            ("P-521", "secp521r1"),
        ] {
            let spki = self.spki(&self.ec(curve));
            self.add(what, Verdict::Both, &[&spki], spki.clone());
        }
        for (what, bits) in [
            ("RSA of 2048 bits", 2048),
            ("RSA of 4096 bits", 4096),
            ("RSA of 8192 bits", 8192),
        ] {
            let spki = rsa_spki(&modulus(bits), &[1, 0, 1]);
            self.add(what, Verdict::Both, &[&spki], spki.clone());
        }
        for (what, exponent) in [
            ("e = 3", &[3_u8][..]),
            ("e = 2^31 - 1", &[0x7f, 0xff, 0xff, 0xff]),
        ] {
            let spki = rsa_spki(&modulus(2048), exponent);
            self.add(what, Verdict::Both, &[&spki], spki.clone());
        }
    }

    fn containers(&mut self) {
        let rsa = self.rsa();
        self.add(
            "PKCS#1 private",
            Verdict::Both,
            &[&rsa],
            self.openssl(&["rsa", "-traditional"], &rsa),
        );
        let rsa = self.rsa();
        self.add(
            "PKCS#8 of RSA",
            Verdict::Both,
            &[&rsa],
            self.openssl(&["pkcs8", "-topk8", "-nocrypt"], &rsa),
        );
        let rsa = self.rsa();
        self.add(
            "PKCS#1 public",
            Verdict::ServiceOnly,
            &[&rsa],
            self.openssl(&["rsa", "-RSAPublicKey_out"], &rsa),
        );
        let rsa = self.rsa();
        self.add(
            "certificate of RSA",
            Verdict::Both,
            &[&rsa],
            self.certificate(&rsa),
        );
        let ec = self.ec("prime256v1");
        self.add("SEC1", Verdict::Both, &[&ec], ec.clone());
        let with_parameters = self.openssl(&["ecparam", "-name", "secp384r1", "-genkey"], "");
        self.add(
            "SEC1 with parameters before it",
            Verdict::Both,
            &[&with_parameters],
            with_parameters.clone(),
        );
        let ec = self.ec("prime256v1");
        self.add(
            "PKCS#8 of EC",
            Verdict::ServiceOnly,
            &[&ec],
            self.openssl(&["pkcs8", "-topk8", "-nocrypt"], &ec),
        );
        let ec = self.ec("secp521r1");
        self.add("certificate of EC", Verdict::Both, &[&ec], self.certificate(&ec));
    }

    fn surroundings(&mut self) {
        self.form("DOS line ends", |pem| pem.replace('\n', "\r\n"));
        self.form("text around", |pem| {
            format!("The key of cluster blue:\n\n{pem}\n-- \nthe team\n")
        });
        self.form("no newline at the end", |pem| pem.trim_end().to_owned());
        self.form("blank lines before, within and after", |pem| {
            format!("\n\n{}\n\n", pem.replacen('\n', "\n\n", 2))
        });
        self.form("another label", |pem| pem.replace("PUBLIC KEY", "BANANA"));
        self.form("the label of a certificate", |pem| {
            pem.replace("PUBLIC KEY", "CERTIFICATE")
        });
        self.form("PEM headers", |pem| {
            pem.replacen("-----\n", "-----\nComment: of cluster blue\nVersion: 2\n\n", 1)
        });
        self.form("one long line", |pem| {
            let lines: Vec<&str> = pem.lines().collect();
            let (first, last) = (lines[0], lines[lines.len() - 1]);
            format!("{first}\n{}\n{last}\n", lines[1..lines.len() - 1].concat())
        });
        self.form("short lines", |pem| {
            let lines: Vec<&str> = pem.lines().collect();
            let body = lines[1..lines.len() - 1].concat();
            let body: Vec<&str> = body
                .as_bytes()
                .chunks(7)
                .filter_map(|chunk| str::from_utf8(chunk).ok())
                .collect();
            format!("{}\n{}\n{}\n", lines[0], body.join("\n"), lines[lines.len() - 1])
        });
        self.form("spaces at the ends of lines", |pem| pem.replace('\n', "  \n"));
        let rsa = self.rsa();
        let text = self.openssl(&["x509", "-text"], &self.certificate(&rsa));
        self.add("a certificate with its description", Verdict::Both, &[&rsa], text);
    }

    fn several_blocks(&mut self) {
        let (a, b, c) = (self.ec("prime256v1"), self.rsa(), self.ec("secp384r1"));
        let text = [self.spki(&a), self.certificate(&b), c.clone()].concat();
        self.add("three keys in one file", Verdict::Both, &[&a, &b, &c], text);

        let (a, b) = (self.ec("prime256v1"), self.ec("prime256v1"));
        let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let text = [&self.spki(&a), broken, &self.spki(&b)].concat();
        self.add(
            "a block that is no key between two that are",
            Verdict::Both,
            &[&a, &b],
            text,
        );

        let (a, b) = (self.ec("prime256v1"), self.ec("prime256v1"));
        let garbage = "-----BEGIN PUBLIC KEY-----\n!!! not base64 !!!\n-----END PUBLIC KEY-----\n";
        let text = [&self.spki(&a), garbage, &self.spki(&b)].concat();
        self.add(
            "a block that is not base64 between two that are",
            Verdict::Both,
            &[&a, &b],
            text,
        );

        let a = self.ec("prime256v1");
        let text = [self.spki(&a), a.clone(), self.certificate(&a)].concat();
        self.add("one key three times, in three forms", Verdict::Both, &[&a], text);
    }

    fn weak_keys(&mut self) {
        let mut even = modulus(2048);
        even[255] &= 0xfe;
        let weak = [
            ("RSA of 512 bits", modulus(512), vec![1, 0, 1]),
            ("RSA of 1024 bits", modulus(1024), vec![1, 0, 1]),
            ("RSA of 2040 bits", modulus(2040), vec![1, 0, 1]),
            ("an even modulus", even, vec![1, 0, 1]),
            ("an even exponent", modulus(2048), vec![1, 0, 0]),
        ];
        for (what, modulus, exponent) in weak {
            let spki = rsa_spki(&modulus, &exponent);
            self.add(what, Verdict::ApiServerOnly, &[&spki], spki.clone());
        }
    }

    fn foreign_keys(&mut self) {
        let ed25519 = self.openssl(&["genpkey", "-algorithm", "ed25519"], "");
        self.add("Ed25519", Verdict::Neither, &[&ed25519], self.spki(&ed25519));
        let pss = self.openssl(&["genpkey", "-algorithm", "rsa-pss"], "");
        self.add("RSA-PSS", Verdict::Neither, &[&pss], self.spki(&pss));
        let bitcoin = self.ec("secp256k1");
        self.add("secp256k1", Verdict::Neither, &[&bitcoin], self.spki(&bitcoin));
        let ec = self.ec("prime256v1");
        let compressed = self.openssl(&["ec", "-pubout", "-conv_form", "compressed"], &ec);
        self.add("a compressed point", Verdict::Neither, &[&ec], compressed);
        let ec = self.ec("prime256v1");
        let explicit = self.openssl(&["ec", "-pubout", "-param_enc", "explicit"], &ec);
        self.add("a curve spelled out", Verdict::Neither, &[&ec], explicit);
        let rsa = self.rsa();
        let encrypted = self.openssl(&["pkcs8", "-topk8", "-passout", "pass:secret"], &rsa);
        self.add("encrypted PKCS#8", Verdict::Neither, &[&rsa], encrypted);
        let rsa = self.rsa();
        let encrypted = self.openssl(
            &["rsa", "-traditional", "-aes128", "-passout", "pass:secret"],
            &rsa,
        );
        self.add("encrypted PKCS#1", Verdict::Neither, &[&rsa], encrypted);
        let rsa = self.rsa();
        let request = self.openssl(
            &["req", "-new", "-subj", "/CN=request", "-key", "/dev/stdin"],
            &rsa,
        );
        self.add("a certificate request", Verdict::Neither, &[&rsa], request);
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, keys: &[&str], text: String) {
        let kids = keys.iter().map(|key| self.kid(key)).collect();
        self.items.push(Item {
            what,
            text,
            kids,
            verdict,
        });
    }

    /// A P-256 key in PEM that both accept, changed in form only.
    fn form(&mut self, what: &'static str, change: impl Fn(&str) -> String) {
        let spki = self.spki(&self.ec("prime256v1"));
        self.add(what, Verdict::Both, &[&spki], change(&spki));
    }

    fn rsa(&self) -> String {
        self.openssl(&["genrsa", "2048"], "")
    }

    fn ec(&self, curve: &str) -> String {
        self.openssl(&["ecparam", "-name", curve, "-genkey", "-noout"], "")
    }

    fn spki(&self, private: &str) -> String {
        self.openssl(&["pkey", "-pubout"], private)
    }

    fn certificate(&self, private: &str) -> String {
        self.openssl(
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
    fn kid(&self, pem: &str) -> String {
        let public = if pem.contains("PRIVATE") {
            self.spki(pem)
        } else {
            pem.to_owned()
        };
        let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        URL_SAFE_NO_PAD.encode(Sha256::digest(STANDARD.decode(body).expect("base64")))
    }

    fn openssl(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.programs.command("openssl");
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

/// An odd number of exactly this many bits. Nobody can tell that it is not the product of two primes.
fn modulus(bits: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..bits / 8).map(|_| rand::random()).collect();
    bytes[0] |= 0x80;
    bytes[bits / 8 - 1] |= 1;
    bytes
}

/// `SubjectPublicKeyInfo` of any RSA key, in PEM: OpenSSL would not make a weak one.
fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> String {
    const RSA_ENCRYPTION: &[u8] = &[
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let key = tlv(0x30, &[integer(modulus), integer(exponent)].concat());
    let bits = tlv(0x03, &[&[0], &key[..]].concat());
    let der = tlv(0x30, &[RSA_ENCRYPTION, &bits].concat());
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
