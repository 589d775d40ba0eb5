//! TLS as a client sees it.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use oidc_issuer::edge::TlsSettings;

use super::vocabulary::{Served, Setting, read_to_end, reqwest_builder, within};

const LAST: &[u8] = b"GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A service with a certificate of its own making.
struct SelfSigned {
    served: Served,
    folder: TempDir,
}

impl SelfSigned {
    fn start(setting: Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = TlsSettings::SelfSigned {
            folder: folder.path().to_owned(),
            names: vec!["oidc.example.com".into()],
        };
        Self {
            served: Served::start(setting.tls(tls)),
            folder,
        }
    }

    fn ca(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.crt")).unwrap()
    }

    /// A client that trusts its CA.
    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        trusting(&self.ca(), versions)
    }
}

pub(super) fn trusting(ca: &[u8], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    trusting_with(rustls::crypto::aws_lc_rs::default_provider(), ca, versions)
}

fn trusting_with(
    provider: CryptoProvider,
    ca: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(super) async fn handshake(
    served: &Served,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.clone())
        .connect(name, served.connect().await)
        .await
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_http_1_and_2() {
    let signed = SelfSigned::start(Setting::plain());
    for (version, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["http/1.0", "http/1.1"], Some("http/1.1")),
            (&["http/1.0"], Some("http/1.0")),
            (&[], None),
        ] {
            let mut config = signed.client(&[version]);
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let mut stream = handshake(&signed.served, &Arc::new(config), "localhost")
                .await
                .unwrap();
            let connection = stream.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(spoken));
            assert_eq!(connection.alpn_protocol(), chosen.map(str::as_bytes));
            if chosen != Some("h2") {
                stream.write_all(LAST).await.unwrap();
                let read = read_to_end(&mut stream).await;
                assert!(read.starts_with("HTTP/1.1 200 OK\r\n"), "{read}");
                assert!(
                    read.contains("\r\nstrict-transport-security: max-age=31536000\r\n"),
                    "{read}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_server_chooses_the_cipher_suite() {
    let signed = SelfSigned::start(Setting::plain());
    for version in [&TLS12, &TLS13] {
        let mut chosen = Vec::new();
        for reversed in [false, true] {
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            if reversed {
                provider.cipher_suites.reverse();
            }
            let config = trusting_with(provider, &signed.ca(), &[version]);
            let stream = handshake(&signed.served, &Arc::new(config), "localhost")
                .await
                .unwrap();
            chosen.push(stream.get_ref().1.negotiated_cipher_suite().unwrap().suite());
        }
        assert_eq!(chosen[0], chosen[1]);
    }
}

#[tokio::test]
async fn a_client_that_knows_the_ca_needs_nothing_else() {
    let signed = SelfSigned::start(Setting::plain());
    let ca = reqwest::Certificate::from_pem(&signed.ca()).unwrap();
    let client = reqwest_builder().tls_certs_only([ca]).build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!(
            "https://{host}:{}/.well-known/openid-configuration",
            signed.served.address.port()
        );
        let response = client.get(url).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, http::Version::HTTP_2)
        );
        assert!(response.headers().contains_key("strict-transport-security"));
    }
    let config = Arc::new(signed.client(&[&TLS13]));
    for name in ["localhost", "127.0.0.1", "::1", "oidc.example.com"] {
        handshake(&signed.served, &config, name).await.unwrap();
    }
    assert!(
        handshake(&signed.served, &config, "other.example.com")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_session_is_resumed() {
    let signed = SelfSigned::start(Setting::plain());
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(signed.client(&[version]));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = handshake(&signed.served, &config, "localhost").await.unwrap();
            stream.write_all(LAST).await.unwrap();
            read_to_end(&mut stream).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{version:?}");
        }
    }
}

#[tokio::test]
async fn an_end_is_announced_so_that_nothing_can_be_cut_off_unseen() {
    let signed = SelfSigned::start(Setting::plain());
    let config = Arc::new(signed.client(&[&TLS13]));
    let mut stream = handshake(&signed.served, &config, "localhost").await.unwrap();
    stream.write_all(LAST).await.unwrap();
    let mut read = Vec::new();
    // Without close_notify this is an error.
    within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut read))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_its_reason() {
    let signed = SelfSigned::start(Setting::plain().limits(|limits| {
        limits.handshake_timeout = Duration::from_millis(300);
    }));
    let served = &signed.served;
    let count = async |reason: &str| {
        let line = format!(
            "oidc_issuer_tls_handshake_failures_total{{listener=\"127.0.0.1:0\",reason=\"{reason}\"}}"
        );
        within(async {
            while served.metric(&line) != Some(1.0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    // Plain HTTP, to a port that speaks TLS.
    served.exchange(LAST).await;
    count("not_tls").await;
    // A health check of a balancer that only connects.
    drop(served.connect().await);
    count("closed").await;
    // A client that stops in the middle.
    served.exchange(b"\x16\x03\x01\x02\x00\x01").await;
    count("timeout").await;
    // A client that does not know the CA.
    let other = SelfSigned::start(Setting::plain());
    handshake(served, &Arc::new(other.client(&[&TLS13])), "localhost")
        .await
        .unwrap_err();
    count("client_alert").await;
    let mut only_this = signed.client(&[&TLS13]);
    only_this.alpn_protocols = vec![b"spdy/3".to_vec()];
    handshake(served, &Arc::new(only_this), "localhost")
        .await
        .unwrap_err();
    count("incompatible").await;
}
