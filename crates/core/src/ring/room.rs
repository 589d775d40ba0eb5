//! How much of the JWKS document a key takes.

use crate::key::PublicKey;

/// `{"keys":[` and `]}`, less the comma that the first key does not have.
pub(super) const ENVELOPE: usize = r#"{"keys":[]}"#.len() - 1;

/// What a key adds to the document: its JWK and a comma.
pub(super) fn in_document(key: &PublicKey) -> usize {
    key.jwk().len() + 1
}
