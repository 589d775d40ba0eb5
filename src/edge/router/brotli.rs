//! Documents in br: compressed when a request first asks for one, and kept while others ask.

use std::convert::Infallible;

use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::representation::{Document, Representation};

/// Upper bound of what is kept, in bytes.
const CAPACITY: u64 = 16 << 20;

/// What an entry takes beside its body, in bytes.
const OVERHEAD: u64 = 256;

/// The documents that were asked for in br, by the entity tag of their uncompressed form: equal bytes have one entry,
/// whoever publishes them, and a document that was replaced is never found. Bounded in bytes; what nobody asks for leaves
/// first. Whether an answer comes from here or is compressed anew does not change a byte of it.
pub(super) struct BrotliCache(Cache<HeaderValue, Option<Representation>, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<HeaderValue, Option<Representation>> for Weight {
    fn weight(&self, _: &HeaderValue, representation: &Option<Representation>) -> u64 {
        OVERHEAD + representation.as_ref().map_or(0, |br| br.body.len() as u64)
    }
}

impl BrotliCache {
    pub(super) fn new() -> Self {
        let entries = usize::try_from(CAPACITY / 1024).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(entries, CAPACITY, Weight))
    }

    /// The document in br; `None` where that is not smaller. Requests that ask for one document at the same time share
    /// one compression.
    pub(super) fn get(&self, document: &Document) -> Option<Representation> {
        let compress = || Ok::<_, Infallible>(document.br());
        let Ok(found) = self.0.get_or_insert_with(&document.identity.etag, compress);
        found
    }
}

impl std::fmt::Debug for BrotliCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrotliCache")
            .field("entries", &self.0.len())
            .field("bytes", &self.0.weight())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::{build, fake};
    use crate::representation::Served;

    fn jwks() -> Document {
        let publication = build(&fake::profile("https://h.example"), &fake::mixed()).unwrap();
        Served::from(publication).jwks
    }

    #[test]
    fn an_answer_does_not_depend_on_who_asked_before() {
        let jwks = jwks();
        let cache = BrotliCache::new();
        let first = cache.get(&jwks);
        assert!(first.is_some());
        assert_eq!(cache.get(&jwks), first);
        assert_eq!(BrotliCache::new().get(&jwks), first);
        assert_eq!(cache.0.len(), 1);
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let jwks = jwks();
        let cache = BrotliCache::new();
        let br = jwks.br();
        let entries = CAPACITY / (OVERHEAD + br.as_ref().unwrap().body.len() as u64);
        for number in 0..2 * entries {
            cache.0.insert(HeaderValue::from(number), br.clone());
        }
        assert!(cache.0.weight() <= CAPACITY && cache.0.len() > 1000);
    }
}
