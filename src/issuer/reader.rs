//! One source's task: reads it again and again, and tells the issuer's task what was heard.

use std::time::Duration;

use tokio::sync::mpsc;

use super::pace::{Pace, jittered};
use crate::ring::Listing;
use crate::source::{ReadError, Source, SourceSettings};

/// Between two reads of files that change without a pause.
const MIN_GAP: Duration = Duration::from_millis(100);

/// Where there are no events of changed files, they are noticed after this at the latest.
const MAX_FILES_REFRESH: Duration = Duration::from_secs(30);

/// What one read came to.
#[derive(Debug)]
pub(super) struct Reading {
    /// The place of the source among those of its issuer.
    pub(super) source: usize,
    pub(super) outcome: Result<Listing, ReadError>,
}

/// What a source is read for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Its place among those of its issuer.
    pub(super) index: usize,
    pub(super) settings: SourceSettings,
    /// The issuer that is published.
    pub(super) issuer: String,
    /// Other issuers that the source may name.
    pub(super) claims: Vec<String>,
    pub(super) refresh: Duration,
}

/// Reads until nobody listens any more. The first read is at once.
pub(super) async fn read_on(order: Order, readings: mpsc::Sender<Reading>) {
    let mut source = Source::new(&order.settings);
    let refresh = match order.settings {
        SourceSettings::Files(_) => order.refresh.min(MAX_FILES_REFRESH),
        _ => order.refresh,
    };
    let mut pace = Pace::new(refresh);
    loop {
        let outcome = source.read().await.and_then(|listing| order.accept(listing));
        let wait = match &outcome {
            Ok(listing) => pace.after_success(listing.max_age.and_then(|age| age.try_into().ok())),
            Err(_) => pace.after_failure(),
        };
        if readings
            .send(Reading {
                source: order.index,
                outcome,
            })
            .await
            .is_err()
        {
            return;
        }
        let wait = jittered(wait);
        tokio::time::sleep(MIN_GAP.min(wait)).await;
        tokio::select! {
            () = tokio::time::sleep(wait.saturating_sub(MIN_GAP)) => {}
            () = source.changed() => {}
        }
    }
}

impl Order {
    /// A cluster that names another issuer than ours is never published under our name, unless the configuration says
    /// that it may: pods of the one could act as those of the other.
    fn accept(&self, listing: Listing) -> Result<Listing, ReadError> {
        match &listing.issuer {
            Some(named) if *named != self.issuer && !self.claims.contains(named) => {
                Err(ReadError::other_issuer(&self.settings, named, &self.issuer))
            }
            _ => Ok(listing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ApiServerSettings;

    fn order(claims: &[&str]) -> Order {
        Order {
            index: 0,
            settings: SourceSettings::ApiServer(ApiServerSettings::default()),
            issuer: "https://oidc.example.com/prod".into(),
            claims: claims.iter().map(ToString::to_string).collect(),
            refresh: Duration::from_secs(10),
        }
    }

    fn named(issuer: Option<&str>) -> Listing {
        Listing {
            issuer: issuer.map(Into::into),
            complete: true,
            ..Listing::default()
        }
    }

    #[test]
    fn a_source_that_names_another_issuer_is_silent() {
        let order = order(&["https://kubernetes.default.svc"]);
        for accepted in [
            None,
            Some("https://oidc.example.com/prod"),
            Some("https://kubernetes.default.svc"),
        ] {
            assert!(order.accept(named(accepted)).is_ok(), "{accepted:?}");
        }
        for refused in [
            "https://oidc.example.com/prod/",
            "https://oidc.example.com/PROD",
            "https://other",
            "",
        ] {
            let error = order.accept(named(Some(refused))).unwrap_err();
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
