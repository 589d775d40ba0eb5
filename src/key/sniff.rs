//! What a document is, from its first octets: people give the wrong file more often than a broken one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{MAX_BYTES, ParseError, pem};

/// The kinds of document that hold keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pem,
    Json,
}

/// Tells the kind; returns the document without a byte order mark, which is no part of either kind.
pub(super) fn kind(document: &[u8]) -> Result<(Kind, &[u8]), ParseError> {
    if document.len() > MAX_BYTES {
        return Err(ParseError::TooLarge {
            bytes: document.len(),
        });
    }
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let trimmed = document.trim_ascii();
    if trimmed.is_empty() {
        return Err(ParseError::Empty);
    }
    if pem::is_pem(document) {
        return Ok((Kind::Pem, document));
    }
    match trimmed {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'-' | b'{', ..] | [b'-' | b'{', 0, ..] => {
            return Err(ParseError::Utf16);
        }
        [b'{' | b'[' | b'"', ..] => return Ok((Kind::Json, document)),
        _ if pem::resembles_pem(document) => return Ok((Kind::Pem, document)),
        _ => {}
    }
    Err(match trimmed {
        [b'<', ..] => ParseError::Html,
        // A SEQUENCE whose length takes one, two or three further octets, or none.
        [0x30, 0x81..=0x83, ..] => ParseError::Der,
        [0x30, length, content @ ..] if usize::from(*length) == content.len() => ParseError::Der,
        _ => std::str::from_utf8(trimmed).map_or(ParseError::NoKeys, text),
    })
}

fn text(text: &str) -> ParseError {
    if ["ssh-", "ecdsa-sha2-", "---- BEGIN SSH2"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        return ParseError::OpenSsh;
    }
    let is_base64url = |part: &str| {
        part.bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    if text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_base64url) {
        return ParseError::Token;
    }
    // The first 48 characters tell; nothing of what may be a private key is copied.
    let start: String = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .take(48)
        .collect();
    let whole = &start[..start.len() / 4 * 4];
    match BASE64_STANDARD.decode(whole).as_deref() {
        Ok([0x30, 0x81..=0x83, ..] | [0x30, 0x20..=0x7f, 0x30 | 0x02, ..]) => ParseError::BareBase64,
        Ok(decoded) if decoded.starts_with(b"-----BEGIN ") => ParseError::EncodedPem,
        _ => ParseError::NoKeys,
    }
}
