//! One issuer's task: owns its state and ties source, ring, publication and catalog together.

mod ahead;
mod chronicle;
mod desk;
mod endpoints;
mod events;
mod guard;
mod memory;
mod owners;
mod pace;
mod reader;
mod reminders;
mod shared;
mod supervisor;
mod task;

use jiff::SignedDuration;

use crate::publication::Profile;
use crate::ring::{Confirmation, Rules, SourceId};
use crate::source::SourceSettings;

pub use desk::{Answer, AskError, Desk};
pub use owners::{KeyOwners, shared_keys};
pub use reminders::Reminders;
pub use shared::{Published, Shared};
pub use supervisor::{Applied, Issuers};

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
        SourceId(format!("sources[{index}].{}", self.settings.kind()).into())
    }
}

#[cfg(test)]
mod tests;
