//! Which issuers publish which material. One key under two issuers lets the pods of the one cluster act under the name
//! of the other; where both read one source, that is what was configured.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{IssuerSettings, IssuerSource};

type Material = [u8; 32];

/// What all issuers of the process publish. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeyOwners(Arc<Mutex<HashMap<Material, Vec<Owner>>>>);

#[derive(Clone, Debug)]
struct Owner {
    issuer: Arc<str>,
    /// Each source by the hash of its settings.
    sources: Arc<[u64]>,
}

/// What one issuer publishes; forgotten with it.
#[derive(Debug)]
pub(super) struct Owned {
    all: KeyOwners,
    own: Owner,
    keys: HashSet<Material>,
    /// Issuers that were told of already.
    told: HashSet<Arc<str>>,
}

/// Another issuer with the same key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) issuer: Arc<str>,
    /// Whether both read the same source.
    pub(super) is_one_source: bool,
}

impl Shares {
    /// For a person. A warning, unless both read one source.
    pub(super) fn message(&self, name: &str) -> String {
        let other = &self.issuer;
        if self.is_one_source {
            format!("{name} and {other} publish the same key of a source that they share")
        } else {
            format!(
                "{name} and {other} publish the same key, of different sources: tokens of the one cluster are valid under \
                 the name of the other. Check which cluster each source leads to"
            )
        }
    }
}

/// Which of these issuers would publish one key of different sources, for a person: each with the SHA-256 of the public
/// keys that its sources list.
pub fn shared_keys<'a>(
    issuers: impl IntoIterator<Item = (&'a IssuerSettings, HashSet<Material>)>,
) -> Vec<String> {
    let all = KeyOwners::default();
    let mut messages = Vec::new();
    // Whoever is dropped owns nothing any more.
    let mut owners = Vec::new();
    for (settings, keys) in issuers {
        let name = settings.profile.issuer.as_str();
        let mut owned = all.of(name, &settings.sources);
        let shares = owned.publishes(keys).into_iter();
        messages.extend(
            shares
                .filter(|shares| !shares.is_one_source)
                .map(|shares| shares.message(name)),
        );
        owners.push(owned);
    }
    messages
}

impl KeyOwners {
    pub(super) fn of(&self, issuer: &str, sources: &[IssuerSource]) -> Owned {
        let hash = |source: &IssuerSource| {
            let mut hasher = DefaultHasher::new();
            format!("{:?}", source.settings).hash(&mut hasher);
            hasher.finish()
        };
        Owned {
            all: self.clone(),
            own: Owner {
                issuer: issuer.into(),
                sources: sources.iter().map(hash).collect(),
            },
            keys: HashSet::new(),
            told: HashSet::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Material, Vec<Owner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    /// Takes over what is published now; tells the other issuers that publish some of it, each once.
    pub(super) fn publishes(&mut self, keys: HashSet<Material>) -> Vec<Shares> {
        if keys == self.keys {
            return Vec::new();
        }
        let mut all = self.all.lock();
        let mut shares = Vec::new();
        for left in self.keys.difference(&keys) {
            forget(&mut all, left, &self.own.issuer);
        }
        for new in keys.difference(&self.keys) {
            let owners = all.entry(*new).or_default();
            for other in owners.iter() {
                if other.issuer != self.own.issuer && self.told.insert(Arc::clone(&other.issuer)) {
                    shares.push(Shares {
                        issuer: Arc::clone(&other.issuer),
                        is_one_source: other
                            .sources
                            .iter()
                            .any(|source| self.own.sources.contains(source)),
                    });
                }
            }
            owners.push(self.own.clone());
        }
        drop(all);
        self.keys = keys;
        shares
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        for key in &self.keys {
            forget(&mut all, key, &self.own.issuer);
        }
    }
}

fn forget(all: &mut HashMap<Material, Vec<Owner>>, key: &Material, issuer: &Arc<str>) {
    if let Some(owners) = all.get_mut(key) {
        // Of two tasks of one issuer the older ends while the newer owns the key already.
        if let Some(at) = owners.iter().position(|owner| owner.issuer == *issuer) {
            owners.swap_remove(at);
        }
        if owners.is_empty() {
            all.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Confirmation;
    use crate::source::{FilesSettings, SourceSettings};

    fn source(path: &str) -> Vec<IssuerSource> {
        vec![IssuerSource {
            settings: SourceSettings::Files(FilesSettings {
                paths: vec![path.to_owned()],
            }),
            claims: Vec::new(),
            confirmation: Confirmation::Reads(1),
        }]
    }

    #[test]
    fn a_key_under_two_issuers_is_told_once_and_whether_they_share_a_source() {
        let all = KeyOwners::default();
        let keys = |keys: &[u8]| keys.iter().map(|key| [*key; 32]).collect::<HashSet<_>>();
        let mut a = all.of("a", &source("/x"));
        let mut b = all.of("b", &source("/x"));
        let mut c = all.of("c", &source("/y"));
        assert_eq!(a.publishes(keys(&[1, 2])), []);
        let of = |issuer: &str, is_one_source| Shares {
            issuer: issuer.into(),
            is_one_source,
        };
        assert_eq!(b.publishes(keys(&[2])), [of("a", true)]);
        assert_eq!(b.publishes(keys(&[1, 2])), [], "told already");
        drop(b);
        assert_eq!(c.publishes(keys(&[1, 3])), [of("a", false)]);
        drop((a, c));
        assert!(all.lock().is_empty(), "what is gone is forgotten");
    }
}
