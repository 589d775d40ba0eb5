//! Base64 without BEGIN and END: the data of a Secret, or DER that lost its lines.

use super::{DECODE, Foreign, Input, Way, binary, ssh, without_mark};
use crate::key::{ParseError, jwks, pem};

/// As many characters tell the kind where the rest is cut or broken.
const START: usize = 48;

/// What base64 text holds; `None` where it is no base64, or of nothing that is known.
pub(super) fn of(text: &str) -> Option<ParseError> {
    let characters = |character: char| {
        character.is_ascii_alphanumeric() || "+/=".contains(character) || character.is_whitespace()
    };
    let text = text.trim_matches(|character: char| character == '"' || character == '\'');
    if !text.chars().all(characters) {
        return None;
    }
    let decoded = pem::decode(text.as_bytes())
        .or_else(|_| {
            let start: String = text
                .chars()
                .filter(|character| !character.is_whitespace())
                .take(START)
                .collect();
            pem::decode(&start.as_bytes()[..start.len() / 4 * 4])
        })
        .ok()?;
    let document = without_mark(&decoded);
    let start = document.trim_ascii();
    let encoded = |what: &str| ParseError::Foreign {
        what: format!("base64 of {what}, as in the data of a Secret"),
        advice: format!("decode it with {DECODE}"),
    };
    match start {
        _ if pem::is_pem(document) => Some(encoded("a PEM file")),
        [b'{' | b'[' | b'"', ..] => Some(match jwks::read(document) {
            Ok(_) => encoded("a JWKS"),
            Err(_) => encoded("a JSON document"),
        }),
        [0x30, ..] | [0xfe, 0xed, ..] | [0xce, 0xce, ..] | [0x1f, 0x8b, ..] => binary::of(document)
            .or(match document {
                [0x30, 0x20..=0x7f, 0x30 | 0x02, ..] => Some(Foreign {
                    what: "binary (DER)",
                    way: Way::Never("it is cut off".to_owned()),
                }),
                _ => None,
            })
            .map(|found| found.error("base64 of ", Input::Base64)),
        _ => {
            let text = std::str::from_utf8(start).ok()?;
            ssh::line(text).map(|found| found.error("base64 of ", Input::Base64))
        }
    }
}
