//! The name that an issuer's ledger has in a store: of a file, an object, a `ConfigMap`.

use sha2::{Digest, Sha256};

use crate::display::hex;

/// Readable, and short enough for a prefix in front of it in a label of DNS (63 characters).
const MAX_SLUG: usize = 30;

/// `oidc-example-com-prod-2f1b0c3d4e5f6071`: what a person recognises, then what makes it unique. Small letters,
/// digits and single hyphens alone, so that it is a file name on every system, and a name in Kubernetes (RFC 1123
/// label, at most 47 characters).
pub(crate) fn of(issuer: &str) -> String {
    let readable = issuer.trim_start_matches("https://");
    let mut slug = String::new();
    for character in readable.chars() {
        if slug.len() == MAX_SLUG {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    let unique = hex(&Sha256::digest(issuer)[..8]);
    format!("{slug}-{unique}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_issuer_and_is_its_alone() {
        let plain = of("https://oidc.example.com/prod");
        assert!(plain.starts_with("oidc-example-com-prod-"), "{plain}");
        let others = [
            "https://oidc.example.com/prod/",
            "https://oidc.example.com/Prod",
            "https://oidc.example.com:443/prod",
            "https://oidc.example.com-prod",
        ];
        for other in others {
            assert_ne!(plain, of(other));
        }
    }

    #[test]
    fn a_name_is_valid_wherever_it_is_kept() {
        for url in [
            "https://[2001:db8::1]:8443/a~b/_c-",
            "https://x",
            "https://a-very-long-host-name-of-some-department.example.com/and/a/long/path/with-segments",
        ] {
            let name = of(url);
            assert!(name.len() <= 47, "{name}");
            let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(valid), "{name}");
            assert!(!name.starts_with('-') && !name.contains("--"), "{name}");
        }
    }
}
