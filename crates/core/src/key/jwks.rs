//! A JWKS document (RFC 7517 section 5).

use super::json::{Kind, Reader};
use super::{Collected, ParseError, Parsed, jwk};

/// Reads a document that is JSON, or should be.
pub(super) fn read(document: &[u8]) -> Result<Parsed, ParseError> {
    let mut reader = Reader::new(document);
    if reader.kind()? != Kind::Object {
        reader.skip()?;
        reader.end()?;
        return not_a_jwks("another kind of JSON value");
    }
    let mut collected = None;
    let mut fault = None;
    let mut hints = Hints::default();
    reader.object(|reader, name| {
        let name = name.decode().unwrap_or_default();
        if name != "keys" {
            hints.note(&name);
            return reader.skip().map(drop);
        }
        if collected.is_some() || fault.is_some() {
            fault = Some("one with two members `keys`");
            return reader.skip().map(drop);
        }
        if reader.kind()? != Kind::Array {
            fault = Some("one whose `keys` is no array");
            return reader.skip().map(drop);
        }
        collected = Some(entries(reader)?);
        Ok(())
    })?;
    reader.end()?;
    match (fault, collected) {
        (Some(fault), _) => not_a_jwks(fault),
        (None, Some(parsed)) => Ok(parsed),
        (None, None) => not_a_jwks(hints.found()),
    }
}

fn entries(reader: &mut Reader<'_>) -> Result<Parsed, ParseError> {
    let mut collected = Collected::default();
    let mut number = 0;
    reader.array(|reader| {
        collected.push(jwk::read(reader, &format!("keys[{number}]"))?);
        number += 1;
        Ok(())
    })?;
    Ok(collected.into_parsed())
}

fn not_a_jwks(found: &'static str) -> Result<Parsed, ParseError> {
    Err(ParseError::NotAJwks { found })
}

/// What an object without `keys` is, from the names of its members.
#[derive(Default)]
struct Hints {
    jwk: bool,
    discovery: bool,
    kubernetes: bool,
}

impl Hints {
    fn note(&mut self, name: &str) {
        match name {
            "kty" => self.jwk = true,
            "jwks_uri" => self.discovery = true,
            "apiVersion" => self.kubernetes = true,
            _ => {}
        }
    }

    fn found(&self) -> &'static str {
        if self.jwk {
            r#"a single JWK: put it into {"keys":[…]}"#
        } else if self.discovery {
            "a discovery document: its jwks_uri says where the JWKS is"
        } else if self.kubernetes {
            "a Kubernetes object"
        } else {
            "an object without `keys`"
        }
    }
}
