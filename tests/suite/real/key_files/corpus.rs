//! Key files of every form, the odd ones too: made by OpenSSL, or by hand where it refuses to.

use super::super::programs::Programs;
use super::making::{OpenSsl, changed, modulus, rsa_spki};

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
    openssl: OpenSsl<'a>,
    items: Vec<Item>,
}

impl<'a> Corpus<'a> {
    /// All files.
    pub(super) fn create(programs: &'a Programs) -> Vec<Item> {
        let mut corpus = Self {
            openssl: OpenSsl(programs),
            items: Vec::new(),
        };
        corpus.key_types();
        corpus.containers();
        corpus.surroundings();
        corpus.damaged_forms();
        corpus.several_blocks();
        corpus.weak_keys();
        corpus.foreign_keys();
        corpus.items
    }

    /// The key that makes the API server answer 404 for both documents.
    pub(super) fn p224(programs: &'a Programs) -> String {
        let corpus = Self {
            openssl: OpenSsl(programs),
            items: Vec::new(),
        };
        corpus.openssl.spki(&corpus.openssl.ec("secp224r1"))
    }

    fn key_types(&mut self) {
        for (what, curve) in [
            ("P-256", "prime256v1"),
            ("P-384", "secp384r1"),
            ("P-521", "secp521r1"),
        ] {
            let spki = self.openssl.spki(&self.openssl.ec(curve));
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
        let rsa = self.openssl.rsa();
        self.add(
            "PKCS#1 private",
            Verdict::Both,
            &[&rsa],
            self.openssl.run(&["rsa", "-traditional"], &rsa),
        );
        let rsa = self.openssl.rsa();
        self.add(
            "PKCS#8 of RSA",
            Verdict::Both,
            &[&rsa],
            self.openssl.run(&["pkcs8", "-topk8", "-nocrypt"], &rsa),
        );
        let rsa = self.openssl.rsa();
        self.add(
            "PKCS#1 public",
            Verdict::ServiceOnly,
            &[&rsa],
            self.openssl.run(&["rsa", "-RSAPublicKey_out"], &rsa),
        );
        let rsa = self.openssl.rsa();
        self.add(
            "certificate of RSA",
            Verdict::Both,
            &[&rsa],
            self.openssl.certificate(&rsa),
        );
        let ec = self.openssl.ec("prime256v1");
        self.add("SEC1", Verdict::Both, &[&ec], ec.clone());
        let with_parameters = self
            .openssl
            .run(&["ecparam", "-name", "secp384r1", "-genkey"], "");
        self.add(
            "SEC1 with parameters before it",
            Verdict::Both,
            &[&with_parameters],
            with_parameters.clone(),
        );
        let ec = self.openssl.ec("prime256v1");
        self.add(
            "PKCS#8 of EC",
            Verdict::ServiceOnly,
            &[&ec],
            self.openssl.run(&["pkcs8", "-topk8", "-nocrypt"], &ec),
        );
        let ec = self.openssl.ec("secp521r1");
        self.add(
            "certificate of EC",
            Verdict::Both,
            &[&ec],
            self.openssl.certificate(&ec),
        );
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
        let rsa = self.openssl.rsa();
        let text = self
            .openssl
            .run(&["x509", "-text"], &self.openssl.certificate(&rsa));
        self.add("a certificate with its description", Verdict::Both, &[&rsa], text);
    }

    /// Where a reader of PEM must decide: as Go's does, for that is what the API server uses.
    fn damaged_forms(&mut self) {
        use Verdict::{Both, Neither, ServiceOnly};
        self.damage("a byte order mark", ServiceOnly, |pem| format!("\u{feff}{pem}"));
        self.damage("an END of another label", Neither, |pem| {
            pem.replace("END PUBLIC", "END PRIVATE")
        });
        self.damage("no END", Neither, |pem| {
            pem.replace("-----END PUBLIC KEY-----", "")
        });
        self.damage("a BEGIN that is not at the start of its line", Neither, |pem| {
            format!("key: {pem}")
        });
        self.damage("text after BEGIN", Neither, |pem| {
            pem.replacen("KEY-----", "KEY----- of blue", 1)
        });
        self.damage("text after END", Neither, |pem| {
            pem.trim_end().to_owned() + " of blue\n"
        });
        self.damage("all of it indented", Neither, |pem| {
            pem.replace("-----B", "  -----B").replace('\n', "\n  ")
        });
        self.damage("indented lines of base64", Both, |pem| {
            let (begin, rest) = pem.split_once('\n').expect("lines");
            format!(
                "{begin}\n  {}",
                rest.replacen('\n', "\n\t", 1).replace("\t-----END", "-----END")
            )
        });
        self.damage("old Macintosh line ends", Neither, |pem| pem.replace('\n', "\r"));
        self.damage("four dashes", Neither, |pem| pem.replace("-----", "----"));
        self.damage("begin in lower case", Neither, |pem| {
            pem.replace("BEGIN", "begin")
        });
        self.damage("no label", Both, |pem| pem.replace("PUBLIC KEY", ""));
        self.damage("no padding", Neither, |pem| pem.replace('=', ""));
        self.damage("base64url", Neither, |pem| {
            let lines = pem.lines().map(|line| {
                if line.starts_with('-') {
                    line.to_owned()
                } else {
                    line.replace('M', "-")
                }
            });
            lines.collect::<Vec<_>>().join("\n")
        });
        self.damage("a header and no blank line after it", Both, |pem| {
            pem.replacen("-----\n", "-----\nA: b\n", 1)
        });
        self.damage("a BEGIN inside", Both, |pem| {
            pem.replacen("-----\n", "-----\n-----BEGIN PUBLIC KEY-----\n", 1)
        });
    }

    fn several_blocks(&mut self) {
        let (a, b, c) = (
            self.openssl.ec("prime256v1"),
            self.openssl.rsa(),
            self.openssl.ec("secp384r1"),
        );
        let text = [self.openssl.spki(&a), self.openssl.certificate(&b), c.clone()].concat();
        self.add("three keys in one file", Verdict::Both, &[&a, &b, &c], text);

        let (a, b) = (self.openssl.ec("prime256v1"), self.openssl.ec("prime256v1"));
        let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let text = [&self.openssl.spki(&a), broken, &self.openssl.spki(&b)].concat();
        self.add(
            "a block that is no key between two that are",
            Verdict::Both,
            &[&a, &b],
            text,
        );

        let (a, b) = (self.openssl.ec("prime256v1"), self.openssl.ec("prime256v1"));
        let garbage = "-----BEGIN PUBLIC KEY-----\n!!! not base64 !!!\n-----END PUBLIC KEY-----\n";
        let text = [&self.openssl.spki(&a), garbage, &self.openssl.spki(&b)].concat();
        self.add(
            "a block that is not base64 between two that are",
            Verdict::Both,
            &[&a, &b],
            text,
        );

        let a = self.openssl.ec("prime256v1");
        let text = [self.openssl.spki(&a), a.clone(), self.openssl.certificate(&a)].concat();
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
            ("RSA of 8200 bits", modulus(8200), vec![1, 0, 1]),
            ("an even exponent", modulus(2048), vec![1, 0, 0]),
            ("e = 1", modulus(2048), vec![1]),
            ("e = 2^31 + 1", modulus(2048), vec![0x80, 0, 0, 1]),
        ];
        for (what, modulus, exponent) in weak {
            let spki = rsa_spki(&modulus, &exponent);
            self.add(what, Verdict::ApiServerOnly, &[&spki], spki.clone());
        }
    }

    fn foreign_keys(&mut self) {
        let ed25519 = self.openssl.run(&["genpkey", "-algorithm", "ed25519"], "");
        self.add(
            "Ed25519",
            Verdict::Neither,
            &[&ed25519],
            self.openssl.spki(&ed25519),
        );
        let pss = self.openssl.run(&["genpkey", "-algorithm", "rsa-pss"], "");
        self.add("RSA-PSS", Verdict::Neither, &[&pss], self.openssl.spki(&pss));
        let bitcoin = self.openssl.ec("secp256k1");
        self.add(
            "secp256k1",
            Verdict::Neither,
            &[&bitcoin],
            self.openssl.spki(&bitcoin),
        );
        let ec = self.openssl.ec("prime256v1");
        let compressed = self
            .openssl
            .run(&["ec", "-pubout", "-conv_form", "compressed"], &ec);
        self.add("a compressed point", Verdict::Neither, &[&ec], compressed);
        let ec = self.openssl.ec("prime256v1");
        let explicit = self
            .openssl
            .run(&["ec", "-pubout", "-param_enc", "explicit"], &ec);
        self.add("a curve spelled out", Verdict::Neither, &[&ec], explicit);
        let ec = self.openssl.ec("prime256v1");
        let hybrid = self.openssl.run(&["ec", "-pubout", "-conv_form", "hybrid"], &ec);
        self.add("a hybrid point", Verdict::Neither, &[&ec], hybrid);
        let spki = self.openssl.spki(&self.openssl.ec("prime256v1"));
        let off = changed(&spki, |der| der[90] ^= 1);
        self.add("a point off the curve", Verdict::Neither, &[&off], off.clone());
        let spki = self.openssl.spki(&self.openssl.ec("prime256v1"));
        let trailing = changed(&spki, |der| der.push(0));
        self.add("something after the key", Verdict::Neither, &[&spki], trailing);
        let spki = rsa_spki(&modulus(2048), &[1, 0, 1]);
        let negative = changed(&spki, |der| {
            // The zero before the modulus becomes part of a number below zero.
            der[29] = 0xff;
        });
        self.add(
            "a negative modulus",
            Verdict::Neither,
            &[&negative],
            negative.clone(),
        );
        let rsa = self.openssl.rsa();
        let encrypted = self
            .openssl
            .run(&["pkcs8", "-topk8", "-passout", "pass:secret"], &rsa);
        self.add("encrypted PKCS#8", Verdict::Neither, &[&rsa], encrypted);
        let rsa = self.openssl.rsa();
        let encrypted = self.openssl.run(
            &["rsa", "-traditional", "-aes128", "-passout", "pass:secret"],
            &rsa,
        );
        self.add("encrypted PKCS#1", Verdict::Neither, &[&rsa], encrypted);
        let rsa = self.openssl.rsa();
        let request = self.openssl.run(
            &["req", "-new", "-subj", "/CN=request", "-key", "/dev/stdin"],
            &rsa,
        );
        self.add("a certificate request", Verdict::Neither, &[&rsa], request);
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, keys: &[&str], text: String) {
        let kids = keys.iter().map(|key| self.openssl.kid(key)).collect();
        self.items.push(Item {
            what,
            text,
            kids,
            verdict,
        });
    }

    /// A P-256 key in PEM that both accept, changed in form only.
    fn form(&mut self, what: &'static str, change: impl Fn(&str) -> String) {
        let spki = self.openssl.spki(&self.openssl.ec("prime256v1"));
        self.add(what, Verdict::Both, &[&spki], change(&spki));
    }

    /// The same, changed so much that not both take it.
    fn damage(&mut self, what: &'static str, verdict: Verdict, change: impl Fn(&str) -> String) {
        let spki = self.openssl.spki(&self.openssl.ec("prime256v1"));
        self.add(what, verdict, &[&spki], change(&spki));
    }
}
