//! What to do about a failed read, where that is not about the request: a line of advice for each cause, by the kind of
//! place that was asked.

use super::{Asked, Cause};

impl Cause {
    /// What to do about it: a sentence, or several.
    pub(super) fn remedy(&self, asked: Asked) -> String {
        let advice = match self {
            Self::Request(cause) => return cause.remedy(asked.as_client()),
            Self::Parse(_) if asked == Asked::Files => "Give PEM (public keys or certificates) or JWKS files",
            Self::Parse(_) => "Check the URL: a JWKS is expected there",
            Self::NoKeys if matches!(asked, Asked::ApiServer | Asked::EndpointSlice) => {
                "Check --service-account-key-file of the API server"
            }
            Self::NoKeys => "Put at least one public key there",
            Self::AllRevoked { .. } => {
                "Give the cluster a new signing key, or take the revocation back with `oidc-issuer keys unrevoke` if it was \
                 a mistake"
            }
            Self::OtherIssuer { ours, named } => return other_issuer(ours, named),
            Self::NothingPublishable { remedy, .. } => return remedy.clone(),
            Self::NoFiles => {
                "Put key files there, or correct the paths; they are picked up as soon as they appear"
            }
        };
        format!("{advice}.")
    }
}

fn other_issuer(ours: &str, named: &str) -> String {
    let slash = if ours.trim_end_matches('/') == named.trim_end_matches('/') {
        " They differ by the slash at the end, which verifiers do not forgive."
    } else {
        ""
    };
    format!(
        "If this is the right cluster, set its API server's flag --service-account-issuer={ours}; while it has not been \
         switched yet, list {named:?} in the source's claims to publish ahead of the switch. If it is another cluster, \
         correct the source.{slash}"
    )
}
