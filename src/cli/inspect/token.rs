//! What a token claims, and whether a verifier would find its issuer and key published.

use std::fmt;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::found::Found;
use super::verify;
use crate::config::show_duration;
use crate::display;
use crate::fs;

/// Tokens are a few kilobytes; HTTP servers take headers of 8 to 16.
const MAX_BYTES: usize = 64 * 1024;

/// What clocks may differ by.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// A token, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Whether its `iss` is the issuer; `None` where no issuer is known.
    issuer_published: Option<bool>,
    kid_published: bool,
    /// Whether the key of its `kid` has signed it; `None` where there is no such key.
    signature_valid: Option<bool>,
    lifetime: Option<SignedDuration>,
    /// Why verifiers refuse it.
    refusals: Vec<String>,
    /// What is to be known besides.
    doubts: Vec<String>,
}

/// Reads a token from a file, or from standard input (`-`).
pub(super) fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let read = if file == Path::new("-") {
        fs::read_stdin(MAX_BYTES)
    } else {
        fs::read_soon(file, MAX_BYTES)
    };
    let unreadable = || format!("--token: {} cannot be read", display::path(file));
    let read = read.with_context(unreadable)?;
    let text = std::str::from_utf8(&read).with_context(unreadable)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

impl Token {
    /// Takes a token apart and holds it against the keys and the issuer.
    pub(super) fn judge(
        token: &str,
        issuer: Option<&str>,
        keys: &[Found],
        longest: SignedDuration,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            bail!("--token: not a token: three parts with dots between are expected (RFC 7515 section 3.1)");
        };
        let message = format!("{header}.{claims}");
        let (header, claims) = (object(header, "header")?, object(claims, "claims")?);
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| anyhow!("--token: not a token: its signature is not base64url"))?;
        let kid = text(&header, "kid");
        let key = keys.iter().find(|found| Some(found.key.kid()) == kid);
        let lifetime = number(&claims, "exp")
            .zip(number(&claims, "iat"))
            .map(|(end, start)| SignedDuration::from_secs(end.saturating_sub(start)));
        let mut judged = Self {
            issuer_published: issuer.map(|issuer| text(&claims, "iss") == Some(issuer)),
            kid_published: key.is_some(),
            signature_valid: key.map(|found| {
                text(&header, "alg") == Some(found.key.algorithm().as_str())
                    && verify::is_signed_by(&found.key, message.as_bytes(), &signature)
            }),
            lifetime,
            refusals: Vec::new(),
            doubts: Vec::new(),
            header,
            claims,
        };
        judged.refusals = judged.refusals(issuer, now);
        judged.doubts = judged.doubts(issuer, longest);
        Ok(judged)
    }

    /// Whether a verifier refuses it, as far as keys and issuer tell.
    pub(super) fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    fn refusals(&self, issuer: Option<&str>, now: Timestamp) -> Vec<String> {
        let time =
            |name: &str| number(&self.claims, name).and_then(|seconds| Timestamp::from_second(seconds).ok());
        let expired = time("exp").filter(|end| *end <= now);
        let early = time("nbf").filter(|start| *start > now);
        let future = time("iat").filter(|start| start.duration_since(now) > SKEW);
        let lacks = |name: &str| !self.claims.contains_key(name);
        [
            self.about_issuer(issuer),
            self.about_key(),
            self.header.contains_key("crit").then(|| {
                "its header has `crit`, which verifiers do not know (RFC 7515 section 4.1.11)".to_owned()
            }),
            (lacks("exp") || number(&self.claims, "exp").is_none())
                .then(|| "it has no expiry (`exp`, a number)".to_owned()),
            lacks("aud")
                .then(|| "it is for nobody (`aud`): verifiers ask for their own name there".to_owned()),
            lacks("sub").then(|| "it names no subject (`sub`)".to_owned()),
            expired.map(|end| format!("it expired at {end}")),
            early
                .map(|start| format!("it is valid only from {start}: does the clock of this machine agree?")),
            future.map(|start| {
                format!("it was issued at {start}, in the future: does the clock of this machine agree?")
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn doubts(&self, issuer: Option<&str>, longest: SignedDuration) -> Vec<String> {
        let unknown = issuer
            .is_none()
            .then(|| "whether its issuer is published is not known: name yours with --issuer".to_owned());
        let long = self.lifetime.filter(|lifetime| *lifetime > longest).map(|lifetime| {
            format!(
                "it lives {}, longer than tokenLifetime {}: after a rotation its key may be gone before it expires; raise \
                 tokenLifetime, or lower `expirationSeconds` or --service-account-max-token-expiration",
                show_duration(lifetime),
                show_duration(longest)
            )
        });
        unknown.into_iter().chain(long).collect()
    }

    fn about_issuer(&self, issuer: Option<&str>) -> Option<String> {
        let Some(iss) = text(&self.claims, "iss") else {
            return Some("it names no issuer (`iss`): no verifier can find its keys".to_owned());
        };
        let issuer = issuer?;
        if iss == issuer {
            return None;
        }
        if iss.trim_end_matches('/') == issuer.trim_end_matches('/') {
            return Some(format!(
                "its `iss` {iss} differs from {issuer} by a slash: verifiers refuse it"
            ));
        }
        Some(format!(
            "its `iss` is {iss}, but the issuer is {issuer}: verifiers refuse it"
        ))
    }

    fn about_key(&self) -> Option<String> {
        let Some(kid) = text(&self.header, "kid") else {
            return Some("it names no key (`kid`)".to_owned());
        };
        match self.signature_valid {
            Some(true) => None,
            Some(false) if text(&self.header, "alg") == Some("none") => {
                Some("it is not signed (`alg` none): verifiers refuse it".to_owned())
            }
            Some(false) => Some(format!(
                "its signature is not that of the key {kid}: verifiers refuse it"
            )),
            None => Some(format!("its key {kid} is not published: verifiers refuse it")),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "header": self.header,
            "claims": self.claims,
            "issuerPublished": self.issuer_published,
            "kidPublished": self.kid_published,
            "signatureValid": self.signature_valid,
            "lifetimeSeconds": self.lifetime.map(|lifetime| lifetime.as_secs()),
            "refused": self.is_refused(),
            "warnings": self.refusals.iter().chain(&self.doubts).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |said| match said {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "not known",
        };
        writeln!(f, "The token:")?;
        let claims = serde_json::to_string_pretty(&self.claims).unwrap_or_default();
        for line in claims.lines() {
            writeln!(f, "  {}", display::json(line))?;
        }
        writeln!(f, "  issuer published: {}", yes(self.issuer_published))?;
        writeln!(f, "  key published:    {}", yes(Some(self.kid_published)))?;
        writeln!(f, "  signature right:  {}", yes(self.signature_valid))?;
        if let Some(lifetime) = self.lifetime {
            writeln!(f, "  lives:            {}", show_duration(lifetime))?;
        }
        for warning in self.refusals.iter().chain(&self.doubts) {
            display::write_line(f, format_args!("  warning: {warning}"))?;
        }
        Ok(())
    }
}

/// Seconds since 1970; a verifier takes fractions too (RFC 7519 section 2).
fn number(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let number = claims.get(name)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast saturates, and fractions do not matter"
    )]
    let whole = number.as_f64().map(|seconds| seconds.floor() as i64);
    number.as_i64().or(whole)
}

fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

fn object(part: &str, what: &str) -> anyhow::Result<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| anyhow!("--token: not a token: its {what} is not base64url"))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => bail!("--token: not a token: its {what} is no JSON object"),
    }
}
