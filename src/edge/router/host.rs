//! Which host a request is for (RFC 9110 section 7.2, RFC 9112 section 3.2, RFC 9113 section 8.3.1).

use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

use crate::publication::same_host;

/// `Host` is missing, empty, repeated or invalid, or says otherwise than `:authority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadHost;

/// The host, with its port if one was given. `None` only where a request may be without one (HTTP/1.0, HTTP/2).
///
/// The authority of an absolute-form target stands for `Host`, which must be there and valid all the same.
pub(super) fn of(request: &Parts) -> Result<Option<&str>, BadHost> {
    let field = field(request)?;
    let target = request.uri.scheme().and(request.uri.authority());
    match target {
        None => match field {
            None if request.version == Version::HTTP_11 => Err(BadHost),
            field => Ok(field),
        },
        Some(target) => {
            let target = valid(target.as_str())?;
            match (request.version, field) {
                (Version::HTTP_11, None) => Err(BadHost),
                // Which of them would a proxy before us have gone by?
                (Version::HTTP_2, Some(field)) if !same_host(field, target) => Err(BadHost),
                _ => Ok(Some(target)),
            }
        }
    }
}

fn field(request: &Parts) -> Result<Option<&str>, BadHost> {
    let mut fields = request.headers.get_all(HOST).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(BadHost);
    }
    if field.is_empty() && request.version < Version::HTTP_11 {
        return Ok(None);
    }
    HeaderValue::to_str(field)
        .map_err(|_| BadHost)
        .and_then(valid)
        .map(Some)
}

/// `uri-host [ ":" port ]` (RFC 3986 section 3.2), with something in it.
fn valid(host: &str) -> Result<&str, BadHost> {
    let after = if let Some(rest) = host.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(BadHost)?;
        address.parse::<Ipv6Addr>().map_err(|_| BadHost)?;
        after
    } else {
        let (name, after) = host.split_at(host.find(':').unwrap_or(host.len()));
        if !is_name(name.as_bytes()) {
            return Err(BadHost);
        }
        after
    };
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok(host),
        Some("") => Ok(host),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok() => Ok(host),
        _ => Err(BadHost),
    }
}

/// `reg-name`: unreserved, sub-delims and percent-encoded octets.
fn is_name(name: &[u8]) -> bool {
    let mut octets = name.iter();
    while let Some(octet) = octets.next() {
        let fine = match octet {
            octet if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(octet) => true,
            b'%' => {
                octets.next().is_some_and(u8::is_ascii_hexdigit)
                    && octets.next().is_some_and(u8::is_ascii_hexdigit)
            }
            _ => false,
        };
        if !fine {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        let one = request(Version::HTTP_11, "/", &["a.example:8443"]);
        assert_eq!(of(&one), Ok(Some("a.example:8443")));
        for hosts in [&[][..], &[""], &["a.example", "a.example"], &["", "a.example"]] {
            assert_eq!(of(&request(Version::HTTP_11, "/", hosts)), Err(BadHost));
        }
    }

    #[test]
    fn http_1_0_may_be_without_a_host_but_not_with_two() {
        assert_eq!(of(&request(Version::HTTP_10, "/", &[])), Ok(None));
        assert_eq!(of(&request(Version::HTTP_10, "/", &[""])), Ok(None));
        assert_eq!(
            of(&request(Version::HTTP_10, "/", &["a.example"])),
            Ok(Some("a.example"))
        );
        assert_eq!(
            of(&request(Version::HTTP_10, "/", &["a.example", "b.example"])),
            Err(BadHost)
        );
        assert_eq!(of(&request(Version::HTTP_10, "/", &["a b"])), Err(BadHost));
    }

    #[test]
    fn the_authority_of_an_absolute_target_stands_for_host() {
        let absolute = "http://a.example/jwks";
        assert_eq!(
            of(&request(Version::HTTP_11, absolute, &["b.example"])),
            Ok(Some("a.example"))
        );
        assert_eq!(
            of(&request(Version::HTTP_10, absolute, &[])),
            Ok(Some("a.example"))
        );
        assert_eq!(of(&request(Version::HTTP_11, absolute, &[])), Err(BadHost));
        assert_eq!(of(&request(Version::HTTP_11, absolute, &["/"])), Err(BadHost));
        assert_eq!(
            of(&request(Version::HTTP_11, "http://me@a.example/", &["a.example"])),
            Err(BadHost)
        );
    }

    #[test]
    fn http_2_goes_by_authority_and_host_must_not_say_otherwise() {
        let target = "https://a.example/jwks";
        assert_eq!(of(&request(Version::HTTP_2, target, &[])), Ok(Some("a.example")));
        for same in ["A.example", "a.example.", "a.example:443"] {
            assert_eq!(
                of(&request(Version::HTTP_2, target, &[same])),
                Ok(Some("a.example"))
            );
        }
        assert_eq!(
            of(&request(Version::HTTP_2, target, &["b.example"])),
            Err(BadHost)
        );
        assert_eq!(
            of(&request(Version::HTTP_2, "/jwks", &["a.example"])),
            Ok(Some("a.example"))
        );
        assert_eq!(of(&request(Version::HTTP_2, "/jwks", &[])), Ok(None));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a",
            "A.Example.",
            "a_b.example",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8443",
            "a:",
            "a:0",
            "a%20b",
        ] {
            assert_eq!(valid(host), Ok(host), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "a?b", "a#b", "me@a", "a:b", "a:1:2", "a:99999", "a:-1", "a:+1", "[::1",
            "::1", "[a]", "[]", "[::1]x", "a\\b", "a%2", "a%zz", "a\"b", "<a>", "a\u{e9}",
        ] {
            assert_eq!(valid(host), Err(BadHost), "{host}");
        }
        assert_eq!(of(&request(Version::HTTP_11, "/", &["a\u{e9}"])), Err(BadHost));
    }
}
