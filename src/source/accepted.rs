//! Which issuers a source may name.

use super::Cause;

/// What is quoted of an issuer that a source names: it may be anything.
const MAX_SHOWN: usize = 300;

/// The issuers that a cluster may name, so that its keys are published. A cluster that names another one is never
/// published under our name: pods of the one could act as those of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The issuer that is published.
    pub issuer: String,
    /// Others: the one that the cluster has until its flag is switched, an alias.
    pub claims: Vec<String>,
}

impl Accepted {
    /// Refuses any other issuer, to the letter.
    pub(super) fn check(&self, named: &str) -> Result<(), Cause> {
        if named == self.issuer || self.claims.iter().any(|claim| claim == named) {
            return Ok(());
        }
        Err(Cause::OtherIssuer {
            named: named.chars().take(MAX_SHOWN).collect(),
            ours: self.issuer.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Asked, ReadError};

    #[test]
    fn a_source_that_names_another_issuer_is_refused() {
        let accepted = Accepted {
            issuer: "https://oidc.example.com/prod".into(),
            claims: vec!["https://kubernetes.default.svc".into()],
        };
        for named in ["https://oidc.example.com/prod", "https://kubernetes.default.svc"] {
            assert_eq!(accepted.check(named), Ok(()), "{named}");
        }
        for named in [
            "https://oidc.example.com/prod/",
            "https://oidc.example.com/PROD",
            "https://other",
            "",
        ] {
            let cause = accepted.check(named).unwrap_err();
            let error = ReadError::new(Asked::ApiServer, "https://10.0.0.1", cause);
            assert_eq!(error.label(), "other_issuer");
            let error = error.to_string();
            assert!(
                error.contains("--service-account-issuer=https://oidc.example.com/prod"),
                "{error}"
            );
            assert!(error.contains("claims"), "{error}");
        }
    }
}
