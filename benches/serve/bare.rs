//! The yardstick: hyper and rustls with nothing between them and two bodies in memory.
//!
//! No limits, no routing beyond the path, no conditions, no metrics, no reload, no drain. What the service costs
//! beyond this is what it adds.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the files that its script made"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Documents {
    discovery: Bytes,
    jwks: Bytes,
}

fn answer(documents: &Documents, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (body, media_type, cache) = match request.uri().path() {
        "/jwks" => (
            documents.jwks.clone(),
            "application/jwk-set+json",
            "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400",
        ),
        "/.well-known/openid-configuration" => (
            documents.discovery.clone(),
            "application/json",
            "public, max-age=3600, stale-if-error=86400",
        ),
        _ => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let response = Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::ETAG, "\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\"")
        .header(header::CACHE_CONTROL, cache)
        .header(header::VARY, "Accept-Encoding")
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::new(body));
    response.unwrap_or_default()
}

/// `bare HTTP-ADDRESS HTTPS-ADDRESS CERT KEY DISCOVERY JWKS`
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .filter_map(|argument| argument.into_string().ok())
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let [http, https, cert, key, discovery, jwks] = &arguments[..] else {
        println!("benches/serve/run starts this");
        return Ok(());
    };
    let documents = Arc::new(Documents {
        discovery: std::fs::read(discovery)?.into(),
        jwks: std::fs::read(jwks)?.into(),
    });
    let tls = acceptor(cert.into(), key.into())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let plain = tokio::spawn(listen(http.parse()?, documents.clone(), None));
            let secure = tokio::spawn(listen(https.parse()?, documents, Some(tls)));
            plain.await??;
            secure.await?
        })
}

fn acceptor(cert: PathBuf, key: PathBuf) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn listen(
    address: SocketAddr,
    documents: Arc<Documents>,
    tls: Option<TlsAcceptor>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (documents, tls) = (documents.clone(), tls.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let documents = documents.clone();
                async move { Ok::<_, Infallible>(answer(&documents, &request)) }
            });
            let Some(tls) = tls else {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                return;
            };
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let _ = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            } else {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
    }
}
