//! A ledger as it is stored: one JSON document, whose last member is the checksum of all that stands before it.
//!
//! A reader refuses what it cannot trust as a whole, and says what is wrong where. Members that it does not know
//! it keeps, and writes again.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Ledger;
use crate::key::Reason;

/// The major version of the format. A higher one is another format; what is only added keeps the number.
pub const FORMAT: u64 = 1;

/// The largest document that is read, in bytes. A ledger at its bounds of keys is smaller by far.
pub const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

/// Tells a ledger from any other JSON document.
const KIND: &str = "oidc-issuer ledger";

/// Before it stands what the checksum is of, after it 64 hexadecimal digits and the end.
const CHECKSUM: &str = r#","sha256":""#;

/// Times outside are damage: 1970 (where a clock starts that nobody has set) until 2200.
const TIMES: std::ops::Range<Timestamp> = Timestamp::constant(0, 0)..Timestamp::constant(7_258_118_400, 0);

/// How many faults an error tells.
const TOLD: usize = 5;

/// Why a document is not read as a ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Larger than any ledger.
    #[error("the ledger has {bytes} bytes; at most {MAX_DOCUMENT} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Half written, or changed since.
    #[error("the ledger is torn: {detail}")]
    Torn {
        /// How that is known.
        detail: String,
    },
    /// Something else than a ledger.
    #[error("it is no ledger of oidc-issuer: {detail}")]
    NotALedger {
        /// How that is known.
        detail: String,
    },
    /// Written by a later release in another format.
    #[error(
        "the ledger has format {found}, and this release knows format {FORMAT}: run the release that wrote it, or a later one"
    )]
    Newer {
        /// Its format.
        found: u64,
    },
    /// Of another issuer.
    #[error("the ledger is that of issuer {found}, not of {expected}: give each issuer a place of its own")]
    OtherIssuer {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// It is whole, but what it says cannot be.
    #[error("the ledger cannot be right: {}", told(.0))]
    Faults(Vec<EntryFault>),
}

impl DecodeError {
    /// Whether the document is damaged, so that an older generation of it may be better. Otherwise it is a good one
    /// that is not ours to read (or to overwrite): of another issuer, or of a later release.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Newer { .. } | Self::OtherIssuer { .. })
    }

    /// A short, stable name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Torn { .. } => "torn",
            Self::NotALedger { .. } => "not_a_ledger",
            Self::Newer { .. } => "newer_format",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::Faults(_) => "faults",
        }
    }
}

/// What cannot be right in a ledger, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// A key that may not be published.
    #[error("{place}: {reason}")]
    Key {
        /// Where: `entries[3] (kid "a")`.
        place: String,
        /// Why it may not.
        reason: Reason,
    },
    /// Two of one name, where there can be one.
    #[error("{place}: it is there twice")]
    Twice {
        /// Where the second is.
        place: String,
    },
    /// A time before 1970, after 2200, or no time at all.
    #[error("{place}: {member} is {found}, not a time between 1970 and 2200")]
    Time {
        /// Where.
        place: String,
        /// Which member.
        member: &'static str,
        /// What it says, shortened.
        found: String,
    },
    /// A member that is missing, or of another kind.
    #[error("{place}: {detail}")]
    Shape {
        /// Where.
        place: String,
        /// What is wrong.
        detail: String,
    },
}

impl Ledger {
    /// The document that `decode` reads, for the ledger of this issuer. Equal ledgers make equal documents.
    pub fn encode(&self, issuer: &str) -> Vec<u8> {
        write::document(self, issuer)
    }

    /// Reads a document of `encode`, of this release or another one.
    pub fn decode(document: &[u8], issuer: &str) -> Result<Self, DecodeError> {
        read::document(document, issuer)
    }
}

/// Whether bytes begin as a ledger does, whatever comes then: it may have been cut, or changed since.
pub fn is_called_ledger(document: &[u8]) -> bool {
    // Edited by hand, it may have other spaces.
    let dense = |text: &[u8]| -> Vec<u8> {
        let bytes = text.iter().copied();
        bytes.filter(|byte| !byte.is_ascii_whitespace()).collect()
    };
    let begins = dense(format!("{{\"kind\":\"{KIND}\"").as_bytes());
    dense(document.get(..200).unwrap_or(document)).starts_with(&begins)
}

fn told(faults: &[EntryFault]) -> String {
    let mut text: Vec<_> = faults.iter().take(TOLD).map(ToString::to_string).collect();
    if let Some(more @ 1..) = faults.len().checked_sub(TOLD) {
        text.push(format!("and {more} more"));
    }
    text.join("; ")
}

fn checksum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}
