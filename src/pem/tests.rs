mod advice;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

use super::*;

/// Two certificates of 12 lines or so, and the key of the first.
struct Made {
    one: String,
    two: String,
    key: String,
    /// The line of the first one's END.
    end: usize,
}

fn made() -> Made {
    let certificate = |key: &KeyPair| {
        CertificateParams::new(vec!["a.example".into()])
            .unwrap()
            .self_signed(key)
    };
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let one = certificate(&key).unwrap().pem().replace("\r\n", "\n");
    Made {
        end: one.lines().count(),
        one,
        two: certificate(&other).unwrap().pem().replace("\r\n", "\n"),
        key: String::from_utf8(write_private_key(key.serialized_der()).to_vec()).unwrap(),
    }
}

fn refused(text: impl AsRef<[u8]>) -> (usize, String) {
    let text = text.as_ref();
    let Err(error) = certificates(text) else {
        panic!("taken: {}", String::from_utf8_lossy(text));
    };
    assert!(authorities(text).is_err() && private_key(text).is_err());
    (error.line, error.to_string())
}

#[test]
fn a_chain_is_taken_whole_with_text_around_it() {
    let Made { one, two, .. } = made();
    let prose = "# the end of the chain; begin with the leaf\nBag Attributes\n    friendlyName: x\nsubject=CN = The END\n\n";
    for text in [
        format!("{one}{two}"),
        format!("{prose}{one}{prose}{two}{prose}"),
        format!("{one}{two}").replace('\n', "\r\n"),
        format!("{one}\n\n{two}").trim_end().to_owned(),
    ] {
        assert_eq!(certificates(text.as_bytes()).unwrap().len(), 2, "{text}");
        assert_eq!(authorities(text.as_bytes()).unwrap().store.len(), 2, "{text}");
    }
    assert_eq!(certificates(b"").unwrap(), []);
    assert_eq!(certificates(prose.as_bytes()).unwrap(), []);
}

#[test]
fn two_blocks_on_one_line_are_refused_with_the_line() {
    let Made { one, two, end, .. } = made();
    for glue in ["", " ", "\r", "\t", "# "] {
        let (line, told) = refused(format!("{}{glue}{two}", one.trim_end()));
        assert_eq!(line, end, "{told}");
        assert!(told.contains("two PEM lines on one"), "{told}");
    }
}

#[test]
fn whatever_holds_a_begin_or_end_that_was_not_taken_is_refused_with_the_line() {
    let Made { one, two, end, .. } = made();
    let second = |change: &dyn Fn(&str) -> String| format!("{one}{}", change(&two));
    let begin = |line: &str| second(&|two| two.replace("-----BEGIN CERTIFICATE-----", line));
    let both = |label: &str| second(&|two| two.replace("CERTIFICATE", label));
    for text in [
        begin(" -----BEGIN CERTIFICATE-----"),
        begin("\t-----BEGIN CERTIFICATE-----"),
        begin("\u{feff}-----BEGIN CERTIFICATE-----"),
        begin("\u{200b}-----BEGIN CERTIFICATE-----"),
        begin("# -----BEGIN CERTIFICATE-----"),
        begin("cert: -----BEGIN CERTIFICATE-----"),
        begin("----BEGIN CERTIFICATE-----"),
        begin("------BEGIN CERTIFICATE-----"),
        begin("-----BEGIN CERTIFICATE----"),
        begin("-----BEGIN CERTIFICATE------"),
        begin("-----BEGIN CERTIFICATE-----x"),
        begin("-----begin certificate-----"),
        begin("-----Begin Certificate-----"),
        begin("-----BEGINCERTIFICATE-----"),
        begin("-----BEGIN  CERTIFICATE-----"),
        begin("----- BEGIN CERTIFICATE -----"),
        begin("\u{2013}\u{2013}BEGIN CERTIFICATE\u{2013}\u{2013}"),
        begin("\u{2014}BEGIN CERTIFICATE\u{2014}"),
        begin("BEGIN CERTIFICATE"),
        begin("BEGIN CERTIFICATE-----"),
        both("TRUSTED CERTIFICATE"),
        both("X509 CERTIFICATE"),
        both("CERTIFICATE REQUEST"),
        both("X509 CRL"),
        both("PKCS7"),
        both("SOMETHING"),
        both("certificate"),
        both("CERTIFICAT"),
        second(&|two| two.replace('\n', "\r")),
        second(&|two| two.replace('\n', "")),
        second(&|two| two.replace('\n', "\\n")),
        second(&|two| format!("  {}", two.replace('\n', "\n  "))),
        second(&|two| format!("> {}", two.replace('\n', "\n> "))),
    ] {
        let (line, told) = refused(&text);
        assert_eq!(line, end + 1, "{told}\n{text}");
        assert!(told.contains(&format!("line {line}")), "{told}");
    }
}

#[test]
fn a_block_that_lost_a_line_is_refused() {
    let Made { one, two, end, .. } = made();
    let lines: Vec<_> = two.lines().collect();
    let last = lines.len() - 1;
    let headless = lines[1..].join("\n");
    let endless = lines[..last].join("\n");
    let bare = lines[1..last].join("\n");
    assert_eq!(refused(format!("{one}{headless}")).0, end + 1);
    assert_eq!(refused(format!("{one}{endless}")).0, end + 1);
    let (line, told) = refused(format!("{one}{bare}"));
    assert!(line == end + 1 && told.contains("base64 outside"), "{told}");
    assert_eq!(refused(format!("{endless}\n{one}")).0, 1);
    assert_eq!(refused(format!("{one}-----END CERTIFICATE-----\n")).0, end + 1);
    assert_eq!(refused(format!("{one}{}", one.replace('M', "!"))).0, end + 1);
}

#[test]
fn another_encoding_is_refused_and_named() {
    let Made { one, two, end, .. } = made();
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let (line, told) = refused([&b"\xff\xfe"[..], &utf16(&one)].concat());
    assert!(line == 1 && told.contains("UTF-16"), "{told}");
    // As `>>` of some shells appends.
    let (line, told) = refused([one.as_bytes(), &utf16(&two)].concat());
    assert!(line == end + 1 && told.contains("UTF-16"), "{told}");
    let (line, told) = refused(format!("\u{feff}{one}{two}"));
    assert!(line == 1 && told.contains("byte order mark"), "{told}");
}

#[test]
fn what_is_no_certificate_is_refused_in_any_place() {
    let Made { one, key, end, .. } = made();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused_certificates(&format!("{one}{garbage}")), end + 1);
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let mislabelled = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    assert_eq!(refused_certificates(&format!("{one}{mislabelled}")), end + 1);
}

fn refused_certificates(text: &str) -> usize {
    certificates(text.as_bytes()).unwrap_err().line
}

#[test]
fn a_key_may_stand_beside_certificates_and_parameters() {
    let Made { one, two, key, .. } = made();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for text in [
        key.clone(),
        format!("{parameters}{key}"),
        format!("{one}{two}{key}"),
        format!("{key}{one}{two}"),
    ] {
        let found = private_key(text.as_bytes()).unwrap().unwrap();
        let chain = certificates(one.as_bytes()).unwrap();
        certified(chain, &found).unwrap();
        let expected = if text.contains("CERTIFICATE") { 2 } else { 0 };
        assert_eq!(certificates(text.as_bytes()).unwrap().len(), expected);
    }
    assert!(private_key(one.as_bytes()).unwrap().is_none());
}

#[test]
fn of_several_or_encrypted_private_keys_none_is_taken() {
    let Made { key, .. } = made();
    let lines = key.lines().count();
    let told = |text: &str| private_key(text.as_bytes()).err().unwrap().to_string();
    assert!(told(&format!("{key}{key}")).contains(&format!("second private key (line {})", lines + 1)));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(told(&encrypted).starts_with("holds an encrypted private key (line 1)"));
    let encrypted = key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1);
    assert!(told(&encrypted).starts_with("holds an encrypted private key (line 1)"));
}

#[test]
fn a_private_key_is_written_as_others_write_it() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let written = write_private_key(key.serialized_der());
    assert_eq!(
        String::from_utf8(written.to_vec()).unwrap(),
        key.serialize_pem().replace("\r\n", "\n")
    );
    let read = KeyPair::try_from(&private_key(&written).unwrap().unwrap().der()).unwrap();
    assert_eq!(read.der_bytes(), key.der_bytes());
}

proptest! {
    /// Whatever is done to a chain in one place: both certificates are taken, or it is refused.
    #[test]
    fn an_edited_chain_is_taken_whole_or_refused(
        at: prop::sample::Index,
        taken in 0_usize..80,
        put in prop::sample::select(vec!["", " ", "\n", "\r", "-", "\u{feff}", "x", "# ", "\0", ":", "\n\n", "-----"]),
    ) {
        let Made { one, two, .. } = made();
        let chain = format!("{one}{two}");
        let at = at.index(chain.len());
        let mut edited = chain.clone();
        edited.replace_range(at..(at + taken).min(chain.len()), put);
        let whole = certificates(chain.as_bytes()).unwrap();
        if let Ok(found) = certificates(edited.as_bytes()) {
            // One that is missing altogether is missing from the file.
            let parts = whole.iter().filter(|certificate| found.contains(certificate)).count();
            // A letter of the body may be another one now: PEM has no checksum.
            prop_assert!(parts == found.len() || put == "x", "{}", edited);
            prop_assert_eq!(edited.matches("CERTIFICATE").count(), 2 * found.len(), "{}", edited);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = certificates(&bytes);
    }
}
