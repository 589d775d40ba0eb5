//! What to do where no entry of a source may be published: by the reason of each, and only what it does not say itself.

use crate::key::{Quarantined, Reason};

/// An entry with its reason; the place is not named a second time.
pub(super) fn shown(entry: &Quarantined, place: &str) -> String {
    let named = &entry.entry;
    match named.strip_prefix(place) {
        Some("") => entry.reason.to_string(),
        Some(rest) if rest.starts_with(": ") => {
            format!("{}: {}", rest.trim_start_matches(": "), entry.reason)
        }
        _ => format!("{named}: {}", entry.reason),
    }
}

/// The remedies of all the reasons, each once.
pub(super) fn remedy(quarantined: &[Quarantined]) -> String {
    let mut remedies: Vec<&'static str> = Vec::new();
    for remedy in quarantined.iter().filter_map(|entry| of_reason(&entry.reason)) {
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    remedies.join(". ") + if remedies.is_empty() { "" } else { "." }
}

/// `None` where the reason says what to do.
fn of_reason(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::RsaTooShort { .. }
        | Reason::RsaTooLong { .. }
        | Reason::RsaEvenModulus
        | Reason::RsaExponent(_)
        | Reason::Curve { .. }
        | Reason::OffCurve { .. }
        | Reason::KeyType { .. }
        | Reason::Symmetric => {
            Some("Put an RSA key of 2048 to 8192 bits there, or one on P-256, P-384 or P-521")
        }
        Reason::Pem(_) | Reason::Der { .. } | Reason::PrivateMismatch => {
            Some("Copy the file from where it was made once more: it is damaged")
        }
        Reason::KidConflict { .. } => Some("Give each key a kid of its own, or remove one of them"),
        Reason::Algorithm { .. }
        | Reason::Use { .. }
        | Reason::Kid(_)
        | Reason::NotAnObject { .. }
        | Reason::DuplicateMember { .. }
        | Reason::MissingMember { .. }
        | Reason::Member { .. } => Some("Correct what writes the JWKS"),
        // They say it themselves: where the key is to be had, or why not.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Asked, ReadError};

    fn said(entry: &str, reason: Reason) -> String {
        let entry = Quarantined {
            entry: entry.to_owned(),
            kid: None,
            reason,
        };
        ReadError::nothing_publishable(Asked::Files, "/keys/sa.pub", vec![entry]).to_string()
    }

    #[test]
    fn a_remedy_is_that_of_the_cause_and_the_place_is_named_once() {
        assert_eq!(
            said(
                "/keys/sa.pub: block 1 (line 1)",
                Reason::RsaTooShort { bits: 1024 }
            ),
            "/keys/sa.pub: block 1 (line 1): RSA of 1024 bits: at least 2048 are needed. Put an RSA key of 2048 to 8192 \
             bits there, or one on P-256, P-384 or P-521."
        );
        let cause = "it is a directory: name the files in it, as in DIR/*.pem".to_owned();
        assert_eq!(
            said("/keys/sa.pub", Reason::Unreadable { cause: cause.clone() }),
            format!("/keys/sa.pub: {cause}")
        );
    }
}
