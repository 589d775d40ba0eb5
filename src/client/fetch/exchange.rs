//! Requests whose headers and meaning belong to someone else, an object storage's client above all: over the connections
//! that stores share, by the same rules for proxies, CAs, time and size. Redirects are not followed.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use url::{Host, Url};

use super::{Connections, PROGRAM, Proxy, Roots, TIMEOUT, Target, authority};
use crate::client::Cause;

/// A metadata service of a cloud is on the same machine, or not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends requests as they are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    connections: Connections,
    roots: Roots,
}

impl Exchange {
    /// `ca` are certificates in PEM that are trusted beside those of the operating system. `Err` says what is wrong with
    /// them.
    pub(crate) fn new(connections: Connections, ca: Option<&[u8]>) -> Result<Self, String> {
        let system = connections.system_roots();
        let roots = match ca {
            Some(pem) => Roots::beside(pem, system)?,
            None => Roots::System(system),
        };
        Ok(Self { connections, roots })
    }

    /// Sends a request, and gives back the answer whatever its status is; the body of a success has at most `limit` bytes,
    /// and is whole. It may be sent twice, see [`Connections`]. Plain HTTP is refused unless `allow_http`.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
        allow_http: bool,
    ) -> Result<Response<Bytes>, Cause> {
        let invalid = |reason: &str| Cause::Settings {
            reason: reason.into(),
            remedy: "Correct the endpoint.".into(),
        };
        let (mut head, body) = request.into_parts();
        let base = Url::parse(&head.uri.to_string()).map_err(|_| invalid("the endpoint is no URL"))?;
        match base.scheme() {
            "https" => {}
            "http" if allow_http => {}
            _ => return Err(invalid("plain HTTP is refused there")),
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let path: Uri = path.parse().map_err(|_| invalid("the endpoint is no URL"))?;
        let host =
            HeaderValue::from_str(authority(&base)).map_err(|_| invalid("the endpoint has no host"))?;
        head.uri = path;
        head.headers.insert(HOST, host);
        head.headers.entry(USER_AGENT).or_insert(PROGRAM);
        let timeout = if is_metadata(&base) {
            METADATA_TIMEOUT
        } else {
            TIMEOUT
        };
        let target = Target {
            base: origin(base),
            roots: self.roots.clone(),
            server_name: None,
            identity: None,
            headers: http::HeaderMap::new(),
            proxy: Proxy::Environment,
            timeout,
        };
        let request = Request::from_parts(head, Full::new(body));
        self.connections.exchange(&target, &request, limit).await
    }
}

/// The same for all that is asked there: by it a connection is found again.
fn origin(mut url: Url) -> Url {
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn is_metadata(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "metadata.google.internal",
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => IpAddr::from(address) == AWS_METADATA,
        None => false,
    }
}

/// `fd00:ec2::254`.
const AWS_METADATA: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
