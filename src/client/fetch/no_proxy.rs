//! What is asked directly, although the environment names a proxy: `NO_PROXY`, in every form that curl, Go or Python
//! take for addresses and names.

use std::ffi::OsStr;
use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

/// The entries of `NO_PROXY` and `no_proxy`, of both where they differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy(Vec<Entry>);

/// A place, and its port where one is named.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// `*`.
    Any,
    /// `10.0.0.0/8`.
    Network(IpNet),
    /// `10.1.2.3`.
    Address(IpAddr),
    /// `example.com`, `.example.com`, `*.example.com`: it, and all below it.
    Domain(String),
}

impl NoProxy {
    pub(super) fn from_env() -> Self {
        let entries = ["NO_PROXY", "no_proxy"].into_iter().filter_map(std::env::var_os);
        Self(entries.flat_map(|text| Self::parse_os(&text).0).collect())
    }

    /// An entry that is not UTF-8 costs itself alone.
    fn parse_os(text: &OsStr) -> Self {
        Self::parse(&String::from_utf8_lossy(text.as_encoded_bytes()))
    }

    /// Entries are separated by commas or white space.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        Self(entries.filter_map(Entry::parse).collect())
    }

    pub(super) fn covers(&self, host: &Host<&str>, port: u16) -> bool {
        self.0.iter().any(|entry| entry.covers(host, port))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let at_any_port = |place| Some(Self { place, port: None });
        if let Ok(network) = text.parse::<IpNet>() {
            return at_any_port(Place::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return at_any_port(Place::Address(address.to_canonical()));
        }
        let (host, port) = match text.rsplit_once(':') {
            _ if text.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let place = if bare == "*" {
            Place::Any
        } else if let Ok(address) = bare.parse::<IpAddr>() {
            Place::Address(address.to_canonical())
        } else {
            let name = bare.strip_prefix('*').unwrap_or(bare).trim_matches('.');
            if name.is_empty() {
                return None;
            }
            Place::Domain(name.to_ascii_lowercase())
        };
        Some(Self { place, port })
    }

    fn covers(&self, host: &Host<&str>, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.place.covers(host)
    }
}

impl Place {
    fn covers(&self, host: &Host<&str>) -> bool {
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::from(*address)),
            Host::Ipv6(address) => Some(IpAddr::from(*address).to_canonical()),
            Host::Domain(_) => None,
        };
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Network(network), _) => address.is_some_and(|address| network.contains(&address)),
            (Self::Address(own), _) => address == Some(*own),
            (Self::Domain(own), Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name.strip_suffix(own.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            (Self::Domain(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use url::Url;

    use super::*;

    fn is_direct(no_proxy: &str, url: &str) -> bool {
        let url = Url::parse(url).unwrap();
        let port = url.port_or_known_default().unwrap();
        NoProxy::parse(no_proxy).covers(&url.host().unwrap(), port)
    }

    #[test]
    fn a_star_means_every_name_and_every_address() {
        for no_proxy in ["*", " * ", "other.example,*", "*, other.example", "other *"] {
            for url in [
                "https://10.0.0.1",
                "https://[fd00::1]:6443",
                "https://a.example:8443",
            ] {
                assert!(is_direct(no_proxy, url), "{no_proxy} {url}");
            }
        }
        assert!(is_direct("*:6443", "https://10.0.0.1:6443"));
        assert!(!is_direct("*:6443", "https://10.0.0.1"));
    }

    #[test]
    fn addresses_are_named_in_every_form_that_others_take() {
        for (no_proxy, url) in [
            ("10.0.0.1", "https://10.0.0.1:6443"),
            ("x, 10.0.0.1", "https://10.0.0.1:6443"),
            ("x 10.0.0.1", "https://10.0.0.1:6443"),
            ("10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("10.0.0.0/8", "https://10.200.0.1"),
            ("10.9.9.9/8", "https://10.200.0.1"),
            ("fd00::1", "https://[fd00::1]:6443"),
            ("[fd00::1]", "https://[fd00::1]:6443"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443"),
            ("FD00:0::1", "https://[fd00::1]"),
            ("fd00::/8", "https://[fd12::1]"),
            ("10.0.0.1", "https://[::ffff:10.0.0.1]"),
            ("::ffff:10.0.0.1", "https://10.0.0.1"),
        ] {
            assert!(is_direct(no_proxy, url), "{no_proxy} {url}");
        }
        for (no_proxy, url) in [
            ("", "https://10.0.0.1"),
            ("10.0.0.1:443", "https://10.0.0.1:6443"),
            ("10.0.0.0/8", "https://11.0.0.1"),
            ("[fd00::1]:443", "https://[fd00::1]:6443"),
            ("0.0.1", "https://10.0.0.1"),
            ("10.0.0.1", "https://10.0.0.1.example"),
        ] {
            assert!(!is_direct(no_proxy, url), "{no_proxy} {url}");
        }
    }

    #[test]
    fn an_entry_that_is_not_utf_8_costs_itself_alone() {
        let text = OsStr::from_bytes(b"a\xff.example,10.0.0.1");
        let host = Host::Ipv4([10, 0, 0, 1].into());
        assert!(NoProxy::parse_os(text).covers(&host, 6443));
    }

    #[test]
    fn a_name_is_meant_with_all_below_it() {
        for no_proxy in [
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com.",
            "a.test,example.com",
            "example.com:6443",
        ] {
            assert!(is_direct(no_proxy, "https://api.example.com:6443"), "{no_proxy}");
            assert!(is_direct(no_proxy, "https://api.example.com.:6443"), "{no_proxy}");
            assert!(!is_direct(no_proxy, "https://notexample.com:6443"), "{no_proxy}");
        }
        assert!(!is_direct("example.com:443", "https://api.example.com:6443"));
        for nothing in ["", ",", ".", "example.com:x", "[]"] {
            assert!(!is_direct(nothing, "https://api.example.com"), "{nothing}");
        }
    }
}
