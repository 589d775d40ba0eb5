//! What a later release wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Members of a stored ledger that this release does not know, by name, as JSON text: kept for the release that
/// wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unknown(pub(super) BTreeMap<Arc<str>, Arc<str>>);

impl Unknown {
    /// The members of both; where they differ, the greater text.
    pub(super) fn merge(&self, other: &Self) -> Self {
        let mut merged = self.0.clone();
        for (name, theirs) in &other.0 {
            merged
                .entry(Arc::clone(name))
                .and_modify(|ours| {
                    if *theirs > *ours {
                        ours.clone_from(theirs);
                    }
                })
                .or_insert_with(|| Arc::clone(theirs));
        }
        Self(merged)
    }
}
