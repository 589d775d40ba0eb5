//! Copies of the file, for when it is damaged. Each is checked as a whole before it takes the place of the one before, which
//! is how the file itself is checked beside its use: a copy has its damage too.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Writer;
use crate::display;
use crate::store::database::file::{self, Trouble};
use crate::store::database::{beside, folder_of};

/// The first one after the start, when there is less to do.
const FIRST: Duration = Duration::from_mins(1);

/// Between two.
const DAILY: Duration = Duration::from_hours(24);

/// At least between two, and after one that failed.
const SOON: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Copying {
    due: Option<Instant>,
    last: Option<Instant>,
    is_running: bool,
    /// A copy is being checked.
    is_checking: bool,
    /// Why the file is to be repaired when it is not copied any more.
    suspicion: Option<String>,
}

impl Copying {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_checking)
    }

    pub(super) fn starts(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + FIRST);
    }

    /// Whether the file is being copied, and so cannot be repaired at once.
    pub(super) fn is_stopped_for(&mut self, reason: &str) -> bool {
        if self.is_running {
            self.suspicion = Some(reason.to_owned());
        }
        self.is_running
    }
}

impl Writer {
    /// Something was decided that nobody could make up for.
    pub(in crate::store::database) fn copy_soon(&mut self) {
        let now = Instant::now();
        let soon = self.copying.last.map_or(now, |last| (last + SOON).max(now));
        self.copying.due = Some(self.copying.due.map_or(soon, |due| due.min(soon)));
    }

    /// Makes a copy now, if none is being checked.
    #[cfg(test)]
    pub(in crate::store::database) fn copy_now(&mut self) {
        self.copying.due = Some(Instant::now());
    }

    /// In between, questions are answered and changes written.
    pub(super) fn copy_if_due(&mut self) {
        let now = Instant::now();
        if self.copying.due().is_none_or(|due| due > now) {
            return;
        }
        (self.copying.due, self.copying.last) = (Some(now + DAILY), Some(now));
        let Some(file) = self.file.clone() else {
            return self.copying.due = Some(now + SOON);
        };
        let path = &self.place.settings.file;
        let (new, copy) = (beside(path, ".copy.new"), beside(path, ".copy"));
        self.copying.is_running = true;
        let copied = file.copy(&new, || self.turn(Some(now)) && self.copying.suspicion.is_none());
        self.copying.is_running = false;
        drop(file);
        if let Some(reason) = self.copying.suspicion.take() {
            self.repair(reason);
        }
        match copied {
            // The end is near, or another file is there now.
            Ok(false) => return self.copying.due = Some(now),
            Ok(true) => {}
            Err(trouble) => return self.checked(Err(trouble)),
        }
        self.copying.is_checking = true;
        let queue = Arc::clone(&self.place.queue);
        let check = move || {
            // Synced here: the writer does not wait for the disk.
            let checked = file::check_copy(&new).and_then(|()| {
                let moved = OpenOptions::new().write(true).open(&new);
                let moved = moved.and_then(|file| file.sync_all());
                let moved = moved.and_then(|()| std::fs::rename(&new, &copy));
                let moved = moved.and_then(|()| crate::fs::sync_folder(folder_of(&copy)));
                moved.map_err(|error| Trouble::Unusable(error.to_string()))
            });
            if checked.is_err() {
                // It is of no use, and takes room.
                let _ = file::remove(&new);
            }
            queue.ask(Box::new(move |writer| writer.checked(checked)));
        };
        if let Err(error) = thread::Builder::new().name("ledgers-check".into()).spawn(check) {
            self.checked(Err(Trouble::Unusable(error.to_string())));
        }
    }

    fn checked(&mut self, checked: Result<(), Trouble>) {
        self.copying.is_checking = false;
        let Err(trouble) = checked else { return };
        self.copying.due = Some(Instant::now() + SOON);
        // Either may be what is damaged.
        let is_damaged = matches!(trouble, Trouble::Damaged(_));
        let itself = self
            .file
            .as_ref()
            .filter(|_| is_damaged)
            .map(|file| file.check_all());
        if let Some(Err(Trouble::Damaged(reason))) = itself {
            self.repair(reason);
            return;
        }
        tracing::warn!(
            "no copy of the database of the ledgers, {}, could be made, which is tried again: {trouble}",
            display::path(&self.place.settings.file)
        );
    }
}
