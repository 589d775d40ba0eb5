//! With which ledger an issuer starts. Nothing is published before one was read, or a store said that there is none:
//! a key that was revoked would be published again, and one that is retained be missing.

use super::Fault;
use crate::ring::{DecodeError, Ledger};

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
