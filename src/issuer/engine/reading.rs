//! How the sources are read: when each is due, in a place, and again at once where a file changed.

use std::sync::{Arc, Weak};

use tokio::time::{Duration, Instant};

use super::{Inner, catch};
use crate::issuer::IssuerSource;
use crate::issuer::due::{Due, IssuerId, What};
use crate::issuer::entry::{Companion, Entry, Reader};
use crate::issuer::pace::{Pace, jittered};
use crate::issuer::places::{Kind, Last};
use crate::issuer::reader::{self, Reading};
use crate::issuer::state::{Event, Parts};
use crate::source::{Accepted, Source, SourceSettings};

/// Between two reads of files that change without a pause.
const MIN_GAP: Duration = Duration::from_millis(100);

/// Where there are no events of changed files, they are noticed after this at the latest.
const MAX_FILES_REFRESH: Duration = Duration::from_secs(30);

impl Inner {
    /// When the source of this entry is read next.
    pub(super) fn appoint_read(&self, entry: &Entry, source: u32, wait: Duration) {
        let mut readers = entry.readers();
        let Some(reader) = usize::try_from(source).ok().and_then(|at| readers.get_mut(at)) else {
            return;
        };
        reader.appointment = reader.appointment.wrapping_add(1);
        let number = reader.appointment;
        drop(readers);
        self.due.add(Due {
            at: Instant::now() + wait,
            issuer: entry.id,
            what: What::Read(source),
            number,
        });
    }

    /// Begins a read, unless another appointment counts by now.
    pub(super) fn read(inner: &Arc<Self>, entry: &Arc<Entry>, source: u32, number: u32) {
        let Ok(at) = usize::try_from(source) else { return };
        let mut readers = entry.readers();
        let Some(reader) = readers.get_mut(at).filter(|reader| reader.appointment == number) else {
            return;
        };
        if entry.is_ended() {
            return;
        }
        let last = reader.last;
        let Some(taken) = reader.source.take() else {
            reader.again = true;
            return;
        };
        drop(readers);
        tokio::spawn(read(
            Arc::downgrade(inner),
            Arc::downgrade(entry),
            source,
            taken,
            last,
        ));
    }

    /// A source was read.
    fn was_read(inner: &Arc<Self>, entry: &Arc<Entry>, source: u32, read: Read) {
        let Ok(at) = usize::try_from(source) else { return };
        let Read {
            source: back,
            reading,
            waited,
        } = read;
        let wait = {
            let mut readers = entry.readers();
            let Some(reader) = readers.get_mut(at) else { return };
            reader.source = Some(back.unwrap_or_else(|| {
                let again = Box::new(made(&entry.parts, at));
                Self::watch(inner, entry, source, Some(&again));
                again
            }));
            reader.last = match &reading.outcome {
                Ok(_) => Last::Succeeded,
                Err(_) => Last::Failed,
            };
            let wait = match &reading.outcome {
                Ok(listing) => {
                    let max_age = listing.max_age.and_then(|age| age.try_into().ok());
                    reader.pace.after_success(max_age)
                }
                Err(_) => reader.pace.after_failure(),
            };
            if std::mem::take(&mut reader.again) {
                MIN_GAP.min(wait)
            } else {
                // What it waited for the others is part of its rhythm: two reads lie a refresh apart, or a round where that
                // takes longer.
                jittered(wait).saturating_sub(waited).max(MIN_GAP.min(wait))
            }
        };
        Self::push(inner, entry, Event::Reading(Box::new(reading)));
        inner.appoint_read(entry, source, wait);
    }

    /// Waits for changes of the files of a source. The one place where an issuer at rest has a task.
    pub(super) fn watch(inner: &Arc<Self>, entry: &Arc<Entry>, source: u32, made: Option<&Source>) {
        let Some(mut changes) = made.and_then(Source::changes) else {
            return;
        };
        let (weak, issuer) = (Arc::downgrade(inner), entry.id);
        let watch = tokio::spawn(async move {
            loop {
                changes.next().await;
                let Some(inner) = weak.upgrade() else { return };
                inner.poke(issuer, source);
            }
        });
        entry.accompany(Companion::Files(source), watch);
    }

    /// There is reason to read this source of this issuer: a file changed. It is read at once, or again as soon as it was
    /// read. Whoever is no longer here is not meant.
    fn poke(&self, issuer: IssuerId, source: u32) {
        let Some(entry) = self.table().by_id.get(&issuer).cloned() else {
            return;
        };
        let Ok(at) = usize::try_from(source) else { return };
        {
            let mut readers = entry.readers();
            let Some(reader) = readers.get_mut(at) else { return };
            if reader.source.is_none() {
                reader.again = true;
                return;
            }
        }
        // The changes were waited for until they paused, half as long.
        self.appoint_read(&entry, source, MIN_GAP / 2);
    }
}

/// What a read gives back.
struct Read {
    /// `None` after a panic.
    source: Option<Box<Source>>,
    reading: Reading,
    /// How long it waited for its turn.
    waited: Duration,
}

/// Reads a source once.
async fn read(inner: Weak<Inner>, entry: Weak<Entry>, number: u32, mut source: Box<Source>, last: Last) {
    let Some(places) = inner.upgrade() else { return };
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    let kind = if source.is_local() {
        Kind::Local
    } else {
        Kind::Remote(last)
    };
    let (waited, outcome) = places.places.read(kind, || catch(Box::pin(source.read()))).await;
    let round = places.shared.rounds.longest();
    places.shared.metrics.reading_round(round);
    drop(places);
    let (Some(inner), Some(entry)) = (inner.upgrade(), entry.upgrade()) else {
        return;
    };
    let read = match outcome {
        Ok(outcome) => {
            let reading = Reading {
                source: index,
                outcome,
                survey: source.survey().cloned(),
            };
            Read {
                source: Some(source),
                reading,
                waited,
            }
        }
        Err(panic) => {
            let issuer = &entry.parts.settings.profile.issuer;
            tracing::error!(
                %panic,
                "reading source {index} of issuer {issuer} panicked and starts again: please report this defect"
            );
            Read {
                source: None,
                reading: reader::panicked(index),
                waited,
            }
        }
    };
    Inner::was_read(&inner, &entry, number, read);
}

/// The sources of an issuer, ready to be read.
pub(super) fn readers(parts: &Parts) -> Vec<Reader> {
    let refresh: Duration = parts.settings.refresh.try_into().unwrap_or_default();
    let reader = |(index, source): (usize, &IssuerSource)| {
        let refresh = match source.settings {
            SourceSettings::Files(_) => refresh.min(MAX_FILES_REFRESH),
            _ => refresh,
        };
        Reader {
            source: Some(Box::new(made(parts, index))),
            pace: Pace::new(refresh),
            last: Last::None,
            again: false,
            appointment: 0,
        }
    };
    parts.settings.sources.iter().enumerate().map(reader).collect()
}

/// A source as it is configured.
fn made(parts: &Parts, index: usize) -> Source {
    let settings = &parts.settings;
    let source = &settings.sources[index];
    Source::new(&source.settings)
        .accepting(Accepted {
            issuer: settings.profile.issuer.as_str().to_owned(),
            claims: source.claims.clone(),
        })
        .watched_by(&parts.shared.folders)
}
