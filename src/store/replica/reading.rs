//! What a read of the shared store means. A ledger that looks torn is read a second time before it is set aside, and what is
//! no ledger at all says nothing about the one that is stored.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::super::opening::{Judged, Said, judge_stored};
use super::super::shared::{Content, Read, Shared, StoreError, Stored};
use super::super::tracker::Seen;
use super::{AT_WORK, Link, Replica, late};
use crate::ring::Ledger;

/// Between the two reads of what looks torn: what cut the first one may be gone by then.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Why a read gave no ledger.
enum Failure {
    /// Another issuer's, or of a newer format.
    Refused(String),
    /// It cannot be had now: what is known stays.
    Unknown(String),
}

impl Replica {
    /// Reads the shared store. `None`: it is what was known.
    pub(super) async fn read(&self, link: &mut Link, within: Duration) -> Result<Option<Said>, String> {
        let place = link.shared.place();
        let read = timeout(within, link.shared.load(link.tracker.known())).await;
        let stored = match read.map_err(|_| late(&place, within)).flatten() {
            Err(error) => return Err(error.to_string()),
            Ok(Read::Unchanged) if link.tracker.known().is_none() => {
                return Err(format!(
                    "{place}: it says that nothing has changed, which was not asked. Check what is in front of the store"
                ));
            }
            Ok(Read::Unchanged) => {
                link.tracker.unchanged(Instant::now());
                self.reached(false);
                return Ok(None);
            }
            Ok(Read::Stored(stored)) => stored,
        };
        self.status().reads += 1;
        let (said, seen) = match self.judged(link, stored).await {
            Ok(judged) => judged,
            Err(Failure::Refused(reason)) => return Ok(Some(Said::Refused(reason))),
            Err(Failure::Unknown(reason)) => return Err(reason),
        };
        link.rescued = match &said {
            Said::Ledger(older) if seen.document.is_none() => Some(older.clone()),
            _ => None,
        };
        link.tracker.is_stored(seen, Instant::now());
        self.reached(false);
        Ok(Some(said))
    }

    /// What is stored, and what is known by it.
    async fn judged(&self, link: &mut Link, stored: Stored) -> Result<(Said, Seen), Failure> {
        let (issuer, place) = (&self.0.issuer, link.shared.place());
        let Some(content) = &stored.content else {
            return Ok((Said::Nothing, seen(&stored, Ledger::default())));
        };
        let reason = match judge_stored(content, issuer) {
            Judged::Ledger(ledger) => {
                link.torn = None;
                return Ok((Said::Ledger(ledger.clone()), seen(&stored, ledger)));
            }
            Judged::Refused(reason) => return Err(refused(&place, &reason)),
            Judged::Foreign(reason) => return Err(foreign(&place, &reason)),
            Judged::Torn(reason) => reason,
        };
        sleep(SECOND_LOOK).await;
        let again = timeout(AT_WORK, link.shared.load(None)).await;
        let again = again.map_err(|_| late(&place, AT_WORK)).flatten();
        match again.map_err(|error| Failure::Unknown(error.to_string()))? {
            Read::Stored(again) if again.content == stored.content => {
                self.set_aside(link, again, &reason).await
            }
            Read::Stored(Stored {
                content: Some(content),
                version,
            }) if let Judged::Ledger(ledger) = judge_stored(&content, issuer) => {
                let stored = Stored {
                    content: Some(content),
                    version,
                };
                Ok((Said::Ledger(ledger.clone()), seen(&stored, ledger)))
            }
            _ => Err(Failure::Unknown(format!(
                "{place}: {reason}, and another answer came when it was read a second time. Check what is in front of the store"
            ))),
        }
    }

    /// A torn ledger makes place: for its previous generation, or for what the sources list.
    async fn set_aside(
        &self,
        link: &mut Link,
        stored: Stored,
        reason: &str,
    ) -> Result<(Said, Seen), Failure> {
        let (issuer, place) = (&self.0.issuer, link.shared.place());
        let rescued = timeout(AT_WORK, rescue(&mut link.shared, &stored, issuer)).await;
        let (older, aside) = rescued
            .map_err(|_| Failure::Unknown(late(&place, AT_WORK).to_string()))
            .flatten()
            .map_err(|failure| match failure {
                Failure::Unknown(error) => Failure::Unknown(format!(
                    "the ledger in {place} cannot be used ({reason}), and stays: {error}"
                )),
                refused @ Failure::Refused(_) => refused,
            })?;
        let digest = stored
            .content
            .as_ref()
            .map(|content| Sha256::digest(&content.bytes).into());
        let is_new = link.torn != digest;
        link.torn = digest;
        if is_new {
            tracing::error!(
                issuer,
                "the ledger in {place} cannot be used ({reason}), and was set aside as {aside}"
            );
        }
        // Nothing of it is known to be stored: whatever there is of it goes back.
        let seen = Seen {
            ledger: Ledger::default(),
            document: None,
            version: stored.version,
        };
        let Some(older) = older else {
            if is_new {
                self.is_lost();
            }
            return Ok((Said::Lost, seen));
        };
        if is_new {
            self.is_older();
        }
        Ok((Said::Ledger(older), seen))
    }
}

/// The previous generation, where there is one, and where what is torn was kept.
async fn rescue(
    shared: &mut Shared,
    stored: &Stored,
    issuer: &str,
) -> Result<(Option<Ledger>, String), Failure> {
    let unknown = |error: StoreError| Failure::Unknown(error.to_string());
    let place = shared.place();
    let previous = shared.previous().await.map_err(unknown)?;
    let older = match previous.map(|previous| judge_stored(&previous, issuer)) {
        Some(Judged::Refused(reason)) => return Err(refused(&place, &reason)),
        Some(Judged::Foreign(reason)) => return Err(foreign(&format!("before {place}"), &reason)),
        Some(Judged::Ledger(ledger)) => Some(ledger),
        Some(Judged::Torn(_)) | None => None,
    };
    let aside = shared.set_aside(stored).await.map_err(unknown)?;
    Ok((older, aside))
}

fn seen(stored: &Stored, ledger: Ledger) -> Seen {
    Seen {
        ledger,
        document: stored.content.as_ref().map(|Content { bytes, .. }| bytes.clone()),
        version: stored.version.clone(),
    }
}

fn refused(place: &str, reason: &str) -> Failure {
    Failure::Refused(format!("{place}: {reason}; it is left as it is"))
}

fn foreign(place: &str, reason: &str) -> Failure {
    Failure::Unknown(format!(
        "{place}: what was answered is no ledger, and no damaged one ({reason}); nothing is written over it. Check what is in \
         front of the store (a proxy, a login page); if the store itself holds that, remove it"
    ))
}
