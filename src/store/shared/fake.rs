//! A store in memory for tests: it fails, hangs, loses answers, and lets other replicas win.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::{Content, Proof, Read, SaveError, StoreError, Stored, Version};

/// Clones are the same store, as replicas see it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(in crate::store) struct State {
    pub(in crate::store) document: Option<Bytes>,
    pub(in crate::store) previous: Option<Bytes>,
    pub(in crate::store) number: u64,
    pub(in crate::store) mood: Mood,
    /// Written by another replica just before the next write arrives.
    pub(in crate::store) rival: Option<Bytes>,
    pub(in crate::store) aside: Vec<Bytes>,
    /// What reads give in its place, with its version: of something in front of the store.
    pub(in crate::store) instead: Option<Bytes>,
    /// Whether the store says of its contents that they are whole.
    pub(in crate::store) has_no_proof: bool,
    pub(in crate::store) lost: u32,
    pub(in crate::store) reads: u32,
    pub(in crate::store) writes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Mood {
    #[default]
    Works,
    Fails,
    Hangs,
    /// Writes, and the answer is lost on the way.
    WritesAndFails,
    /// Says that nothing has changed, whatever was asked.
    SaysUnchanged,
    /// Refuses every write as too late.
    LosesRaces,
}

impl Fake {
    pub(in crate::store) fn now(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(in crate::store) fn holding(document: impl Into<Bytes>) -> Self {
        let fake = Self::default();
        fake.now().put(document.into());
        fake
    }

    pub(in crate::store) fn is(&self, mood: Mood) {
        self.now().mood = mood;
    }

    async fn answers(&self) -> Result<(), StoreError> {
        let mood = self.now().mood;
        match mood {
            Mood::Works | Mood::WritesAndFails | Mood::SaysUnchanged | Mood::LosesRaces => Ok(()),
            Mood::Fails => Err(StoreError::new("the store fails")),
            Mood::Hangs => std::future::pending().await,
        }
    }

    pub(super) async fn load(&self, known: Option<&Version>) -> Result<Read, StoreError> {
        self.now().reads += 1;
        self.answers().await?;
        let state = self.now();
        let version = match state.document {
            None => Version::Absent,
            Some(_) => Version::Number(state.number),
        };
        if known == Some(&version) || state.mood == Mood::SaysUnchanged {
            return Ok(Read::Unchanged);
        }
        if let Some(instead) = state.instead.clone() {
            return Ok(Read::Stored(Stored {
                content: Some(state.content(instead)),
                version,
            }));
        }
        Ok(Read::Stored(Stored {
            content: state.document.clone().map(|bytes| state.content(bytes)),
            version,
        }))
    }

    pub(super) async fn save(
        &self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        self.answers().await.map_err(SaveError::Failed)?;
        let mut state = self.now();
        if let Some(rival) = state.rival.take() {
            state.put(rival);
        }
        let is_expected = match expected {
            Version::Absent => state.document.is_none(),
            Version::Number(number) => state.document.is_some() && state.number == *number,
            _ => false,
        };
        if !is_expected || state.mood == Mood::LosesRaces {
            state.lost += 1;
            return Err(SaveError::Lost);
        }
        state.writes += 1;
        state.put(document);
        state.previous = previous;
        if state.mood == Mood::WritesAndFails {
            return Err(SaveError::Failed(StoreError::new("the answer is lost")));
        }
        Ok(Version::Number(state.number))
    }

    pub(super) async fn previous(&self) -> Result<Option<Content>, StoreError> {
        self.answers().await?;
        let state = self.now();
        Ok(state.previous.clone().map(|bytes| state.content(bytes)))
    }

    pub(super) async fn set_aside(&self, stored: &Stored) -> Result<String, StoreError> {
        self.answers().await?;
        if let Some(content) = &stored.content {
            self.now().aside.push(content.bytes.clone());
        }
        Ok("beside it".into())
    }
}

impl State {
    pub(in crate::store) fn put(&mut self, document: Bytes) {
        self.number += 1;
        self.document = Some(document);
    }

    fn content(&self, bytes: Bytes) -> Content {
        let is_cut = self.has_no_proof || self.instead.is_some();
        let proof = if is_cut { Proof::None } else { Proof::Whole };
        Content { bytes, proof }
    }
}
