//! How much of a reading is looked at: a source may list anything.

use std::collections::HashSet;

use jiff::Timestamp;

use super::selection::Selection;
use super::{EndpointReading, Listing, Ring};
use crate::key::{KeyId, MAX_QUARANTINED, PublicKey, bound_quarantined};

/// Keys of one reading, over all endpoints and files, that are looked at; and as many entries that are held back.
pub const MAX_LISTED: usize = MAX_QUARANTINED;

impl Ring {
    /// A reading with no more keys and entries than are looked at. Keys that are published are among them wherever they
    /// stand; of the others each endpoint has its share. How many were left out is the last of its quarantined entries; where
    /// keys were, the listing is not complete.
    pub fn bounded(&self, listing: Listing, now: Timestamp) -> Listing {
        let Listing {
            keys,
            endpoints,
            mut quarantined,
            ..
        } = listing;
        let all: HashSet<_> = keys.iter().map(PublicKey::id).collect();
        let left_out = all.len().saturating_sub(MAX_LISTED);
        let (keys, endpoints) = if left_out == 0 {
            (keys, endpoints)
        } else {
            let kept = self.kept(&keys, &endpoints, now);
            let endpoints = endpoints.iter().map(|reading| EndpointReading {
                endpoint: reading.endpoint.clone(),
                keys: reading.keys.as_deref().map(|keys| only(keys, &kept)),
            });
            (only(&keys, &kept), endpoints.collect())
        };
        bound_quarantined(&mut quarantined, MAX_LISTED, left_out);
        Listing {
            keys,
            endpoints,
            quarantined,
            complete: listing.complete && left_out == 0,
            ..listing
        }
    }

    /// The published ones, and then of each endpoint the first, the second, and so on.
    fn kept(&self, keys: &[PublicKey], endpoints: &[EndpointReading], now: Timestamp) -> HashSet<KeyId> {
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let published = keys.iter().map(PublicKey::id).filter(|id| selection.keeps(id));
        let mut kept: HashSet<_> = published.take(MAX_LISTED).cloned().collect();
        let mut columns: Vec<_> = endpoints
            .iter()
            .filter_map(|reading| Some(reading.keys.as_ref()?.iter()))
            .collect();
        if columns.is_empty() {
            columns.push(keys.iter());
        }
        while kept.len() < MAX_LISTED {
            let mut is_over = true;
            for column in &mut columns {
                if let Some(key) = column.find(|key| !kept.contains(key.id())) {
                    is_over = false;
                    if kept.len() < MAX_LISTED {
                        kept.insert(key.id().clone());
                    }
                }
            }
            if is_over {
                break;
            }
        }
        kept
    }
}

fn only(keys: &[PublicKey], kept: &HashSet<KeyId>) -> Vec<PublicKey> {
    keys.iter()
        .filter(|key| kept.contains(key.id()))
        .cloned()
        .collect()
}
