//! What one replica of an API server says.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::display::write_line;
use crate::ring::Listing;
use crate::source::Survey;

/// One replica of an API server.
#[derive(Debug)]
pub(super) struct Replica {
    /// Where it is: `10.0.0.1:6443`.
    endpoint: String,
    said: Result<Said, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    issuer: Option<String>,
    kids: BTreeSet<String>,
}

impl Replica {
    /// All that were asked.
    pub(super) fn all(survey: &Survey, listing: Option<&Listing>) -> Vec<Self> {
        let kids = |endpoint: &str| -> BTreeSet<String> {
            let said = listing.into_iter().flat_map(|listing| &listing.endpoints);
            let keys = said
                .filter(|said| *said.endpoint == *endpoint)
                .flat_map(|said| said.keys.iter().flatten());
            keys.map(|key| key.kid().to_owned()).collect()
        };
        let asked = survey.endpoints.iter().map(|asked| Self {
            endpoint: asked.endpoint.to_string(),
            said: match &asked.failure {
                Some(error) => Err(error.to_string()),
                None => Ok(Said {
                    issuer: asked.issuer.clone(),
                    kids: kids(&asked.endpoint),
                }),
            },
        });
        asked.collect()
    }

    /// For scripts.
    pub(super) fn to_json(&self) -> Value {
        match &self.said {
            Ok(said) => json!({ "endpoint": self.endpoint, "issuer": said.issuer, "kids": said.kids }),
            Err(error) => json!({ "endpoint": self.endpoint, "failed": error }),
        }
    }
}

/// All replicas for a person: one line where they agree.
pub(super) struct Table<'a>(pub(super) &'a [Replica]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(replicas @ [first, ..]) = self else {
            return Ok(());
        };
        if first.said.is_ok() && replicas.iter().all(|replica| replica.said == first.said) {
            let endpoints: Vec<_> = replicas.iter().map(|replica| replica.endpoint.as_str()).collect();
            return writeln!(
                f,
                "\nAll replicas say the same ({}): {}.",
                replicas.len(),
                endpoints.join(", ")
            );
        }
        writeln!(f, "\nThe replicas differ:")?;
        for Replica { endpoint, said } in *replicas {
            match said {
                Err(error) => write_line(f, format_args!("  {endpoint}: not read: {error}"))?,
                Ok(Said { issuer, kids }) => {
                    let issuer = issuer.as_deref().unwrap_or("none");
                    let kids: Vec<_> = kids.iter().map(String::as_str).collect();
                    write_line(
                        f,
                        format_args!("  {endpoint}: issuer {issuer}, keys {}", kids.join(", ")),
                    )?;
                }
            }
        }
        Ok(())
    }
}
