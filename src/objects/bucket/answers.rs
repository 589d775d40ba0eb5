//! Which answers are believed to be those of the storage, about the object that was asked for. A status alone is not
//! enough: a proxy, an ingress without endpoints or a login page in front of the storage answers 404 and 200 too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};
use md5::{Digest as _, Md5};

use super::client::Kind;
use super::failure::{Failure, Refused};
use super::words::{Form, Words};
use crate::client::is_redirect;

/// What is asked about an object: sent with a request, never over the network.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) kind: Kind,
    pub(super) bucket: String,
    pub(super) key: String,
}

/// Whether the storage itself says that this body is all of the object: sent with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsWhole(pub(super) bool);

impl About {
    /// Judges the answer to a request. `Ok`: the storage's own, and one that its client understands by its status.
    pub(super) fn judge(
        &self,
        method: &Method,
        asked: &HeaderMap,
        mut answer: Response<Bytes>,
    ) -> Result<Response<Bytes>, Failure> {
        let status = answer.status();
        let (headers, body) = (answer.headers(), answer.body());
        if *method == Method::GET && status == StatusCode::NOT_MODIFIED {
            is_asked_for(asked, headers)?;
        } else if *method == Method::GET && status == StatusCode::OK {
            is_object(headers, body)?;
            self.has_generation(headers)?;
            let is_whole = IsWhole(is_whole(headers, body));
            answer.extensions_mut().insert(is_whole);
        } else if *method == Method::PUT && (status == StatusCode::OK || status == StatusCode::CREATED) {
            is_written(headers, body)?;
            self.has_generation(headers)?;
        } else {
            let words = Words::of(headers, body);
            let is_known = words
                .as_ref()
                .is_some_and(|words| self.is_outcome(method, status, words));
            if !is_known {
                return Err(self.refused(method, &answer, words));
            }
        }
        Ok(answer)
    }

    /// Whether the storage says what became of the request by this status: there is no such object, or not in the version
    /// that was named.
    fn is_outcome(&self, method: &Method, status: StatusCode, words: &Words) -> bool {
        if words.names_another(&self.bucket, &self.key) {
            return false;
        }
        let code = words.code.as_str();
        let is_own_form = match self.kind {
            Kind::S3 => words.form == Form::Xml,
            Kind::Google => matches!(words.form, Form::Xml | Form::Json | Form::Text),
            Kind::Azure => matches!(words.form, Form::Xml | Form::Header),
        };
        let is_write = *method == Method::PUT;
        let is_one = match (self.kind, status) {
            (Kind::S3, StatusCode::NOT_FOUND) => code == "NoSuchKey",
            (Kind::Google, StatusCode::NOT_FOUND) => match words.form {
                Form::Json => {
                    let message = words.message.trim();
                    code == "notFound" && (message == "Not Found" || message.starts_with("No such object: "))
                }
                _ => code == "NoSuchKey",
            },
            (Kind::Azure, StatusCode::NOT_FOUND) => code == "BlobNotFound",
            (Kind::S3, StatusCode::PRECONDITION_FAILED) => is_write && code == "PreconditionFailed",
            (Kind::Google, StatusCode::PRECONDITION_FAILED) => {
                is_write && ["PreconditionFailed", "conditionNotMet"].contains(&code)
            }
            (Kind::Azure, StatusCode::PRECONDITION_FAILED) => {
                is_write && ["ConditionNotMet", "TargetConditionNotMet"].contains(&code)
            }
            (Kind::S3, StatusCode::CONFLICT) => {
                is_write && ["ConditionalRequestConflict", "OperationAborted"].contains(&code)
            }
            (Kind::Azure, StatusCode::CONFLICT) => is_write && code == "BlobAlreadyExists",
            _ => false,
        };
        is_own_form && is_one
    }

    /// Google names every version of an object, and a write has to name it.
    fn has_generation(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.kind == Kind::Google && !headers.contains_key("x-goog-generation") {
            return Err(Failure::Foreign("it has no generation"));
        }
        Ok(())
    }

    fn refused(&self, method: &Method, answer: &Response<Bytes>, words: Option<Words>) -> Failure {
        let headers = answer.headers();
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let region = words
            .as_ref()
            .and_then(|words| words.member("Region").map(str::to_owned))
            .or_else(|| text("x-amz-bucket-region"))
            .filter(|region| is_region(region));
        Failure::Refused(Box::new(Refused {
            kind: self.kind,
            is_write: *method == Method::PUT,
            status: answer.status(),
            words,
            region,
            is_redirect: is_redirect(answer.status()) && headers.contains_key(LOCATION),
        }))
    }
}

fn is_region(region: &str) -> bool {
    (1..=40).contains(&region.len())
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A 304 answers a question for an ETag, with that ETag.
fn is_asked_for(asked: &HeaderMap, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(ours) = asked.get(IF_NONE_MATCH) else {
        return Err(Failure::Foreign(
            "it says that nothing has changed (304), which was not asked",
        ));
    };
    let weak = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    match headers.get(ETAG) {
        Some(theirs) if weak(theirs.as_bytes()) != weak(ours.as_bytes()) => Err(Failure::Foreign(
            "it says that nothing has changed (304) since another version than the one asked about",
        )),
        _ => Ok(()),
    }
}

/// A 200 to a read is an object: not a page, and not an error.
fn is_object(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let text = body.trim_ascii_start();
    if let Some(words) = Words::of(headers, body).filter(|words| words.form == Form::Xml) {
        return Err(Failure::ErrorWithSuccess(Box::new(words)));
    }
    if is_page(headers) || text.starts_with(b"<") {
        return Err(Failure::Foreign("it is a page (HTML or XML), not an object"));
    }
    if text.is_empty() {
        return Err(Failure::Foreign("it is empty"));
    }
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::Foreign("it is compressed, which was not asked for"));
    }
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Failure::Foreign(
            "it is a part of an object, which was not asked for",
        ));
    }
    if !headers.contains_key(ETAG) {
        return Err(Failure::Foreign("it has no ETag"));
    }
    Ok(())
}

/// A success of a write says the new version, and nothing else.
fn is_written(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    if let Some(words) = Words::of(headers, body) {
        return Err(Failure::ErrorWithSuccess(Box::new(words)));
    }
    if is_page(headers) || !body.trim_ascii().is_empty() {
        return Err(Failure::Foreign(
            "it says that the object was written, with a page that no storage sends",
        ));
    }
    if !headers.contains_key(ETAG) {
        return Err(Failure::NoEtag);
    }
    Ok(())
}

fn is_page(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().get(..9))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
}

/// By the MD5 that the storage gives: as ETag (S3 and Google, unless another key encrypts it), in `Content-MD5` (Azure), in
/// `x-goog-hash` (Google). Where it gives none, or two that contradict each other, nobody knows. (An ETag contradicts nothing:
/// it need not be an MD5, and what changes a body on the way may leave it.)
fn is_whole(headers: &HeaderMap, body: &[u8]) -> bool {
    let sum = Md5::digest(body);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let base64 = STANDARD.encode(sum);
    let hex = crate::display::hex(&sum);
    let is_tag = text("etag").is_some_and(|tag| tag.trim_matches('"').eq_ignore_ascii_case(&hex));
    let hashes = headers
        .get_all("x-goog-hash")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|hash| hash.trim().strip_prefix("md5="));
    let mut given = text("content-md5")
        .map(str::trim)
        .into_iter()
        .chain(hashes)
        .peekable();
    if given.peek().is_some() {
        given.all(|given| given == base64)
    } else {
        is_tag
    }
}
