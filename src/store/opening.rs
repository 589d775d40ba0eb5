//! With which ledger an issuer starts. Nothing is published before one was read, or a store said that there is none:
//! a key that was revoked would be published again, and one that is retained be missing.

use super::Fault;
use super::shared::{Content, Proof};
use crate::ring::{DecodeError, Ledger, is_called_ledger};

/// What one place said about the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This is it.
    Ledger(Ledger),
    /// There is none.
    Nothing,
    /// There was one, which cannot be read any more.
    Lost,
    /// There is one that is not for us.
    Refused(String),
    /// It does not answer.
    Silent(String),
}

/// How an issuer starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// With this ledger.
    With(Ledger),
    /// Not yet: both documents answer 503.
    Wait(String),
    /// Not as long as someone else's ledger is there: both documents answer 503.
    Refused(String),
}

/// Decides by what the local copy and the shared store said, where there are such.
pub(super) fn opening(local: Option<Said>, shared: Option<Said>) -> Opening {
    use Said::{Ledger as Has, Lost, Nothing, Refused, Silent};
    match (local, shared) {
        (Some(Refused(reason)), _) | (_, Some(Refused(reason))) => Opening::Refused(reason),
        // Both, or one of the two where the other says there is none.
        (Some(Has(local)), Some(Has(shared))) => Opening::With(local.merge(&shared)),
        (_, Some(Has(ledger))) | (Some(Has(ledger)), _) => Opening::With(ledger),
        // The shared store is the one that knows; the copy comes later.
        (_, Some(Nothing | Lost)) | (None | Some(Nothing | Lost), None) => Opening::With(Ledger::default()),
        (_, Some(Silent(reason))) | (Some(Silent(reason)), None) => Opening::Wait(reason),
    }
}

/// Whether octets are this issuer's ledger.
pub(super) fn judge(document: &[u8], issuer: &str) -> Result<Ledger, Fault> {
    Ledger::decode(document, issuer).map_err(Fault::from)
}

/// What a shared store gave, where a ledger should be.
#[derive(Debug)]
pub(super) enum Judged {
    /// This is it.
    Ledger(Ledger),
    /// A ledger that is damaged in its store: the generation before may stand in, and it may be replaced.
    Torn(String),
    /// Nobody knows what it is: what was cut on the way, or the answer of something in front of the store. It says nothing
    /// about the ledger.
    Foreign(String),
    /// Another issuer's, or of a newer format.
    Refused(String),
}

/// A damaged ledger is believed to be damaged only where nothing else can be the reason.
pub(super) fn judge_stored(content: &Content, issuer: &str) -> Judged {
    let bytes = content.bytes.trim_ascii();
    match judge(&content.bytes, issuer) {
        Ok(ledger) => Judged::Ledger(ledger),
        Err(Fault::Refused(reason)) => Judged::Refused(reason),
        Err(Fault::Torn(reason)) => {
            let is_torn = match content.proof {
                Proof::Ours => true,
                Proof::Whole => is_called_ledger(bytes),
                // Well formed or not: something in front of the store may have changed it.
                Proof::None => false,
            };
            if is_torn {
                Judged::Torn(reason)
            } else {
                Judged::Foreign(reason)
            }
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        if error.is_damage() {
            Self::Torn(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::ledger;

    fn has(names: &[&str]) -> Said {
        Said::Ledger(ledger(names))
    }

    fn silent() -> Said {
        Said::Silent("why".into())
    }

    fn refused() -> Said {
        Said::Refused("why".into())
    }

    fn empty() -> Opening {
        Opening::With(Ledger::default())
    }

    #[test]
    fn only_a_ledger_is_torn_and_nothing_else_that_comes_in_its_place() {
        let issuer = crate::store::fake::ISSUER;
        let good = crate::store::fake::document(&["a"]);
        let judged = |bytes: &[u8], proof| {
            let bytes = bytes.to_vec().into();
            match judge_stored(&Content { bytes, proof }, issuer) {
                Judged::Ledger(_) => "ledger",
                Judged::Torn(_) => "torn",
                Judged::Foreign(_) => "foreign",
                Judged::Refused(_) => "refused",
            }
        };
        let changed = String::from_utf8(good.clone())
            .unwrap()
            .replace("\"listed\":true", "\"listed\":false");
        let other = ledger(&["a"]).encode("https://other.example");
        for (bytes, none, whole, ours) in [
            (good.as_slice(), "ledger", "ledger", "ledger"),
            // Changed, and well formed: on the way, where the store does not vouch for it.
            (changed.as_bytes(), "foreign", "torn", "torn"),
            // Cut on the way, or in the store.
            (&good[..60], "foreign", "torn", "torn"),
            (&good[..good.len() - 3], "foreign", "torn", "torn"),
            (b"", "foreign", "foreign", "torn"),
            (b"<html>login</html>", "foreign", "foreign", "torn"),
            (b"{}", "foreign", "foreign", "torn"),
            (br#"{"error":"oidc-issuer ledger"}"#, "foreign", "foreign", "torn"),
            (&other, "refused", "refused", "refused"),
        ] {
            let all = [Proof::None, Proof::Whole, Proof::Ours].map(|proof| judged(bytes, proof));
            assert_eq!(all, [none, whole, ours], "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_both_know_is_merged() {
        assert_eq!(
            opening(Some(has(&["a"])), Some(has(&["b"]))),
            Opening::With(ledger(&["a"]).merge(&ledger(&["b"])))
        );
    }

    #[test]
    fn a_shared_store_that_does_not_answer_is_replaced_by_the_local_copy() {
        assert_eq!(
            opening(Some(has(&["a"])), Some(silent())),
            Opening::With(ledger(&["a"]))
        );
    }

    #[test]
    fn a_replica_with_neither_waits() {
        for local in [Said::Nothing, Said::Lost, silent()] {
            assert_eq!(
                opening(Some(local), Some(silent())),
                Opening::Wait("why".into()),
                "that there is no copy here does not mean that there is no ledger"
            );
        }
        assert_eq!(opening(Some(silent()), None), Opening::Wait("why".into()));
    }

    #[test]
    fn a_store_that_says_there_is_none_is_believed() {
        assert_eq!(opening(None, None), empty());
        assert_eq!(opening(Some(Said::Nothing), None), empty());
        assert_eq!(opening(Some(silent()), Some(Said::Nothing)), empty());
        assert_eq!(
            opening(Some(has(&["a"])), Some(Said::Nothing)),
            Opening::With(ledger(&["a"]))
        );
    }

    #[test]
    fn a_lost_ledger_stops_nothing() {
        assert_eq!(opening(Some(Said::Lost), None), empty());
        assert_eq!(opening(Some(Said::Nothing), Some(Said::Lost)), empty());
        assert_eq!(
            opening(Some(has(&["a"])), Some(Said::Lost)),
            Opening::With(ledger(&["a"]))
        );
        assert_eq!(
            opening(Some(Said::Lost), Some(has(&["a"]))),
            Opening::With(ledger(&["a"]))
        );
    }

    #[test]
    fn a_foreign_or_newer_ledger_anywhere_stops_the_issuer() {
        let why = Opening::Refused("why".into());
        assert_eq!(opening(Some(refused()), None), why);
        assert_eq!(opening(Some(refused()), Some(has(&["a"]))), why);
        assert_eq!(opening(Some(has(&["a"])), Some(refused())), why);
        assert_eq!(opening(Some(Said::Nothing), Some(refused())), why);
    }
}
