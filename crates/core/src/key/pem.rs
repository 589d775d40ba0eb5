//! The blocks of a PEM file, found as Go's `encoding/pem` finds them, because that is how the API server reads its
//! key files: any label, text around the blocks, headers, blank lines, lines of any length, DOS line ends.
//!
//! Go passes over a broken block in silence, and gives up the rest of the file in a few cases. Here each broken block
//! is told with its line, and the next one is always looked for. What Go finds is found here, with the same octets.

pub(super) mod near;

use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::reason::{OPENPGP, PKCS7, REQUEST};
use super::{PemFault, Reason};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// Go ignores the unused bits of the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A block, or what is left of one.
pub struct Found<'a> {
    /// The line of its BEGIN, or of its END where it has no BEGIN; from 1.
    pub line: usize,
    /// Whole, or what is wrong with it.
    pub block: Result<Block<'a>, PemFault>,
}

/// A whole block.
pub struct Block<'a> {
    /// As in BEGIN. It may be anything: show none but known ones.
    pub label: &'a [u8],
    /// Whether a header says that the body is encrypted (RFC 1421 section 4.6.1.1).
    pub encrypted: bool,
    /// May be private: wiped when it is dropped.
    pub body: Zeroizing<Vec<u8>>,
    /// From its BEGIN to the end of its END line.
    pub span: Range<usize>,
}

impl Block<'_> {
    /// Why the body could not be read as a key, in view of label and headers: they explain, they never decide.
    /// `None` for what openssl writes before an EC key: it names a curve, and is no entry of its own.
    pub(super) fn explain(&self, reason: Reason) -> Option<Reason> {
        if self.encrypted {
            return Some(Reason::Encrypted);
        }
        let Reason::Der { .. } = reason else {
            return Some(reason);
        };
        let what = match self.label {
            b"EC PARAMETERS" => return None,
            b"ENCRYPTED PRIVATE KEY" => return Some(Reason::Encrypted),
            b"OPENSSH PRIVATE KEY" => return Some(Reason::OpenSsh),
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => REQUEST,
            b"X509 CRL" => "a revocation list",
            b"DH PARAMETERS" | b"X9.42 DH PARAMETERS" | b"DSA PARAMETERS" => "parameters only",
            b"PKCS7" | b"CMS" => PKCS7,
            [b'P', b'G', b'P', b' ', ..] => OPENPGP,
            _ => return Some(reason),
        };
        Some(Reason::NotAKey { what })
    }
}

/// Whether a BEGIN stands at the start of a line. No JSON document has that: its strings hold no line break.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.starts_with(BEGIN) || find(text, b"\n-----BEGIN ").is_some()
}

/// Whether something was meant to be PEM.
pub(super) fn resembles_pem(text: &[u8]) -> bool {
    find(text, BEGIN).is_some() || find(text, &END[1..]).is_some()
}

/// Finds all blocks, broken ones too, in the order of their lines.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut scanner = Scanner {
        text,
        at: 0,
        lines: (0, 1),
    };
    std::iter::from_fn(move || scanner.next_part()).flatten()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// An offset, and its line: lines are counted once.
    lines: (usize, usize),
}

impl<'a> Scanner<'a> {
    /// The part up to the next END line: the block that ends there, and before it the BEGIN lines that lack their END.
    fn next_part(&mut self) -> Option<Vec<Found<'a>>> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let Some(end) = find(&self.text[start..], END).map(|offset| start + offset) else {
            self.at = self.text.len();
            return Some(self.unfinished(start, self.text.len()));
        };
        self.at = end + END.len();
        let Some(begin) = rfind(&self.text[start..end], BEGIN).map(|offset| start + offset) else {
            let line = self.line(end + 1);
            return Some(vec![Found {
                line,
                block: Err(PemFault::NoBegin),
            }]);
        };
        let mut found = self.unfinished(start, begin);
        let line = self.line(begin);
        let block = if begin == start || self.text[begin - 1] == b'\n' {
            self.block(begin, end)
        } else {
            Err(PemFault::Indented)
        };
        found.push(Found { line, block });
        Some(found)
    }

    /// Reads a block from its BEGIN on; `end` is the line break before its END.
    fn block(&mut self, begin: usize, end: usize) -> Result<Block<'a>, PemFault> {
        let text = self.text;
        let (begin_line, mut body) = line(text, begin + BEGIN.len());
        let label = begin_line
            .strip_suffix(DASHES)
            .ok_or(begin_line_fault(begin_line))?;
        let mut headers = false;
        let mut encrypted = false;
        while body <= end {
            let (header, next) = line(text, body);
            let Some(colon) = header.iter().position(|octet| *octet == b':') else {
                break;
            };
            headers = true;
            encrypted |= header[..colon].trim_ascii() == b"Proc-Type" && find(header, b"ENCRYPTED").is_some();
            body = next;
        }
        if headers && body > end {
            return Err(PemFault::Headers);
        }
        let trailer = &text[end + END.len()..];
        let rest = trailer
            .strip_prefix(label)
            .and_then(|rest| rest.strip_prefix(DASHES))
            .ok_or(match begin_line_fault(begin_line) {
                PemFault::OneLine => PemFault::OneLine,
                _ => PemFault::EndLine,
            })?;
        if !line(rest, 0).0.is_empty() {
            return Err(PemFault::EndLine);
        }
        let decoded = match decode(text.get(body..end).unwrap_or_default()) {
            // Its checksum is no base64; `explain` says what it is.
            Err(_) if label.starts_with(b"PGP ") => Zeroizing::default(),
            decoded => decoded?,
        };
        self.at = line(text, end + 1).1;
        Ok(Block {
            label,
            encrypted,
            body: decoded,
            span: begin..self.at,
        })
    }

    /// The BEGIN lines in a part of the text in which no block ends.
    fn unfinished(&mut self, start: usize, end: usize) -> Vec<Found<'a>> {
        let part = &self.text[..end];
        let mut found = Vec::new();
        let mut at = start;
        while at < end {
            let (content, next) = line(part, at);
            if let Some((indent, rest)) = find(content, BEGIN).map(|at| content.split_at(at)) {
                let fault = match begin_line_fault(rest) {
                    PemFault::OneLine => Some(PemFault::OneLine),
                    _ if indent.is_empty() => Some(PemFault::NoEnd),
                    _ if indent.trim_ascii().is_empty() => Some(PemFault::Indented),
                    // Prose that mentions a BEGIN line.
                    _ => None,
                };
                let line = self.line(at);
                found.extend(fault.map(|fault| Found {
                    line,
                    block: Err(fault),
                }));
            }
            at = next;
        }
        found
    }

    fn line(&mut self, at: usize) -> usize {
        let (counted, line) = self.lines;
        let breaks = |part: &[u8]| part.split(|octet| *octet == b'\n').count() - 1;
        let line = if at >= counted {
            line + breaks(&self.text[counted..at])
        } else {
            line - breaks(&self.text[at..counted])
        };
        self.lines = (at, line);
        line
    }
}

/// What is wrong with a BEGIN line.
fn begin_line_fault(line: &[u8]) -> PemFault {
    let one_line = find(line, &END[1..]).is_some() || find(line, b"-----\\n").is_some();
    if one_line {
        PemFault::OneLine
    } else {
        PemFault::BeginLine
    }
}

/// The line from an offset on, without the white space at its end, and the offset of the next line.
fn line(text: &[u8], from: usize) -> (&[u8], usize) {
    let rest = text.get(from..).unwrap_or_default();
    let (mut line, next) = match rest.iter().position(|octet| *octet == b'\n') {
        Some(at) => (
            rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]),
            from + at + 1,
        ),
        None => (rest, text.len()),
    };
    while let [before @ .., b' ' | b'\t'] = line {
        line = before;
    }
    (line, next)
}

/// Decodes base64 with white space in it, and wipes every copy.
pub(super) fn decode(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, PemFault> {
    // Both buffers are allocated at once: a vector that grows leaves copies behind.
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(
        body.iter()
            .filter(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n')),
    );
    if base64.is_empty() {
        return Err(PemFault::Empty);
    }
    let mut octets = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
    let length = BASE64
        .decode_slice(base64.as_slice(), &mut octets)
        .map_err(|_| PemFault::Base64)?;
    octets.truncate(length);
    Ok(octets)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn rfind(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|window| window == wanted)
}
