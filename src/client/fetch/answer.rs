//! A response: what its status and headers mean, and its body, read no further than the cap.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use url::Url;

use super::{Cause, MAX_BODY, Phase, broken, shown};
use crate::client::Status;

/// A document that was answered with 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its octets, never empty.
    pub(crate) body: Bytes,
    /// How long it may still be cached, as it says.
    pub(crate) max_age: Option<Duration>,
}

impl Answer {
    pub(super) async fn read(response: Response<Incoming>, sent: &Sent<'_>) -> Result<Self, Cause> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            let body = collect(body, MAX_BODY).await.unwrap_or_default();
            return Err(refusal(&head, &body, sent));
        }
        let encoding = head.headers.get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Cause::Encoded);
        }
        let body = collect(body, MAX_BODY).await?;
        if body.trim_ascii().is_empty() {
            return Err(Cause::Empty);
        }
        if is_html(&head.headers, &body) {
            return Err(Cause::Html);
        }
        Ok(Self {
            body,
            max_age: max_age(&head.headers),
        })
    }
}

/// What an API server answered to a request that may be refused for good reasons.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200, 201, 404, 409, 413 or 422.
    pub(crate) status: StatusCode,
    /// A JSON document, most likely.
    pub(crate) body: Bytes,
}

impl Reply {
    pub(super) fn of(response: Response<Bytes>, sent: &Sent<'_>) -> Result<Self, Cause> {
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK
            | StatusCode::CREATED
            | StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Ok(Self {
                status: head.status,
                body,
            }),
            _ => Err(refusal(&head, &body, sent)),
        }
    }
}

/// The credentials that were sent with a request.
pub(super) struct Sent<'a> {
    pub(super) any: bool,
    pub(super) headers: &'a HeaderMap,
}

impl Sent<'_> {
    /// What an answer that repeats it must not bring into a message.
    fn secrets(&self) -> Vec<&str> {
        let values = self.headers.values().filter_map(|value| value.to_str().ok());
        values.flat_map(str::split_whitespace).collect()
    }
}

/// Whether a status sends elsewhere: 300, 304 and what nobody has defined do not.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What any status but 200 means.
fn refusal(head: &Parts, body: &[u8], sent: &Sent<'_>) -> Cause {
    let status = Status::of(head.status, body);
    let said = status.as_ref().map(|status| status.refusal(&sent.secrets()));
    match head.status {
        StatusCode::UNAUTHORIZED => Cause::Unauthorized { sent: sent.any, said },
        StatusCode::FORBIDDEN => Cause::Forbidden {
            user: status.and_then(|status| refused_user(status.message())),
            sent: sent.any,
            said,
        },
        StatusCode::NOT_FOUND => Cause::NotFound,
        status if is_redirect(status) => Cause::Redirect {
            status: status.as_u16(),
            to: location(&head.headers),
        },
        status => Cause::Status { status, said },
    }
}

pub(super) async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Cause> {
    let too_large = Cause::TooLarge { limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large);
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error, Phase::Body))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > limit {
                return Err(too_large);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
    });
    let body = body.trim_ascii_start();
    // Some servers say text/html of any file.
    body.starts_with(b"<") || (declared && !body.starts_with(b"{"))
}

/// Where a redirect leads, if that is a URL; without query and userinfo.
fn location(headers: &HeaderMap) -> Option<String> {
    let url = Url::parse(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    Some(shown(&url)).filter(|shown| shown.len() <= 300)
}

/// Who was refused, from the `Status` document of an API server: `… User "system:serviceaccount:ns:name" cannot get …`.
/// Only names of the two shapes that can be nothing else: an answer might echo a token.
fn refused_user(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    let is_account = |user: &str| {
        user.strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
            .is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
    };
    (user == "system:anonymous" || is_account(user)).then(|| user.to_owned())
}

/// What is left of `max-age` (RFC 9111 section 4.2): `no-store` and `no-cache` leave nothing.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => Some(0),
                "max-age" => argument.trim().trim_matches('"').parse::<u64>().ok(),
                _ => None,
            };
            if let Some(seconds) = seconds {
                found = Some(found.map_or(seconds, |least: u64| least.min(seconds)));
            }
        }
    }
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.trim().parse::<u64>().ok())
        .unwrap_or(0);
    found.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn max_age_is_what_is_left_of_it() {
        let cases: [(&[_], Option<u64>); 9] = [
            (&[], None),
            (&[("cache-control", "public, max-age=3600")], Some(3600)),
            (&[("cache-control", "public, Max-Age=\"60\"")], Some(60)),
            (&[("cache-control", "max-age=300"), ("age", "290")], Some(10)),
            (&[("cache-control", "max-age=300"), ("age", "4000")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (
                &[("cache-control", "max-age=300"), ("cache-control", "no-cache")],
                Some(0),
            ),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "private, s-maxage=5")], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(
                max_age(&headers(pairs)),
                expected.map(Duration::from_secs),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn only_a_kubernetes_user_is_told_from_a_refusal() {
        let of = |user: &str| {
            refused_user(&format!(
                "forbidden: User \"{user}\" cannot get path \"/openid/v1/jwks\""
            ))
        };
        assert_eq!(of("system:anonymous").as_deref(), Some("system:anonymous"));
        assert_eq!(
            of("system:serviceaccount:ns:a.b-1").as_deref(),
            Some("system:serviceaccount:ns:a.b-1")
        );
        assert_eq!(of("eyJhbGciOi.eyJpc3Mi.AAAA"), None);
        assert_eq!(of("system:serviceaccount:ns:a;rm -rf"), None);
        assert_eq!(refused_user("<html>"), None);
    }

    #[test]
    fn a_redirect_is_told_without_its_query() {
        let to = |url| location(&headers(&[("location", url)]));
        assert_eq!(
            to("https://u:p@login.example/x?state=secret#f").as_deref(),
            Some("https://login.example/x?…")
        );
        assert_eq!(to("/relative"), None);
    }
}
