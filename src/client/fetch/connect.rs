//! From a target to a stream of octets: names, addresses, proxies.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt as _};
use url::Url;

use super::meter::{Meter, Metered};
use super::no_proxy::NoProxy;
use super::{Cause, Phase, Target, Wire, tls};

/// The way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// Straight there.
    None,
    /// As `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, read as curl reads them.
    Environment,
    /// Through this proxy: `http`, `https`, `socks5` or `socks5h`.
    Url(String),
}

impl Proxy {
    fn to(&self, url: &Url) -> Result<Option<Intercept>, Cause> {
        if url.scheme() != "https" {
            // Plain HTTP is on loopback only.
            return Ok(None);
        }
        let uri: Uri = url.as_str().parse().map_err(|_| Cause::Resolve {
            host: url.host_str().unwrap_or_default().to_owned(),
            reason: "not a host name".into(),
        })?;
        match self {
            Self::None => Ok(None),
            Self::Environment => {
                let port = url.port_or_known_default().unwrap_or(443);
                let is_direct = url
                    .host()
                    .is_some_and(|host| NoProxy::from_env().covers(&host, port));
                // The matcher takes `*` and ports for names only.
                Ok(if is_direct {
                    None
                } else {
                    Matcher::from_env().intercept(&uri)
                })
            }
            Self::Url(proxy) => {
                let found = Matcher::builder().all(proxy.clone()).build().intercept(&uri);
                found.map(Some).ok_or_else(|| Cause::Settings {
                    reason: "proxy-url is not the URL of a proxy".into(),
                    remedy: "Give it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT.".into(),
                })
            }
        }
    }
}

pub(super) async fn connect(target: &Target, meter: &Meter) -> Result<Wire, Cause> {
    match target.proxy.to(&target.base)? {
        None => {
            let host = target.base.host_str().unwrap_or_default();
            let port = target.base.port_or_known_default().unwrap_or(443);
            tcp(host, port, meter).await
        }
        Some(proxy) => through(proxy, target, meter).await,
    }
}

/// Lets a proxy connect us.
async fn through(proxy: Intercept, target: &Target, meter: &Meter) -> Result<Wire, Cause> {
    let authority = proxy
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let failed = |reason: String| Cause::Proxy {
        proxy: authority.clone(),
        reason,
    };
    let uri: Uri = target
        .base
        .as_str()
        .parse()
        .map_err(|_| failed("the URL is not valid".into()))?;
    let scheme = proxy.uri().scheme_str().unwrap_or_default().to_owned();
    let default_port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => 1080,
    };
    let roots = target.roots.system();
    let to_proxy = Dialler {
        default_port,
        roots,
        meter: meter.clone(),
    };
    let address = proxy.uri().clone();
    match scheme.as_str() {
        "http" | "https" => {
            let mut tunnel = Tunnel::new(address, to_proxy);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let stream = tunnel
                .oneshot(uri)
                .await
                .map_err(|error| failed(reason(&error)))?;
            Ok(stream.into_inner())
        }
        "socks5" | "socks5h" => {
            let mut socks = SocksV5::new(address, to_proxy);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            let stream = socks.oneshot(uri).await.map_err(|error| failed(reason(&error)))?;
            Ok(stream.into_inner())
        }
        scheme => Err(failed(format!(
            "{scheme} proxies are not supported: use http, https or socks5"
        ))),
    }
}

/// Connects to a proxy.
#[derive(Clone)]
struct Dialler {
    default_port: u16,
    roots: tls::SystemRoots,
    meter: Meter,
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Wire>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Cause>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self {
            default_port,
            roots,
            meter,
        } = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let wire = tcp(host, uri.port_u16().unwrap_or(default_port), &meter).await?;
            let wire = match uri.scheme_str() {
                Some("https") => tls::handshake_with_proxy(roots, host, wire).await?,
                _ => wire,
            };
            Ok(TokioIo::new(wire))
        })
    }
}

fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Connects to the first address that answers: the next one is tried when one fails, or after a quarter of a second
/// (RFC 8305 section 5).
async fn tcp(host: &str, port: u16, meter: &Meter) -> Result<Wire, Cause> {
    const NEXT: Duration = Duration::from_millis(250);
    // Brackets belong to the URL, not to the address.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let resolve = |reason: String| Cause::Resolve {
        host: host.to_owned(),
        reason,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, port))
        .await
        .map_err(|error| resolve(error.to_string()))?
        .collect();
    let mut addresses = addresses.into_iter();
    let first = addresses
        .next()
        .ok_or_else(|| resolve("it has no address".into()))?;

    let mut attempts = JoinSet::new();
    attempts.spawn(TcpStream::connect(first));
    let mut failure = None;
    loop {
        let next = tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt.map_err(io::Error::other).flatten() {
                Ok(stream) => {
                    // A request is one small packet, and waits for nothing.
                    let _ = stream.set_nodelay(true);
                    return Ok(Box::new(Metered {
                        stream,
                        meter: meter.clone(),
                    }));
                }
                Err(error) => {
                    failure.get_or_insert(unreachable_for(&error));
                    addresses.next()
                }
            },
            () = tokio::time::sleep(NEXT), if addresses.len() > 0 => addresses.next(),
        };
        match next {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => {
                return Err(failure.unwrap_or(Cause::Interrupted {
                    phase: Phase::Connect,
                }));
            }
            None => {}
        }
    }
}

fn unreachable_for(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        _ => Cause::Unreachable {
            reason: error.to_string(),
        },
    }
}
