//! Text that is neither PEM nor JSON.

use super::{Foreign, Input, Way, base64, ssh};
use crate::key::{ParseError, pem};

pub(super) fn of(text: &str) -> Option<ParseError> {
    if let Some(found) = ssh::block(text).or_else(|| ssh::line(text)) {
        return Some(found.error("", Input::File));
    }
    let never = |what, reason: &str| {
        let way = Way::Never(reason.to_owned());
        Some(Foreign { what, way }.error("", Input::File))
    };
    let has_line = |start: &str| text.lines().any(|line| line.starts_with(start));
    if has_line("AGE-SECRET-KEY-") || has_line("age1") || has_line("age-encryption.org/") {
        return never("a key or file of age", "X25519 keys encrypt, they sign nothing");
    }
    if text.starts_with("untrusted comment:") {
        return never(
            "a key of minisign or signify",
            "Ed25519: only RSA and EC keys on P-256, P-384 and P-521 can be published",
        );
    }
    if is_token(text) {
        return Some(ParseError::Token);
    }
    if has_line("apiVersion:") || has_line("kind:") {
        return Some(manifest(text));
    }
    base64::of(text)
}

fn is_token(text: &str) -> bool {
    let is_base64url = |part: &str| {
        part.bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_base64url)
}

/// A Kubernetes object in YAML; PEM in it is read as PEM before.
fn manifest(text: &str) -> ParseError {
    let entries = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        let is_name = name.bytes().all(is_of_name);
        (is_name && is_document(value)).then_some(name)
    });
    let advice = match entries.min_by_key(|name| is_private(name)) {
        Some(name) => format!(
            "take the key out of it with sed -n 's/^ *{name}: *//p' FILE | tr -cd 'A-Za-z0-9+/=' | base64 -d"
        ),
        None => "take the key out of it: what is expected is the PEM text or the JWKS alone".to_owned(),
    };
    ParseError::Foreign {
        what: "a Kubernetes object in YAML".to_owned(),
        advice,
    }
}

/// As names in the data of a Secret are.
pub(super) fn is_of_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)
}

/// Whether a name is that of a private key by custom.
pub(super) fn is_private(name: &str) -> bool {
    [".key", "private", "secret"]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether a value is base64 of PEM or JSON.
pub(super) fn is_document(value: &str) -> bool {
    let start = value.as_bytes();
    let start = &start[..start.len().min(64) / 4 * 4];
    pem::decode(start).is_ok_and(|decoded| {
        let decoded = super::without_mark(&decoded);
        decoded.starts_with(b"-----BEGIN ") || decoded.starts_with(b"{")
    })
}
