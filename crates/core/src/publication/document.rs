//! One document: what every place that serves it needs to know.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::CachePolicy;

/// One document, finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// As it is.
    pub body: Bytes,
    /// Of `body`.
    pub etag: EntityTag,
    /// `Content-Type`.
    pub media_type: MediaType,
    /// `Cache-Control`.
    pub cache: CachePolicy,
}

impl Document {
    /// A document with these bytes.
    pub fn new(body: Vec<u8>, media_type: MediaType, cache: CachePolicy) -> Self {
        Self {
            etag: EntityTag::of(&body),
            // Exactly as long as the body: a fleet keeps hundreds of thousands of them.
            body: body.into_boxed_slice().into(),
            media_type,
            cache,
        }
    }
}

/// A strong entity tag (RFC 9110 section 8.8.3) with its quotes: base64url of SHA-256 of the bytes that are sent, so
/// another one for each encoding. ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(Bytes);

impl EntityTag {
    /// Of these bytes.
    pub fn of(body: &[u8]) -> Self {
        Self(format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(body))).into())
    }

    /// As in a header.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// As in a header.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A media type, with its parameters if it has some: visible ASCII, spaces and tabs.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaType(Bytes);

impl MediaType {
    /// `application/json`.
    pub const JSON: Self = Self(Bytes::from_static(b"application/json"));

    /// `application/jwk-set+json`.
    pub const JWKS: Self = Self(Bytes::from_static(b"application/jwk-set+json"));

    /// `None` where it cannot stand in a header, or names no type and subtype.
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
        let has_subtype = text.split(';').next().is_some_and(|kind| kind.contains('/'));
        (has_subtype && text.bytes().all(is_visible)).then(|| Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// As in a header.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// As in a header.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_may_stand_in_a_header_and_names_a_subtype() {
        for text in ["application/json", "text/plain; charset=utf-8", "a/b;\tc=d"] {
            assert_eq!(MediaType::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "json",
            "json; a=b/c",
            "a/b\nx: y",
            "a/b\r",
            "a/\u{e9}",
            "a/b\0",
            "a/b\x7f",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text:?}");
        }
    }
}
