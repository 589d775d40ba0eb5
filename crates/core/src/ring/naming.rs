//! Which key an operator means by a name: a kid, or the fingerprint of a key or the beginning of it.
//!
//! Both are looked for, and what the name fits must be one material, under however many kids: whoever gives a key its
//! kid may choose one that reads like the fingerprint of another, and two fingerprints may begin alike. Two spellings
//! mean one thing whatever kids there are: `sha256=` and all 64 digits, and `change=` and the name of a change.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Denied;
use crate::key::KeyId;

/// The fewest digits of a fingerprint that name a key.
pub(super) const MIN_DIGITS: usize = 8;

/// The digits of a whole fingerprint.
const ALL_DIGITS: usize = 64;

/// How many names a message lists.
const MAX_TOLD: usize = 20;

/// Stands for the fingerprint in an approval of a kid under which no key was heard yet: no key has this hash.
pub const ANY_MATERIAL: [u8; 32] = [0; 32];

/// A name as an operator gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'n>(pub(super) &'n str);

impl<'n> Name<'n> {
    /// The keys that it means, of one material; none if it fits none.
    pub(super) fn among<'k>(self, known: impl IntoIterator<Item = &'k KeyId>) -> Result<Vec<KeyId>, Denied> {
        let digits = self.digits();
        let may_be_kid = self.whole().is_none();
        let fits = |id: &&KeyId| {
            let is_kid = may_be_kid && *id.kid == *self.0;
            let is_material = |digits: &String| hex(&id.spki_sha256).starts_with(digits.as_str());
            is_kid || digits.as_ref().is_some_and(is_material)
        };
        let meant: Vec<_> = known.into_iter().filter(fits).cloned().collect();
        let materials: BTreeSet<_> = meant.iter().map(|id| id.spki_sha256).collect();
        if materials.len() > 1 {
            return Err(self.ambiguous(meant.iter().map(told)));
        }
        Ok(meant)
    }

    /// The name of a change, and whether it can be nothing else.
    pub(super) fn change(self) -> (&'n str, bool) {
        match self.0.strip_prefix("change=") {
            Some(change) => (change, true),
            None => (self.0, false),
        }
    }

    pub(super) fn ambiguous(self, candidates: impl IntoIterator<Item = String>) -> Denied {
        Denied::Ambiguous {
            name: self.0.to_owned(),
            candidates: candidates.into_iter().collect(),
        }
    }

    /// The material that `sha256=` and 64 digits name, whatever kids there are.
    fn whole(self) -> Option<[u8; 32]> {
        let digits = after(self.0, "sha256=")?;
        octets(&digits)
    }

    /// The material whose whole fingerprint it is.
    pub(super) fn fingerprint(self) -> Option<[u8; 32]> {
        octets(&self.digits()?)
    }

    /// The beginning of a fingerprint: in lower case, without the colons that some programs write.
    fn digits(self) -> Option<String> {
        let digits = after(self.0, "sha256:").or_else(|| after(self.0, "sha256="))?;
        let is_one = (MIN_DIGITS..=ALL_DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then_some(digits)
    }

    /// Whether it is a kid that is a hash of its key, by whichever rule: that of API servers, RFC 7638.
    pub(super) fn is_hash(self) -> bool {
        URL_SAFE_NO_PAD
            .decode(self.0)
            .is_ok_and(|hash| hash.len() == ANY_MATERIAL.len())
    }

    /// What is wrong with a fingerprint that names no key, whatever keys there are.
    pub(super) fn hint(self) -> String {
        let begins = |prefix| after(self.0, prefix).is_some();
        if (begins("sha256:") || begins("sha256=")) && self.digits().is_none() {
            format!(
                " (of a fingerprint at least {MIN_DIGITS} hexadecimal digits are needed, and no more than {ALL_DIGITS})"
            )
        } else {
            String::new()
        }
    }
}

/// What follows a prefix of any case, in lower case and without colons.
fn after(name: &str, prefix: &str) -> Option<String> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| rest.replace(':', "").to_ascii_lowercase())
}

fn octets(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != ALL_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let octet = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
    let octets: Vec<_> = (0..ANY_MATERIAL.len()).filter_map(octet).collect();
    octets.try_into().ok()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

/// A key, with all that tells it from others.
pub(super) fn told(id: &KeyId) -> String {
    format!(
        "the key with kid {:?} (sha256:{})",
        &*id.kid,
        hex(&id.spki_sha256)
    )
}

/// Some of many, and how many there are.
pub(super) fn first_of(names: &[String], between: &str) -> String {
    let mut text = names
        .iter()
        .take(MAX_TOLD)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(between);
    if let Some(more @ 1..) = names.len().checked_sub(MAX_TOLD) {
        let _ = write!(text, "{between}and {more} more");
    }
    text
}
