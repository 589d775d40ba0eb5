//! One document in every encoding, with the headers of every response that carries it: prepared once.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

/// `Strict-Transport-Security` (RFC 6797): a year, this host alone.
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// One document in every encoding that is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// As it is.
    pub identity: Representation,
    /// `Content-Encoding: gzip`, where smaller.
    pub gzip: Option<Representation>,
    /// `Content-Encoding: br`, where smaller.
    pub br: Option<Representation>,
}

impl Document {
    pub(super) fn new(body: Vec<u8>, content_type: &HeaderValue, cache_control: &HeaderValue) -> Self {
        let smaller = |encoded: Option<Vec<u8>>, encoding: &'static str| {
            let encoded = encoded.filter(|encoded| encoded.len() < body.len())?;
            Some(Representation::new(
                encoded,
                content_type,
                Some(encoding),
                cache_control,
            ))
        };
        Self {
            gzip: smaller(gzip(&body), "gzip"),
            br: smaller(brotli(&body), "br"),
            identity: Representation::new(body, content_type, None, cache_control),
        }
    }
}

/// One document in one encoding: all that a response needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The octets sent.
    pub body: Bytes,
    /// Strong entity tag with its quotes: base64url of SHA-256 of `body`.
    pub etag: HeaderValue,
    /// The headers of a 200.
    pub ok: Headers,
    /// The headers of a 304: those of the 200 less `Content-*`.
    pub not_modified: Headers,
}

impl Representation {
    fn new(
        body: Vec<u8>,
        content_type: &HeaderValue,
        encoding: Option<&'static str>,
        cache_control: &HeaderValue,
    ) -> Self {
        let etag = etag(&body);
        let not_modified = HeaderMap::from_iter([
            (ETAG, etag.clone()),
            (CACHE_CONTROL, cache_control.clone()),
            (VARY, HeaderValue::from_static("Accept-Encoding")),
            (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ]);
        let mut ok = HeaderMap::with_capacity(9);
        ok.insert(CONTENT_TYPE, content_type.clone());
        ok.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(encoding) = encoding {
            ok.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        ok.extend(not_modified.clone());
        Self {
            body: body.into(),
            etag,
            ok: Headers::new(ok),
            not_modified: Headers::new(not_modified),
        }
    }
}

/// The headers of a response, all but `Date` and what HTTP itself adds: to be cloned, nothing to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    plain: HeaderMap,
    hsts: HeaderMap,
}

impl Headers {
    fn new(plain: HeaderMap) -> Self {
        let mut hsts = plain.clone();
        hsts.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        Self { plain, hsts }
    }

    /// With `Strict-Transport-Security` (on TLS, or where a plain listener is configured so) or without.
    pub fn with_hsts(&self, hsts: bool) -> &HeaderMap {
        if hsts { &self.hsts } else { &self.plain }
    }
}

/// A strong entity tag (RFC 9110 section 8.8.3) of the octets sent, so another one for each encoding.
fn etag(body: &[u8]) -> HeaderValue {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(body)));
    #[expect(clippy::expect_used, reason = "base64url and quotes are valid in a header")]
    HeaderValue::try_from(tag).expect("base64url is a valid header")
}

/// Without a time or a name in its head, so that equal bodies are equal when compressed. `None` if it fails:
/// the document is then served as it is.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// At the highest quality, with a window no larger than the document needs. `None` if it fails.
fn brotli(body: &[u8]) -> Option<Vec<u8>> {
    let bits = i32::try_from(usize::BITS - body.len().leading_zeros()).ok()?;
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: bits.clamp(10, 24),
        size_hint: body.len(),
        ..Default::default()
    };
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut encoded, &params).ok()?;
    Some(encoded)
}
