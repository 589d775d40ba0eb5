//! JSON that holds keys in another shape than a JWKS.

use super::text::{is_document, is_of_name, is_private};
use crate::key::ParseError;
use crate::key::json::{Kind, Reader, Text};

/// What a JSON document is; `None` where nothing is known of it.
pub(super) fn of(document: &[u8]) -> Option<ParseError> {
    let mut reader = Reader::new(document);
    let (what, command) = match reader.kind().ok()? {
        Kind::Text => text(reader.text().ok()?)?,
        Kind::Array => list(&mut reader)?,
        Kind::Object => Object::read(&mut reader)?.told()?,
        _ => return None,
    };
    Some(ParseError::Foreign {
        what: format!("not a JWKS (an object with an array `keys`): it is {what}"),
        advice: format!("convert it with {command}"),
    })
}

type Told = (&'static str, String);

fn text(text: Text<'_>) -> Option<Told> {
    let text = zeroize::Zeroizing::new(text.decode()?.into_owned());
    let command = || "jq -r . FILE".to_owned();
    if text.contains("-----BEGIN ") {
        return Some(("PEM text as a JSON string", command()));
    }
    let text = text.trim();
    if text.starts_with('{') {
        return Some(("a JSON document as a JSON string", command()));
    }
    is_document(text).then(|| ("base64 as a JSON string", "jq -r '@base64d' FILE".to_owned()))
}

fn list(reader: &mut Reader<'_>) -> Option<Told> {
    let mut all_pem = true;
    let mut all_keys = true;
    let mut any = false;
    reader
        .array(|reader| {
            any = true;
            match reader.kind()? {
                Kind::Text => {
                    all_keys = false;
                    all_pem &= is_pem(reader.text()?);
                }
                Kind::Object => {
                    all_pem = false;
                    let mut is_key = false;
                    reader.object(|reader, name| {
                        is_key |= name.decode().is_some_and(|name| name == "kty");
                        reader.skip().map(drop)
                    })?;
                    all_keys &= is_key;
                }
                _ => {
                    (all_pem, all_keys) = (false, false);
                    reader.skip()?;
                }
            }
            Ok(())
        })
        .ok()?;
    match (any, all_pem, all_keys) {
        (true, true, _) => Some(("a JSON list of PEM texts", "jq -r '.[]' FILE".to_owned())),
        (true, _, true) => Some(("a list of JWKs", "jq '{keys: .}' FILE".to_owned())),
        _ => None,
    }
}

/// An object, from its members.
#[derive(Default)]
struct Object {
    members: usize,
    is_kubernetes: bool,
    is_key: bool,
    /// The members that are PEM text.
    pem: Vec<String>,
    /// The entries of `data` and `stringData`: member, name, whether it is base64.
    data: Vec<(&'static str, String, bool)>,
}

impl Object {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut object = Self::default();
        let read = reader.object(|reader, name| {
            let name = name.decode().unwrap_or_default();
            object.members += 1;
            object.is_kubernetes |= name == "apiVersion";
            object.is_key |= name == "kty";
            match (&*name, reader.kind()?) {
                ("data", Kind::Object) => object.entries(reader, "data"),
                ("stringData", Kind::Object) => object.entries(reader, "stringData"),
                (_, Kind::Text) => {
                    if is_pem(reader.text()?) {
                        object.pem.push(name.into_owned());
                    }
                    Ok(())
                }
                _ => reader.skip().map(drop),
            }
        });
        read.ok().map(|()| object)
    }

    fn entries(&mut self, reader: &mut Reader<'_>, member: &'static str) -> Result<(), ParseError> {
        reader.object(|reader, name| {
            if reader.kind()? != Kind::Text {
                return reader.skip().map(drop);
            }
            let text = reader.text()?;
            let Some(name) = name.decode().filter(|name| name.bytes().all(is_of_name)) else {
                return Ok(());
            };
            let encoded = text.decode().is_some_and(|text| is_document(&text));
            let is_plain = || {
                text.decode()
                    .is_some_and(|text| text.trim_start().starts_with(['{', '-']))
            };
            if encoded || is_plain() {
                self.data.push((member, name.into_owned(), encoded));
            }
            Ok(())
        })
    }

    fn told(self) -> Option<Told> {
        if self.is_key {
            return Some(("a single JWK", "jq '{keys: [.]}' FILE".to_owned()));
        }
        if self.is_kubernetes {
            let (member, name, encoded) = self.data.iter().min_by_key(|(_, name, _)| is_private(name))?;
            let decode = if *encoded { " | @base64d" } else { "" };
            return Some((
                "a Kubernetes object",
                format!("jq -r '.{member}[\"{name}\"]{decode}' FILE"),
            ));
        }
        match self.pem.as_slice() {
            [] => None,
            all if all.len() == self.members => Some((
                "a map of names to PEM texts",
                "jq -r '.[]' FILE (each key is then named by its own hash, as API servers name keys; where the tokens \
                 have the names of this map, give the JWKS of their issuer)"
                    .to_owned(),
            )),
            some => {
                let name = some.iter().find(|name| name.bytes().all(is_of_name))?;
                Some((
                    "a JSON object with PEM text",
                    format!("jq -r '.[\"{name}\"]' FILE"),
                ))
            }
        }
    }
}

fn is_pem(text: Text<'_>) -> bool {
    text.decode()
        .is_some_and(|text| text.trim_start().starts_with("-----BEGIN "))
}
