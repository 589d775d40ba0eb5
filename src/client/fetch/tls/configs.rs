//! Client configurations, kept by what they trust and present: sources are read over a new connection every few seconds,
//! and what was agreed over the one before (RFC 8446 section 2.2) spares it the certificates and their signatures.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// Configurations that are kept at most. Each has room for what was agreed with some servers, about 20 KiB.
const MAX: usize = 1024;

/// SHA-256 of what a configuration trusts and presents.
pub(super) type Key = [u8; 32];

/// Of the process: what two sources have in common, one of them makes.
pub(super) static CONFIGS: LazyLock<Configs> = LazyLock::new(Configs::default);

#[derive(Default)]
pub(super) struct Configs(Mutex<HashMap<Key, Kept>>);

struct Kept {
    config: Arc<ClientConfig>,
    used: Instant,
}

impl Configs {
    /// The configuration of this key, made where it is not there yet.
    pub(super) fn get<E>(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<ClientConfig, E>,
    ) -> Result<Arc<ClientConfig>, E> {
        // Entries come and go as a whole, so a panic elsewhere leaves them so.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = Instant::now();
        if let Some(known) = kept.get_mut(&key) {
            known.used = used;
            return Ok(Arc::clone(&known.config));
        }
        let config = Arc::new(make()?);
        if kept.len() >= MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key)
        {
            kept.remove(&oldest);
        }
        let new = Kept {
            config: Arc::clone(&config),
            used,
        };
        kept.insert(key, new);
        Ok(config)
    }
}

/// The key of certificates and what they are for.
pub(super) fn key_of(what: &str, certificates: &[CertificateDer<'_>]) -> Key {
    let mut hash = Sha256::new();
    hash.update(what);
    for certificate in certificates {
        hash.update(certificate.len().to_be_bytes());
        hash.update(certificate);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::super::{Roots, SystemRoots};
    use super::*;

    fn config() -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(config
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth())
    }

    #[test]
    fn a_configuration_is_made_once_and_the_one_not_used_for_longest_gives_way() {
        let configs = Configs::default();
        let key = |number: usize| key_of(&number.to_string(), &[]);
        let first = configs.get(key(0), config).unwrap();
        for number in 1..MAX {
            configs.get(key(number), config).unwrap();
        }
        let again = configs.get(key(0), || Err(())).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        configs.get(key(MAX), config).unwrap();
        assert!(configs.get(key(0), || Err(())).is_ok(), "used since");
        assert!(configs.get(key(1), || Err(())).is_err(), "not used for longest");
    }

    #[test]
    fn one_that_cannot_be_made_is_not_kept() {
        let configs = Configs::default();
        assert!(configs.get([0; 32], || Err(())).is_err());
        assert!(configs.get([0; 32], config).is_ok());
    }

    #[test]
    fn the_same_cas_alone_and_beside_those_of_the_system_have_two_keys() {
        let ca = || {
            let mut ca = CertificateParams::new([]).unwrap();
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            ca.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        let (ours, other) = (ca(), ca());
        let beside = |pem: &str| Roots::beside(pem.as_bytes(), SystemRoots).unwrap().key().unwrap();
        let pinned = Roots::pinned(ours.as_bytes()).unwrap().key().unwrap();
        assert_ne!(beside(&ours), pinned);
        assert_ne!(beside(&ours), beside(&other));
        assert_eq!(beside(&ours), beside(&ours));
    }

    #[test]
    fn where_one_certificate_ends_and_the_next_begins_makes_a_difference() {
        let of = |certificates: &[&'static [u8]]| {
            let certificates: Vec<_> = certificates
                .iter()
                .map(|der| CertificateDer::from(*der))
                .collect();
            key_of("x", &certificates)
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
    }
}
