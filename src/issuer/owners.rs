//! Which issuers publish which material. One key under two issuers lets the pods of the one cluster act under the name
//! of the other; where both read one source, that is what was configured.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::IssuerSettings;

/// The first half of the SHA-256 of a key: a fleet has hundreds of thousands.
type Material = [u8; 16];

/// What all issuers of the process publish. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeyOwners(Arc<Mutex<HashMap<Material, Owners>>>);

/// Nearly always one.
#[derive(Debug)]
enum Owners {
    One(Arc<IssuerSettings>),
    Several(Vec<Arc<IssuerSettings>>),
}

/// What one issuer publishes, and which others it was said to share a key with.
#[derive(Debug, Default)]
pub(super) struct Owned {
    keys: HashSet<Material>,
    told: Box<[Arc<str>]>,
}

/// So many others are named to one issuer, and looked at for each key: thousands may read one source.
const MAX_TOLD: usize = 8;

/// Another issuer with the same key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) issuer: Arc<str>,
    /// How many more there are that are not named.
    pub(super) more: usize,
    /// Whether both read the same source.
    pub(super) is_one_source: bool,
}

impl Shares {
    /// For a person. A warning, unless both read one source.
    pub(super) fn message(&self, name: &str) -> String {
        let other = match self.more {
            0 => self.issuer.to_string(),
            more => format!("{} (and {more} more issuers)", self.issuer),
        };
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
    issuers: impl IntoIterator<Item = (&'a IssuerSettings, HashSet<[u8; 32]>)>,
) -> Vec<String> {
    let all = KeyOwners::default();
    let mut messages = Vec::new();
    for (settings, keys) in issuers {
        let own = Arc::new(settings.clone());
        let shares = all.publishes(&mut Owned::default(), &own, keys).into_iter();
        let shares = shares.filter(|shares| !shares.is_one_source);
        messages.extend(shares.map(|shares| shares.message(settings.profile.issuer.as_str())));
    }
    messages
}

impl KeyOwners {
    /// Takes over what an issuer publishes now; tells the other issuers that publish some of it, each once.
    pub(super) fn publishes(
        &self,
        owned: &mut Owned,
        own: &Arc<IssuerSettings>,
        keys: impl IntoIterator<Item = [u8; 32]>,
    ) -> Vec<Shares> {
        let keys: HashSet<_> = keys.into_iter().map(material).collect();
        if keys == owned.keys {
            return Vec::new();
        }
        let mut all = self.lock();
        let mut shares: Vec<Shares> = Vec::new();
        for left in owned.keys.difference(&keys) {
            forget(&mut all, left, own);
        }
        for new in keys.difference(&owned.keys) {
            let others = all.get(new).map(Owners::all).unwrap_or_default();
            let more = others.len().saturating_sub(MAX_TOLD);
            for other in others.iter().take(MAX_TOLD) {
                if owned.told.len() + shares.len() >= MAX_TOLD {
                    break;
                }
                let issuer = other.profile.issuer.as_str();
                let is_told = owned.told.iter().map(|told| &**told);
                let is_told = is_told.chain(shares.iter().map(|shares| &*shares.issuer));
                if issuer == own.profile.issuer.as_str() || is_told.into_iter().any(|told| told == issuer) {
                    continue;
                }
                let same = |source: &super::IssuerSource| {
                    let mut ours = own.sources.iter();
                    ours.any(|ours| ours.settings == source.settings)
                };
                shares.push(Shares {
                    issuer: issuer.into(),
                    more: 0,
                    is_one_source: other.sources.iter().any(same),
                });
            }
            if let Some(last) = shares.last_mut() {
                last.more = last.more.max(more);
            }
            enter(&mut all, *new, own);
        }
        drop(all);
        owned.keys = keys;
        if !shares.is_empty() {
            let told = owned.told.iter().cloned();
            owned.told = told
                .chain(shares.iter().map(|shares| Arc::clone(&shares.issuer)))
                .collect();
        }
        shares
    }

    /// Entries are changed in single steps, so a panic elsewhere leaves them whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Material, Owners>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    /// What an issuer that rested is known to publish.
    pub(super) fn resumed(keys: impl IntoIterator<Item = [u8; 32]>, told: Box<[Arc<str>]>) -> Self {
        Self {
            keys: keys.into_iter().map(material).collect(),
            told,
        }
    }

    /// Which issuers it was said to share a key with.
    pub(super) fn told(self) -> Box<[Arc<str>]> {
        self.told
    }

    /// Forgets all that it is known to publish.
    pub(super) fn leave(&mut self, all: &KeyOwners, own: &Arc<IssuerSettings>) {
        let mut all = all.lock();
        for key in self.keys.drain() {
            forget(&mut all, &key, own);
        }
    }
}

impl Owners {
    fn all(&self) -> &[Arc<IssuerSettings>] {
        match self {
            Self::One(owner) => std::slice::from_ref(owner),
            Self::Several(owners) => owners,
        }
    }
}

fn material(spki_sha256: [u8; 32]) -> Material {
    let mut material = [0; 16];
    material.copy_from_slice(&spki_sha256[..16]);
    material
}

fn enter(all: &mut HashMap<Material, Owners>, key: Material, own: &Arc<IssuerSettings>) {
    match all.remove(&key) {
        None => all.insert(key, Owners::One(Arc::clone(own))),
        Some(Owners::One(other)) => all.insert(key, Owners::Several(vec![other, Arc::clone(own)])),
        Some(Owners::Several(mut owners)) => {
            owners.push(Arc::clone(own));
            all.insert(key, Owners::Several(owners))
        }
    };
}

fn forget(all: &mut HashMap<Material, Owners>, key: &Material, own: &Arc<IssuerSettings>) {
    let is_empty = match all.get_mut(key) {
        Some(Owners::One(owner)) => Arc::ptr_eq(owner, own),
        Some(Owners::Several(owners)) => {
            if let Some(at) = owners.iter().position(|owner| Arc::ptr_eq(owner, own)) {
                owners.swap_remove(at);
            }
            owners.is_empty()
        }
        None => false,
    };
    if is_empty {
        all.remove(key);
        if all.capacity() > 1024 && all.len() < all.capacity() / 4 {
            all.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::issuer::IssuerSource;
    use crate::publication::fake::profile;
    use crate::ring::{Confirmation, Rules};
    use crate::source::{FilesSettings, SourceSettings};

    fn settings(issuer: &str, path: &str) -> Arc<IssuerSettings> {
        Arc::new(IssuerSettings {
            profile: profile(issuer),
            required: true,
            sources: vec![IssuerSource {
                settings: SourceSettings::Files(FilesSettings {
                    paths: vec![path.to_owned()],
                }),
                claims: Vec::new(),
                confirmation: Confirmation::Reads(1),
            }],
            refresh: SignedDuration::from_secs(10),
            rules: Rules::new(SignedDuration::from_hours(49)),
            token_lifetime: SignedDuration::from_hours(24),
        })
    }

    #[test]
    fn of_thousands_that_share_a_key_a_few_are_named() {
        let all = KeyOwners::default();
        let named: Vec<_> = (0..1000)
            .map(|number| {
                let settings = settings(&format!("https://{number}.example"), "/x");
                let shares = all.publishes(&mut Owned::default(), &settings, [[1; 32]]);
                (shares.len(), shares.last().map_or(0, |last| last.more))
            })
            .collect();
        assert_eq!(named[0], (0, 0));
        assert_eq!(named[8], (8, 0));
        assert_eq!(named[999], (8, 991));
    }

    #[test]
    fn a_key_under_two_issuers_is_told_once_and_whether_they_share_a_source() {
        let all = KeyOwners::default();
        let keys = |keys: &[u8]| keys.iter().map(|key| [*key; 32]).collect::<Vec<_>>();
        let [a, b, c] = [("a", "/x"), ("b", "/x"), ("c", "/y")]
            .map(|(name, path)| settings(&format!("https://{name}.example"), path));
        let (mut of_a, mut of_b, mut of_c) = (Owned::default(), Owned::default(), Owned::default());
        assert_eq!(all.publishes(&mut of_a, &a, keys(&[1, 2])), []);
        let of = |issuer: &str, is_one_source| Shares {
            issuer: issuer.into(),
            more: 0,
            is_one_source,
        };
        assert_eq!(
            all.publishes(&mut of_b, &b, keys(&[2])),
            [of("https://a.example", true)]
        );
        assert_eq!(all.publishes(&mut of_b, &b, keys(&[1, 2])), [], "told already");
        let mut of_b = Owned::resumed(keys(&[1, 2]), of_b.told());
        assert_eq!(all.publishes(&mut of_b, &b, keys(&[1])), [], "after a rest too");
        of_b.leave(&all, &b);
        assert_eq!(
            all.publishes(&mut of_c, &c, keys(&[1, 3])),
            [of("https://a.example", false)]
        );
        of_a.leave(&all, &a);
        of_c.leave(&all, &c);
        assert!(all.lock().is_empty(), "what is gone is forgotten");
    }
}
