//! One source's task: reads it again and again, and tells the issuer's task what was heard.

use std::time::Duration;

use tokio::sync::mpsc;

use super::pace::{Pace, jittered};
use crate::ring::Listing;
use crate::source::{Accepted, FolderWatch, ReadError, Source, SourceSettings, Survey};

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
    /// What it saw of each endpoint, where there are several.
    pub(super) survey: Option<Survey>,
}

/// What a source is read for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Its place among those of its issuer.
    pub(super) index: usize,
    pub(super) settings: SourceSettings,
    /// The issuers that it may name.
    pub(super) accepted: Accepted,
    pub(super) refresh: Duration,
    /// Sees changes of its files.
    pub(super) folders: FolderWatch,
}

/// Reads until nobody listens any more. The first read is at once.
pub(super) async fn read_on(order: Order, readings: mpsc::Sender<Box<Reading>>) {
    let mut source = Source::new(&order.settings)
        .accepting(order.accepted.clone())
        .watched_by(&order.folders);
    let refresh = match order.settings {
        SourceSettings::Files(_) => order.refresh.min(MAX_FILES_REFRESH),
        _ => order.refresh,
    };
    let mut pace = Pace::new(refresh);
    loop {
        // On the heap for as long as it lasts: in between, an issuer of many is to take little memory.
        let outcome = Box::pin(source.read()).await;
        let wait = match &outcome {
            Ok(listing) => pace.after_success(listing.max_age.and_then(|age| age.try_into().ok())),
            Err(_) => pace.after_failure(),
        };
        if readings
            .send(Box::new(Reading {
                source: order.index,
                outcome,
                survey: source.survey().cloned(),
            }))
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
