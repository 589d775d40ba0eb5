//! Certificate files: what is refused at the start, and what a change of them does.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oidc_issuer::clock::Clock;
use oidc_issuer::edge::{EdgeError, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rustls::HandshakeKind;
use rustls::version::TLS13;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::tls::{handshake, trusting};
use super::vocabulary::{Served, Setting, read_to_end, within};

/// A CA, and a folder for what it signs.
struct Authority {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        Self {
            ca,
            issuer: Issuer::new(params, key),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn sign(&self, key: &KeyPair) -> String {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A new pair, PEM.
    fn pair(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (self.sign(&key), key.serialize_pem())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, cert: &str, key: &str) {
        std::fs::write(self.path("tls.crt"), cert).unwrap();
        std::fs::write(self.path("tls.key"), key).unwrap();
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings::Files {
            cert: self.path("tls.crt"),
            key: self.path("tls.key"),
        }
    }

    fn start(&self) -> Result<Served, EdgeError> {
        Served::try_start(Setting::plain().tls(self.settings()))
    }

    #[track_caller]
    fn refuses(&self, cert: &str, key: &str) -> String {
        self.write(cert, key);
        self.refused()
    }

    #[track_caller]
    fn refused(&self) -> String {
        let Err(error) = self.start() else {
            panic!("it started")
        };
        assert!(error.is_configuration());
        let folder = self.folder.path().display().to_string();
        assert!(error.to_string().contains(&folder), "{error}");
        error.to_string().replace(&folder, "DIR")
    }

    /// The certificate that is presented now.
    async fn presented(&self, served: &Served) -> Vec<u8> {
        let config = Arc::new(trusting(self.ca.as_bytes(), &[&TLS13]));
        let stream = handshake(served, &config, "localhost").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn until_presented(&self, served: &Served, cert: &str) {
        within(async {
            while self.presented(served).await != der(cert) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn reloads(served: &Served, result: &str) -> Option<f64> {
    served.metric(&format!(
        "oidc_issuer_certificate_reloads_total{{listener=\"127.0.0.1:0\",result=\"{result}\"}}"
    ))
}

#[tokio::test]
async fn a_key_may_be_pkcs8_pkcs1_or_sec1_and_have_text_around_it() {
    let authority = Authority::new();
    let ec = KeyPair::generate().unwrap();
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let pkcs1 = rsa::RsaPrivateKey::from_pkcs8_pem(&rsa.serialize_pem()).unwrap();
    let pkcs1 = pkcs1.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    for (key, pem) in [
        (&ec, ec.serialize_pem()),
        (&ec, sec1(&ec)),
        (
            &ec,
            format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
                sec1(&ec)
            ),
        ),
        (
            &ec,
            format!("some text\n{}", ec.serialize_pem().replace('\n', "\r\n")),
        ),
        (&rsa, rsa.serialize_pem()),
        (&rsa, pkcs1.to_string()),
    ] {
        let cert = authority.sign(key);
        authority.write(&cert, &pem);
        let served = authority.start().unwrap();
        assert_eq!(authority.presented(&served).await, der(&cert));
    }
}

/// The `ECPrivateKey` (RFC 5915) within a PKCS#8 key on P-256.
fn sec1(key: &KeyPair) -> String {
    use base64::Engine as _;
    let pkcs8 = key.serialized_der();
    let at = pkcs8
        .windows(5)
        .position(|w| w == [0x02, 0x01, 0x01, 0x04, 0x20])
        .unwrap()
        - 2;
    let length = usize::from(pkcs8[at + 1]) + 2;
    let base64 = base64::engine::general_purpose::STANDARD.encode(&pkcs8[at..at + length]);
    format!("-----BEGIN EC PRIVATE KEY-----\n{base64}\n-----END EC PRIVATE KEY-----\n")
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_refused_and_both_files_are_named() {
    let authority = Authority::new();
    let ((cert, _), (_, key)) = (authority.pair(), authority.pair());
    assert_eq!(
        authority.refuses(&cert, &key),
        "the key in DIR/tls.key does not match the certificate in DIR/tls.crt: its public key is another one; \
         give the key that the certificate was made for, or if they are being replaced, replace both"
    );
}

#[tokio::test]
async fn files_that_hold_something_else_are_refused_and_what_they_must_hold_is_said() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    for (bad, expected) in [
        ("", "DIR/tls.crt holds no certificate; it must hold PEM blocks"),
        (&*key, "DIR/tls.crt holds no certificate; it must hold PEM blocks"),
        (
            &cert.replace("-----END CERTIFICATE-----", ""),
            "DIR/tls.crt has a broken PEM block (line 1: no END line follows on a line of its own)",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "DIR/tls.crt holds something that is no X.509 certificate",
        ),
    ] {
        let message = authority.refuses(bad, &key);
        assert!(message.starts_with(expected), "{message}");
    }
    for (bad, expected) in [
        (
            "",
            "DIR/tls.key holds no private key; it must hold one unencrypted private key as PEM",
        ),
        (&*cert, "DIR/tls.key holds no private key"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "DIR/tls.key holds an encrypted private key",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
            "DIR/tls.key holds an encrypted private key",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "DIR/tls.key holds a private key that cannot be used",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nsecret!!\n-----END PRIVATE KEY-----\n",
            "DIR/tls.key has a broken PEM block (line 1: the body is not base64)",
        ),
    ] {
        let message = authority.refuses(&cert, bad);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let authority = Authority::new();
    assert_eq!(
        authority.refused(),
        "cannot read DIR/tls.crt: there is no such file; \
         check that the file is there and that this user may read it"
    );
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_not_begun_is_refused() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 4, 1);
    let cert = params.signed_by(&key, &authority.issuer).unwrap().pem();
    assert_eq!(
        authority.refuses(&cert, &key.serialize_pem()),
        "the certificate in DIR/tls.crt expired at 2020-04-01T00:00:00Z: renew it"
    );
    params.not_before = rcgen::date_time_ymd(2120, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 4, 1);
    let cert = params.signed_by(&key, &authority.issuer).unwrap().pem();
    assert_eq!(
        authority.refuses(&cert, &key.serialize_pem()),
        "the certificate in DIR/tls.crt is valid only from 2120-01-01T00:00:00Z: check the clock of this machine"
    );
}

#[tokio::test]
async fn a_new_pair_is_presented_without_a_restart_and_sessions_survive_it() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    authority.write(&cert, &key);
    let served = authority.start().unwrap();
    assert_eq!(authority.presented(&served).await, der(&cert));

    let config = Arc::new(trusting(authority.ca.as_bytes(), &[&TLS13]));
    let ask = async |expected| {
        let mut stream = handshake(&served, &config, "localhost").await.unwrap();
        stream
            .write_all(b"GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200"));
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
    };
    ask(HandshakeKind::Full).await;
    let (cert, key) = authority.pair();
    authority.write(&cert, &key);
    authority.until_presented(&served, &cert).await;
    ask(HandshakeKind::Resumed).await;
    assert_eq!(reloads(&served, "success"), Some(1.0));
    assert_eq!(reloads(&served, "failure"), Some(0.0));
}

#[tokio::test]
async fn a_new_pair_that_does_not_match_changes_nothing_and_is_counted_once() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    authority.write(&cert, &key);
    let served = authority.start().unwrap();
    let (other, other_key) = authority.pair();
    authority.write(&other, &key);
    within(async {
        while reloads(&served, "failure") != Some(1.0) {
            assert_eq!(authority.presented(&served).await, der(&cert));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(reloads(&served, "failure"), Some(1.0));
    assert_eq!(authority.presented(&served).await, der(&cert));
    authority.write(&other, &other_key);
    authority.until_presented(&served, &other).await;
    assert_eq!(reloads(&served, "success"), Some(1.0));
}

/// A leaf and an intermediate, of which the first lacks its last line end.
fn glued(leaf: &str, intermediate: &str) -> String {
    format!("{}{intermediate}", leaf.trim_end())
}

#[tokio::test]
async fn a_chain_file_with_a_block_that_is_not_taken_is_refused_with_the_line() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    let ca = authority.ca.clone();
    let line = cert.trim_end().lines().count();
    for (chain, line) in [
        (glued(&cert, &ca), line),
        (
            format!("{cert}{}", ca.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
            line + 1,
        ),
        (
            format!("{cert}{}", ca.replace("-----BEGIN", " -----BEGIN")),
            line + 1,
        ),
    ] {
        let message = authority.refuses(&chain, &key);
        assert!(message.contains(&format!("line {line}")), "{message}");
    }
}

#[tokio::test]
async fn a_reload_of_a_chain_that_is_not_taken_whole_changes_nothing_and_counts_as_failed() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    authority.write(&cert, &key);
    let served = authority.start().unwrap();
    let (other, other_key) = authority.pair();
    authority.write(&glued(&other, &authority.ca), &other_key);
    within(async {
        while reloads(&served, "failure") != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(authority.presented(&served).await, der(&cert));
    assert_eq!(reloads(&served, "success"), Some(0.0));
    authority.write(&format!("{other}{}", authority.ca), &other_key);
    authority.until_presented(&served, &other).await;
}

#[tokio::test]
async fn certificate_files_of_another_kind_are_refused_and_a_reload_outlives_them() {
    let authority = Authority::new();
    let (cert, key) = authority.pair();
    let place = authority.path("tls.crt");
    for (target, told) in [("/dev/zero", "a device"), ("/", "a directory")] {
        authority.write(&cert, &key);
        std::fs::remove_file(&place).unwrap();
        symlink(target, &place).unwrap();
        assert!(authority.refused().contains(told));
        std::fs::remove_file(&place).unwrap();
    }
    authority.write(&cert, &key);
    let served = authority.start().unwrap();
    std::fs::remove_file(&place).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &place,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    within(async {
        while reloads(&served, "failure") != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    std::fs::remove_file(&place).unwrap();
    let (cert, key) = authority.pair();
    authority.write(&cert, &key);
    authority.until_presented(&served, &cert).await;
}

/// As the kubelet replaces a mounted Secret.
#[tokio::test]
async fn a_swap_of_the_data_link_is_seen() {
    let authority = Authority::new();
    let folder = authority.folder.path();
    let put = |name: &str, (cert, key): &(String, String)| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("tls.crt"), cert).unwrap();
        std::fs::write(folder.join(name).join("tls.key"), key).unwrap();
    };
    let (first, second) = (authority.pair(), authority.pair());
    put("..1", &first);
    symlink("..1", folder.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
    }
    let served = authority.start().unwrap();
    assert_eq!(authority.presented(&served).await, der(&first.0));
    put("..2", &second);
    symlink("..2", folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    authority.until_presented(&served, &second.0).await;
}

#[tokio::test]
async fn a_certificate_that_ends_while_it_is_served_stays_and_its_end_is_exported() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 4, 1);
    let cert = params.signed_by(&key, &authority.issuer).unwrap().pem();
    authority.write(&cert, &key.serialize_pem());
    let mut setting = Setting::plain().tls(authority.settings());
    let march: Timestamp = "2020-03-31T23:59:59Z".parse().unwrap();
    let begun = std::time::Instant::now();
    setting.clock = Clock::from_fn(move || march + SignedDuration::try_from(begun.elapsed()).unwrap());
    let served = Served::start(setting);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        served.metric("oidc_issuer_certificate_expiry_timestamp_seconds{listener=\"127.0.0.1:0\"}"),
        Some(1_585_699_200.0)
    );
    assert_eq!(reloads(&served, "failure"), Some(0.0));
    let stream = served.connect().await;
    drop(stream);
}
