//! One document in every encoding, and the headers of every response that carries it.
//!
//! A document holds its bytes and entity tags. The other headers depend on the settings alone, so all documents with
//! equal settings share one template. gzip is made at publication; br when a request first asks for it, see
//! [`Document::br`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use crate::publication::{self, Endpoint, EntityTag, Publication};

/// `Strict-Transport-Security` (RFC 6797): a year, this host alone.
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The document as it is.
    Identity,
    /// `gzip`.
    Gzip,
    /// `br`.
    Br,
}

/// A publication as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// What is sent.
    pub publication: Publication,
    /// `/.well-known/openid-configuration`.
    pub discovery: Document,
    /// `/jwks`.
    pub jwks: Document,
}

impl From<Publication> for Served {
    fn from(publication: Publication) -> Self {
        Self {
            discovery: Document::new(&publication.discovery),
            jwks: Document::new(&publication.jwks),
            publication,
        }
    }
}

impl Served {
    /// An endpoint's document.
    pub fn document(&self, endpoint: Endpoint) -> &Document {
        match endpoint {
            Endpoint::Discovery | Endpoint::OauthAuthorizationServer => &self.discovery,
            Endpoint::Jwks => &self.jwks,
        }
    }
}

/// One document in the encodings that are made at publication.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// As it is.
    pub identity: Representation,
    /// `Content-Encoding: gzip`, where smaller.
    pub gzip: Option<Representation>,
    headers: Arc<Headers>,
}

impl Document {
    fn new(document: &publication::Document) -> Self {
        let publication::Document {
            body,
            etag,
            media_type,
            cache,
        } = document;
        Self {
            gzip: gzip(body)
                .filter(|encoded| encoded.len() < body.len())
                .map(|encoded| Representation::encoded(encoded, Encoding::Gzip)),
            identity: Representation::new(body.clone(), etag, Encoding::Identity),
            headers: Headers::shared(&value(media_type.as_bytes()), &value(&cache.header().into())),
        }
    }

    /// `Content-Encoding: br`, where smaller. It is compressed at each call, which costs about as much as gzip (tens of
    /// microseconds), so that documents nobody asks for in br take no memory for it.
    pub fn br(&self) -> Option<Representation> {
        let body = &self.identity.body;
        brotli(body)
            .filter(|encoded| encoded.len() < body.len())
            .map(|encoded| Representation::encoded(encoded, Encoding::Br))
    }

    /// The headers of a 200 with this representation: all but `Date` and what HTTP itself adds. `hsts`: with
    /// `Strict-Transport-Security` (on TLS, or where a plain listener is configured so).
    pub fn ok(&self, representation: &Representation, hsts: bool) -> HeaderMap {
        let mut headers = self.headers.ok(representation.encoding, hsts).clone();
        // Both are in the template already, so this replaces values and moves nothing.
        headers.insert(CONTENT_LENGTH, representation.length.clone());
        headers.insert(ETAG, representation.etag.clone());
        headers
    }

    /// The headers of a 304: those of the 200 less `Content-*`.
    pub fn not_modified(&self, representation: &Representation, hsts: bool) -> HeaderMap {
        let mut headers = self.headers.not_modified[usize::from(hsts)].clone();
        headers.insert(ETAG, representation.etag.clone());
        headers
    }
}

/// One document in one encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The bytes sent.
    pub body: Bytes,
    /// Strong entity tag with its quotes: base64url of SHA-256 of `body`.
    pub etag: HeaderValue,
    encoding: Encoding,
    length: HeaderValue,
}

impl Representation {
    fn new(body: Bytes, etag: &EntityTag, encoding: Encoding) -> Self {
        Self {
            etag: value(etag.as_bytes()),
            length: HeaderValue::from(body.len()),
            body,
            encoding,
        }
    }

    fn encoded(body: Vec<u8>, encoding: Encoding) -> Self {
        let etag = EntityTag::of(&body);
        // Exactly as long as the body: a fleet keeps hundreds of thousands of them.
        Self::new(body.into_boxed_slice().into(), &etag, encoding)
    }
}

/// A header's value that shares these bytes: all that a publication has for headers is visible ASCII.
fn value(bytes: &Bytes) -> HeaderValue {
    #[expect(
        clippy::expect_used,
        reason = "entity tags, media types and cache directives are visible ASCII"
    )]
    HeaderValue::from_maybe_shared(bytes.clone()).expect("visible ASCII is a valid header")
}

/// The headers that documents with equal settings share. `ETag` and `Content-Length` are in them as placeholders, so
/// that every response has the same order of headers.
#[derive(Debug, PartialEq)]
struct Headers {
    /// By encoding, then without and with HSTS.
    ok: [[HeaderMap; 2]; 3],
    not_modified: [HeaderMap; 2],
}

impl Headers {
    fn new(content_type: &HeaderValue, cache_control: &HeaderValue) -> Self {
        let placeholder = HeaderValue::from_static("");
        let not_modified = HeaderMap::from_iter([
            (ETAG, placeholder.clone()),
            (CACHE_CONTROL, cache_control.clone()),
            (VARY, HeaderValue::from_static("Accept-Encoding")),
            (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ]);
        let with_hsts = |plain: HeaderMap| {
            let mut hsts = plain.clone();
            hsts.insert(STRICT_TRANSPORT_SECURITY, HSTS);
            [plain, hsts]
        };
        let ok = |encoding: Option<&'static str>| {
            let mut ok = HeaderMap::with_capacity(9);
            ok.insert(CONTENT_TYPE, content_type.clone());
            ok.insert(CONTENT_LENGTH, placeholder.clone());
            if let Some(encoding) = encoding {
                ok.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            ok.extend(not_modified.clone());
            with_hsts(ok)
        };
        Self {
            ok: [ok(None), ok(Some("gzip")), ok(Some("br"))],
            not_modified: with_hsts(not_modified),
        }
    }

    /// The template of these settings: one in the process, as long as any document uses it.
    fn shared(content_type: &HeaderValue, cache_control: &HeaderValue) -> Arc<Self> {
        type Templates = HashMap<(HeaderValue, HeaderValue), Weak<Headers>>;
        static SHARED: OnceLock<Mutex<Templates>> = OnceLock::new();
        // Entries are added as a whole, so a panic elsewhere leaves them whole.
        let mut shared = SHARED
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (content_type.clone(), cache_control.clone());
        if let Some(headers) = shared.get(&key).and_then(Weak::upgrade) {
            return headers;
        }
        shared.retain(|_, headers| headers.strong_count() > 0);
        let headers = Arc::new(Self::new(content_type, cache_control));
        shared.insert(key, Arc::downgrade(&headers));
        headers
    }

    fn ok(&self, encoding: Encoding, hsts: bool) -> &HeaderMap {
        let [identity, gzip, br] = &self.ok;
        let [plain, with_hsts] = match encoding {
            Encoding::Identity => identity,
            Encoding::Gzip => gzip,
            Encoding::Br => br,
        };
        if hsts { with_hsts } else { plain }
    }
}

/// The head of a gzip file (RFC 1952 section 2.3) without a time or a name, so that equal bodies are equal when
/// compressed: deflate, no flags, no time, best compression, unknown operating system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

/// `None` if it fails: the document is then served as it is.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        /// Its tables are larger than any document: setting them up takes ten times as long as compressing one.
        static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::best(), false));
    }
    let mut encoded = Vec::with_capacity(body.len() + body.len() / 100 + 64);
    encoded.extend_from_slice(&GZIP_HEAD);
    let status = DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        deflate.compress_vec(body, &mut encoded, FlushCompress::Finish)
    });
    if !matches!(status, Ok(Status::StreamEnd)) {
        return None;
    }
    let mut crc = Crc::new();
    crc.update(body);
    encoded.extend_from_slice(&crc.sum().to_le_bytes());
    encoded.extend_from_slice(&crc.amount().to_le_bytes());
    Some(encoded)
}

/// With a window no larger than the document needs, and at a quality that costs about as much as gzip. The highest
/// quality takes fifty times as long, and saves one percent of a JWKS. `None` if it fails.
fn brotli(body: &[u8]) -> Option<Vec<u8>> {
    let bits = i32::try_from(usize::BITS - body.len().leading_zeros()).ok()?;
    let params = brotli::enc::BrotliEncoderParams {
        quality: 4,
        lgwin: bits.clamp(10, 24),
        size_hint: body.len(),
        ..Default::default()
    };
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut encoded, &params).ok()?;
    Some(encoded)
}

#[cfg(test)]
mod tests;
