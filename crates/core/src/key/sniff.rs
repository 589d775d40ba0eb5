//! What a document is, from its first octets: people give the wrong file more often than a broken one.
//!
//! Each kind that is known by sight is named, with a command that turns it into a key file. Where the key in it can
//! never be published, that is said instead: an advice that leads to the next refusal helps nobody.

mod base64;
mod binary;
mod json;
pub(super) mod ssh;
mod text;

use super::{MAX_BYTES, ParseError, Reason, pem};

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
    let document = without_mark(document);
    let trimmed = document.trim_ascii();
    if trimmed.is_empty() {
        return Err(ParseError::Empty);
    }
    if pem::is_pem(document) {
        return Ok((Kind::Pem, document));
    }
    match trimmed {
        [0xfe, 0xff, ..] | [0, b'-' | b'{', ..] => return Err(ParseError::Utf16 { name: "UTF-16BE" }),
        [0xff, 0xfe, ..] | [b'-' | b'{', 0, ..] => return Err(ParseError::Utf16 { name: "UTF-16LE" }),
        [b'{' | b'[' | b'"', ..] => return Ok((Kind::Json, document)),
        _ if pem::resembles_pem(document) => return Ok((Kind::Pem, document)),
        [b'<', ..] => return Err(ParseError::Html),
        _ => {}
    }
    let foreign = match binary::of(document) {
        Some(found) => Some(found.error("", Input::File)),
        None => std::str::from_utf8(trimmed).ok().and_then(text::of),
    };
    match foreign {
        Some(foreign) => Err(foreign),
        // Told with its line.
        None if pem::near::resembles(document) => Ok((Kind::Pem, document)),
        None => Err(ParseError::NoKeys),
    }
}

/// What JSON that is no JWKS is, where more can be said of it than `error` does.
pub(super) fn explain_json(document: &[u8], error: ParseError) -> ParseError {
    match error {
        ParseError::NotAJwks { .. } => json::of(document).unwrap_or(error),
        error => error,
    }
}

fn without_mark(document: &[u8]) -> &[u8] {
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

/// Where a command finds the document.
#[derive(Clone, Copy, Debug)]
enum Input {
    File,
    /// Base64 of it is in the file.
    Base64,
}

/// Decodes base64 with line ends of any kind, a byte order mark, or quotes around it.
const DECODE: &str = "tr -cd 'A-Za-z0-9+/=' < FILE | base64 -d";

/// A document of a kind that is known by sight.
struct Foreign {
    what: &'static str,
    way: Way,
}

/// How a document becomes a key file.
enum Way {
    /// By a program that reads `-in FILE`, or standard input.
    Openssl(&'static str),
    /// By a command that names FILE.
    Command(&'static str),
    /// Not at all.
    Never(String),
}

impl Foreign {
    /// `of` stands before the name: `base64 of `.
    fn error(self, of: &str, input: Input) -> ParseError {
        let advice = match (self.way, input) {
            (Way::Never(reason), _) => format!("it cannot be published ({reason})"),
            (Way::Openssl(program), Input::File) => format!("convert it with {program} -in FILE"),
            (Way::Openssl(program), Input::Base64) => format!("convert it with {DECODE} | {program}"),
            (Way::Command(command), Input::File) => format!("convert it with {command}"),
            (Way::Command(_), Input::Base64) => format!("decode it first with {DECODE}"),
        };
        ParseError::Foreign {
            what: format!("{of}{}", self.what),
            advice,
        }
    }
}

impl From<Reason> for Way {
    fn from(reason: Reason) -> Self {
        Self::Never(reason.to_string())
    }
}
