//! The issuers: a table of their states, what is due, and who works for them. Ties source, ring, publication and catalog
//! together.

mod advance;
mod ahead;
mod chronicle;
mod desk;
mod due;
mod endpoints;
mod engine;
mod entry;
mod events;
mod memory;
mod owners;
mod pace;
mod places;
mod reader;
mod reminders;
mod rounds;
mod shared;
mod state;
mod supervisor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::SignedDuration;

use crate::publication::Profile;
use crate::ring::{Confirmation, Rules, SourceId};
use crate::source::SourceSettings;

pub use desk::{Answer, AskError, Desk};
pub use owners::{KeyOwners, shared_keys};
pub use places::ReadLimits;
pub use reminders::Reminders;
pub use rounds::Rounds;
pub use shared::{Published, Shared};
pub use supervisor::{Applied, Issuers, Upserted};

/// An issuer as configured and validated.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSettings {
    /// What its documents say.
    pub profile: Profile,
    /// Whether `/readyz` waits for it.
    pub required: bool,
    /// Its sources; at least one.
    pub sources: Vec<IssuerSource>,
    /// How often a source is read: 10 s, at most the max-age of the JWKS.
    pub refresh: SignedDuration,
    /// The rules of its ring.
    pub rules: Rules,
    /// The longest that any token may live.
    pub token_lifetime: SignedDuration,
}

/// One source of an issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSource {
    /// Where the keys are.
    pub settings: SourceSettings,
    /// Other issuers that this source may name.
    pub claims: Vec<String>,
    /// When it is believed that a key is absent, or that all keys were exchanged at once.
    pub confirmation: Confirmation,
}

impl IssuerSource {
    /// How it is named in metrics and logs: by its place in the configuration.
    pub fn id(&self, index: usize) -> SourceId {
        type Names = Mutex<BTreeMap<(usize, &'static str), Arc<str>>>;
        /// A fleet has few names, each of them many times.
        static NAMES: OnceLock<Names> = OnceLock::new();
        let kind = self.settings.kind();
        // Entries are added as a whole, so a panic elsewhere leaves them so.
        let mut names = NAMES
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let name = names
            .entry((index, kind))
            .or_insert_with(|| format!("sources[{index}].{kind}").into());
        SourceId(Arc::clone(name))
    }
}

#[cfg(test)]
mod tests;
