//! Listings that share no key with what is published: another cluster's, perhaps. They wait to be confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::decisions::ChangeId;
use super::{Confirmation, SourceId};
use crate::key::PublicKey;

/// How many are remembered, those heard last.
const MAX_HELD: usize = 16;

/// A listing that was not heard again for this long is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// A listing that shares no unrevoked key with what is published, and is not published before it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldChange {
    /// Its name, for an operator to approve it.
    pub change: ChangeId,
    /// Which source gave it.
    pub source: SourceId,
    /// Which of its endpoints, where it has several: the one that gave it last.
    pub endpoint: Option<Arc<str>>,
    /// All of its keys.
    pub keys: Vec<PublicKey>,
    /// When it was first heard.
    pub first_heard: Timestamp,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// How many readings had it.
    pub reads: u32,
    /// What it waits for.
    pub confirmation: Confirmation,
}

impl HeldChange {
    /// The source, and the endpoint if there are several.
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} at {endpoint}", self.source.0),
            None => self.source.0.to_string(),
        }
    }

    /// Whether it has been heard often enough, or for long enough.
    fn is_confirmed(&self) -> bool {
        match self.confirmation {
            Confirmation::Reads(reads) => self.reads >= reads,
            Confirmation::Duration(duration) => {
                self.last_heard.duration_since(self.first_heard) >= duration
                    && (self.reads > 1 || duration <= SignedDuration::ZERO)
            }
            Confirmation::Manual => false,
        }
    }
}

/// The changes that wait, of all sources of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pending(BTreeMap<(SourceId, ChangeId), HeldChange>);
