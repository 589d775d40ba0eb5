//! One JWK (RFC 7517, RFC 7518 section 6): strict where readers differ, deaf to members it does not know.

mod operations;

use std::borrow::Cow;
use std::collections::HashSet;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use base64::{DecodeError, alphabet};

use self::operations::Operations;
use super::json::{Kind, Reader, Text};
use super::material::{Curve, Material};
use super::{Algorithm, MemberFault, ParseError, PublicKey, Quarantined, Reason};

/// Members that only private keys have, of any type of key (IANA "JSON Web Key Parameters", class Private).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Strict: no padding, no unused bits.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Reads the value that comes next as a JWK. The error is that of the whole document.
pub(super) fn read(
    reader: &mut Reader<'_>,
    entry: &str,
) -> Result<Result<PublicKey, Quarantined>, ParseError> {
    let quarantined = |kid, reason| {
        Ok(Err(Quarantined {
            entry: entry.to_owned(),
            kid,
            reason,
        }))
    };
    if reader.kind()? != Kind::Object {
        let found = reader.skip()?.as_str();
        return quarantined(None, Reason::NotAnObject { found });
    }
    let members = Members::read(reader)?;
    match members.key() {
        Ok(key) => Ok(Ok(key)),
        Err(reason) => quarantined(members.shown_kid(), reason),
    }
}

/// The value of a known member; `null` counts as left out.
#[derive(Clone, Copy, Default)]
enum Member<'a> {
    #[default]
    Missing,
    Text(Text<'a>),
    Other(Kind),
}

#[derive(Default)]
struct Members<'a> {
    kty: Member<'a>,
    r#use: Member<'a>,
    key_ops: Operations,
    alg: Member<'a>,
    kid: Member<'a>,
    crv: Member<'a>,
    x: Member<'a>,
    y: Member<'a>,
    n: Member<'a>,
    e: Member<'a>,
    private: Option<&'static str>,
    twice: Option<String>,
}

impl<'a> Members<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let mut members = Self::default();
        let mut names = HashSet::new();
        reader.object(|reader, name| {
            if name.decode().as_deref() == Some("key_ops") {
                members.key_ops = Operations::read(reader)?;
                members.note(name, &mut names);
                return Ok(());
            }
            let value = match reader.kind()? {
                Kind::Text => Member::Text(reader.text()?),
                Kind::Null => {
                    reader.skip()?;
                    Member::Missing
                }
                other => {
                    reader.skip()?;
                    Member::Other(other)
                }
            };
            if let Some(name) = name.decode() {
                members.set(&name, value);
            }
            members.note(name, &mut names);
            Ok(())
        })?;
        Ok(members)
    }

    /// A member that is given twice is noted.
    fn note(&mut self, name: Text<'a>, names: &mut HashSet<Cow<'a, str>>) {
        if let Some(twice) = name.decode().and_then(|name| names.replace(name)) {
            self.twice = Some(shown(&twice).unwrap_or("of a long name").to_owned());
        }
    }

    fn set(&mut self, name: &str, value: Member<'a>) {
        let member = match name {
            "kty" => &mut self.kty,
            "use" => &mut self.r#use,
            "alg" => &mut self.alg,
            "kid" => &mut self.kid,
            "crv" => &mut self.crv,
            "x" => &mut self.x,
            "y" => &mut self.y,
            "n" => &mut self.n,
            "e" => &mut self.e,
            _ => {
                let private = PRIVATE.iter().find(|private| **private == name);
                if let (Some(private), Member::Text(_) | Member::Other(_)) = (private, value) {
                    self.private = Some(private);
                }
                return;
            }
        };
        *member = value;
    }

    fn key(&self) -> Result<PublicKey, Reason> {
        let kty = text("kty", self.kty);
        if let Ok(Some("oct")) = kty.as_ref().map(Option::as_deref) {
            return Err(Reason::Symmetric);
        }
        if let Some(member) = self.private {
            return Err(Reason::Private { member });
        }
        if let Some(member) = &self.twice {
            return Err(Reason::DuplicateMember {
                member: member.clone(),
            });
        }
        let material = match kty?.as_deref() {
            Some("RSA") => Material::rsa(&octets("n", self.n)?, &octets("e", self.e)?)?,
            Some("EC") => self.ec()?,
            Some(other) => return Err(self.key_type(other)),
            None => return Err(Reason::MissingMember { member: "kty" }),
        };
        self.check_purpose(material.algorithm())?;
        let kid = text("kid", self.kid)?;
        PublicKey::new(&material, kid.as_deref())
    }

    fn ec(&self) -> Result<Material, Reason> {
        let name = text("crv", self.crv)?.ok_or(Reason::MissingMember { member: "crv" })?;
        let Some(curve) = Curve::ALL.into_iter().find(|curve| curve.as_str() == name) else {
            return Err(Reason::Curve {
                curve: shown(&name).unwrap_or("an unknown curve").to_owned(),
            });
        };
        let coordinate = |member, value| {
            let octets = octets(member, value)?;
            let (found, expected) = (octets.len(), curve.width());
            if found != expected {
                let fault = MemberFault::Width { found, expected };
                return Err(Reason::Member { member, fault });
            }
            Ok(octets)
        };
        Material::ec(curve, &coordinate("x", self.x)?, &coordinate("y", self.y)?)
    }

    fn key_type(&self, kty: &str) -> Reason {
        let kty = shown(kty).unwrap_or("of an unknown name");
        let detail = [self.crv, self.alg]
            .into_iter()
            .find_map(|detail| text("crv", detail).ok()?);
        let key_type = match detail.as_deref().and_then(shown) {
            Some(detail) => format!("a key of type {kty} ({detail})"),
            None => format!("a key of type {kty}"),
        };
        Reason::KeyType { key_type }
    }

    fn check_purpose(&self, algorithm: Algorithm) -> Result<(), Reason> {
        let expected = algorithm.as_str();
        let quoted = |found: &str| match shown(found) {
            Some(found) => format!("\"{found}\""),
            None => "of an unknown name".to_owned(),
        };
        let r#use = text("use", self.r#use)?;
        match r#use.as_deref() {
            None | Some("sig") => {}
            Some(other) => return Err(Reason::Use { found: quoted(other) }),
        }
        self.key_ops.check(r#use.is_some())?;
        match text("alg", self.alg)?.as_deref() {
            None => Ok(()),
            Some(alg) if alg == expected => Ok(()),
            Some(other) => Err(Reason::Algorithm {
                found: quoted(other),
                expected,
            }),
        }
    }

    /// The `kid` for a person: its control characters escaped, and not endless.
    fn shown_kid(&self) -> Option<String> {
        let kid = text("kid", self.kid).ok()??;
        let mut shown = String::new();
        for (at, character) in kid.chars().enumerate() {
            match character {
                _ if at == 100 => {
                    shown.push('…');
                    break;
                }
                control if control.is_control() => shown.extend(control.escape_default()),
                other => shown.push(other),
            }
        }
        (!shown.is_empty()).then_some(shown)
    }
}

fn text<'a>(member: &'static str, value: Member<'a>) -> Result<Option<Cow<'a, str>>, Reason> {
    let fault = match value {
        Member::Missing => return Ok(None),
        Member::Other(kind) => MemberFault::NotAString { found: kind.as_str() },
        Member::Text(text) => match text.decode() {
            Some(text) => return Ok(Some(text)),
            None => MemberFault::NotUnicode,
        },
    };
    Err(Reason::Member { member, fault })
}

fn octets(member: &'static str, value: Member<'_>) -> Result<Vec<u8>, Reason> {
    let text = text(member, value)?.ok_or(Reason::MissingMember { member })?;
    BASE64URL.decode(text.as_bytes()).map_err(|error| {
        let fault = match error {
            _ if text.contains(['+', '/']) => MemberFault::PlainBase64,
            DecodeError::InvalidPadding => MemberFault::Padding,
            _ if text.ends_with('=') => MemberFault::Padding,
            _ => MemberFault::NotBase64Url,
        };
        Reason::Member { member, fault }
    })
}

/// What may be quoted of a document: short names. Secrets are longer, or have other characters.
fn shown(name: &str) -> Option<&str> {
    let short = (1..=20).contains(&name.len());
    let plain = name
        .bytes()
        .all(|octet| octet.is_ascii_alphanumeric() || b"-_.:".contains(&octet));
    (short && plain).then_some(name)
}
