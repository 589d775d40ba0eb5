//! The thread that has the file open: answers, writes, copies and repairs.

mod copying;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::file::{File, Stored, Trouble};
use super::import::Import;
use super::queue::{Batch, Queue, Turn};
use super::repair::{Damage, Documents, exchange, finish};
use super::{Held, LoadFailure, Loaded, beside, folder_of, lock_name};
use crate::display;
use crate::ring::Ledger;
use crate::store::{Fault, FolderLock, LocalSettings, LockError, opening};

/// A file that could not be opened is not tried again before.
const AGAIN: Duration = Duration::from_millis(400);

/// After a write, the log of SQLite is written back when it was quiet for so long.
const TIDY: Duration = Duration::from_secs(30);

/// What outlives a panic of the writer.
struct Place {
    settings: LocalSettings,
    lock: RefCell<FolderLock>,
    held: Box<Held>,
    queue: Arc<Queue>,
    /// Whether the file was open already: then the process holds what is in it.
    was_open: Cell<bool>,
}

/// The one who has the file.
pub(super) struct Writer {
    place: Rc<Place>,
    /// `None`: not opened yet, or it cannot be made now.
    file: Option<Rc<File>>,
    is_open: bool,
    failed: Option<(Instant, LoadFailure)>,
    /// What is not in the file yet: of folders, or of a file that was damaged.
    unwritten: Documents,
    import: Import,
    damage: Option<Damage>,
    /// Whether all rows were read, so that one that is not found is not there.
    is_checked: bool,
    tidy_at: Option<Instant>,
    copying: copying::Copying,
}

impl Writer {
    pub(super) fn start(
        settings: LocalSettings,
        lock: FolderLock,
        held: Box<Held>,
        queue: Arc<Queue>,
    ) -> Result<JoinHandle<()>, LockError> {
        let folder = folder_of(&settings.file).to_owned();
        let run = move || {
            let place = Rc::new(Place {
                settings,
                lock: RefCell::new(lock),
                held,
                queue,
                was_open: Cell::new(false),
            });
            // The message of a panic is in the log already.
            while catch_unwind(AssertUnwindSafe(|| Self::new(&place).run())).is_err() {
                tracing::error!("the thread that keeps the ledgers ended by a panic, and starts again");
                thread::sleep(AGAIN);
            }
        };
        let started = thread::Builder::new().name("ledgers".into()).spawn(run);
        started.map_err(|error| LockError::Unusable {
            folder,
            verb: "served by a thread",
            error,
        })
    }

    fn new(place: &Rc<Place>) -> Self {
        Self {
            place: Rc::clone(place),
            file: None,
            is_open: false,
            failed: None,
            unwritten: Documents::default(),
            import: Import::default(),
            damage: None,
            is_checked: false,
            tidy_at: None,
            copying: copying::Copying::default(),
        }
    }

    fn run(mut self) {
        // Tried again by whoever asks.
        let _ = self.open();
        loop {
            let until = [self.tidy_at, self.copying.due()].into_iter().flatten().min();
            if !self.turn(until) {
                return;
            }
            if self.tidy_at.is_some_and(|at| at <= Instant::now()) {
                self.tidy_at = None;
                if let Some(Err(error)) = self.file.as_ref().map(|file| file.tidy()) {
                    tracing::debug!("the log of the database stays: {error}");
                }
            }
            self.copy_if_due();
        }
    }

    /// Does what waits, at the latest until then. Whether anybody is left who could ask.
    fn turn(&mut self, until: Option<Instant>) -> bool {
        match self.place.clone().queue.next(until) {
            Turn::Answer(questions) => questions.into_iter().for_each(|question| question(self)),
            Turn::Write(batch) => self.write(&batch),
            Turn::Nothing => {}
            Turn::End => return false,
        }
        true
    }

    /// The ledger of an issuer.
    pub(super) fn load(&mut self, issuer: &str) -> Result<Loaded, LoadFailure> {
        self.open()?;
        let (mut imported, unwritten) = (Vec::new(), &mut self.unwritten);
        let unusable = self
            .import
            .of(issuer, |issuer, ledger| imported.push((issuer, ledger)));
        for (issuer, ledger) in imported {
            unwritten.merge(&issuer, &ledger);
        }
        let mut unusable = unusable?;
        let ledger = match self.find(issuer) {
            // It was repaired meanwhile: what is found now is whole.
            Err(LoadFailure::Another(_)) if self.is_open && self.failed.is_none() => self.find(issuer)?,
            found => found?,
        };
        if let Some(damage) = &mut self.damage {
            unusable.extend(damage.of(&self.place.settings.file, issuer, ledger.is_some()));
        }
        Ok(Loaded { ledger, unusable })
    }

    fn find(&mut self, issuer: &str) -> Result<Option<Ledger>, LoadFailure> {
        let newest = self.place.queue.newest(issuer);
        let document = match newest.or_else(|| self.unwritten.0.get(issuer).cloned()) {
            Some(document) => Some(document),
            None => self.row(issuer)?.map(Arc::from),
        };
        let Some(document) = document else { return Ok(None) };
        let file = display::path(&self.place.settings.file);
        match opening::judge(&document, issuer) {
            Ok(ledger) => Ok(Some(ledger)),
            Err(Fault::Refused(reason)) => Err(LoadFailure::Refused(format!(
                "{file}: {reason}; it is left as it is"
            ))),
            Err(Fault::Torn(reason)) => Err(self.repair(format!("the row of {issuer}: {reason}"))),
        }
    }

    fn row(&mut self, issuer: &str) -> Result<Option<Vec<u8>>, LoadFailure> {
        let Some(file) = &self.file else { return Ok(None) };
        let read = file.read(issuer).and_then(|found| {
            if found.is_none() && !self.is_checked {
                file.check()?;
                self.is_checked = true;
            }
            Ok(found)
        });
        read.map_err(|trouble| self.failure(trouble))
    }

    /// The ledgers after an issuer, or from the first one on.
    pub(super) fn load_after(&mut self, issuer: Option<&str>) -> Result<Vec<Stored>, LoadFailure> {
        self.open()?;
        let first = issuer.unwrap_or_default();
        let rows = match self.file.as_ref().map(|file| file.read_after(first)) {
            Some(Err(trouble)) => {
                let failure = self.failure(trouble);
                match self.file.as_ref().map(|file| file.read_after(first)) {
                    Some(Ok(rows)) => rows,
                    _ => return Err(failure),
                }
            }
            Some(Ok(rows)) => rows,
            None => Vec::new(),
        };
        // What is not in the file yet comes before what is; after the last row, all that is left.
        let last = rows.last().map(|(issuer, _)| issuer.clone());
        let mut found: BTreeMap<_, _> = rows.into_iter().collect();
        let after = (
            std::ops::Bound::Excluded(first.to_owned()),
            std::ops::Bound::Unbounded,
        );
        let unwritten = self.unwritten.0.range::<String, _>(after);
        let unwritten = unwritten.take_while(|(issuer, _)| last.as_ref().is_none_or(|last| *issuer <= last));
        found.extend(unwritten.map(|(issuer, document)| (issuer.clone(), document.to_vec())));
        Ok(found.into_iter().collect())
    }

    fn write(&mut self, batch: &Batch) {
        let failed = self.try_to_write(batch).unwrap_or_else(|reason| {
            let failed = batch.iter().map(|(issuer, ..)| (issuer.clone(), reason.clone()));
            failed.collect()
        });
        self.place.queue.wrote(batch, &failed);
    }

    fn try_to_write(&mut self, batch: &Batch) -> Result<BTreeMap<String, String>, String> {
        if let Some(file) = &self.file
            && !file.is_in_place()
        {
            self.repair("it was removed or replaced while the service ran".to_owned());
        }
        self.open().map_err(|failure| failure.to_string())?;
        self.bring_to_disk().map_err(|trouble| trouble.to_string())?;
        let write = |file: &Option<Rc<File>>| match file {
            Some(file) => file.write(batch),
            None => Err(Trouble::Unusable("it cannot be made".to_owned())),
        };
        let failed = match write(&self.file) {
            Err(trouble @ Trouble::Damaged(_)) => {
                self.failure(trouble);
                write(&self.file)
            }
            failed => failed,
        };
        self.tidy_at = Some(Instant::now() + TIDY);
        failed.map_err(|trouble| trouble.to_string())
    }

    /// What follows from trouble; the file is repaired, if that is what it needs.
    fn failure(&mut self, trouble: Trouble) -> LoadFailure {
        let file = display::path(&self.place.settings.file);
        match trouble {
            Trouble::Damaged(reason) => self.repair(reason),
            Trouble::Refused(reason) => LoadFailure::Refused(format!(
                "the database of the ledgers, {file}: {reason}; it is left as it is"
            )),
            Trouble::Unusable(reason) => LoadFailure::Another(format!(
                "the database of the ledgers, {file}, cannot be read: {reason}"
            )),
        }
    }

    /// Makes the file again, of all that is known. What was asked can be asked again then.
    fn repair(&mut self, reason: String) -> LoadFailure {
        let told = format!(
            "the database of the ledgers, {}, is repaired ({reason})",
            display::path(&self.place.settings.file)
        );
        if self.copying.is_stopped_for(&reason) {
            return LoadFailure::Another(told);
        }
        (self.file, self.is_open, self.failed) = (None, false, None);
        match self.open_or(Some(reason)) {
            Ok(()) => LoadFailure::Another(told),
            Err(failure) => failure,
        }
    }

    /// Opens the file, once. Where there is none yet, or none can be made now, what is known answers in its place.
    fn open(&mut self) -> Result<(), LoadFailure> {
        if self.is_open {
            return Ok(());
        }
        match &self.failed {
            Some((at, failure)) if at.elapsed() < AGAIN => Err(failure.clone()),
            _ => self.open_or(None),
        }
    }

    fn open_or(&mut self, damage: Option<String>) -> Result<(), LoadFailure> {
        let opened = self.try_to_open(damage);
        self.failed = opened
            .as_ref()
            .err()
            .map(|failure| (Instant::now(), failure.clone()));
        self.is_open = opened.is_ok();
        if self.is_open {
            self.place.was_open.set(true);
            self.copying.starts();
        }
        opened
    }

    fn try_to_open(&mut self, damage: Option<String>) -> Result<(), LoadFailure> {
        let place = Rc::clone(&self.place);
        let LocalSettings { file: path, folders } = &place.settings;
        let (new, copy) = (beside(path, ".new"), beside(path, ".copy"));
        if !place.lock.borrow().is_held() {
            let again = FolderLock::take(folder_of(path), lock_name(path));
            let again =
                again.map_err(|error| LoadFailure::Another(format!("the folder of the ledgers {error}")));
            *place.lock.borrow_mut() = again?;
        }
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
        if !is_there(path) && is_there(&new) {
            // It was about to get the name, or was never finished.
            let is_whole = File::open(&new).is_ok_and(|file| file.check().is_ok());
            if is_whole {
                finish(&new, path).map_err(|error| self.failure(Trouble::Unusable(error.to_string())))?;
            }
        }
        let opened = match damage {
            Some(reason) => Err(Trouble::Damaged(reason)),
            None if is_there(path) => File::open(path).map(Some),
            None if is_there(&copy) => Err(Trouble::Damaged("it is not there, and its copy is".to_owned())),
            None => Ok(None),
        };
        match opened {
            Ok(file) => self.file = file.map(Rc::new),
            Err(Trouble::Damaged(reason)) => {
                self.damage = Some(Damage::rescue(path, &copy, reason, &mut self.unwritten));
            }
            Err(trouble) => return Err(self.failure(trouble)),
        }
        let mut more: Vec<(String, Ledger)> = Vec::new();
        if place.was_open.get() {
            (place.held)(&mut |issuer, ledger| self.unwritten.merge(issuer, ledger));
        }
        self.import
            .read(folders, |issuer, ledger| more.push((issuer, ledger)))?;
        for (issuer, ledger) in more {
            self.add(&issuer, &ledger);
        }
        self.is_checked = self.file.is_none();
        if let Err(trouble) = self.bring_to_disk() {
            tracing::error!(
                "the database of the ledgers, {}, cannot be written now, which is tried again: {trouble}",
                display::path(path)
            );
        }
        Ok(())
    }

    /// A ledger of a folder is merged with what is in the file.
    fn add(&mut self, issuer: &str, ledger: &Ledger) {
        let stored = self
            .file
            .as_ref()
            .and_then(|file| file.read(issuer).ok().flatten());
        match stored.map(|stored| Ledger::decode(&stored, issuer)) {
            // It is there already, or is of a later release.
            Some(Ok(stored)) if !ledger.adds_to(&stored) => {}
            Some(Err(error)) if !error.is_damage() => {}
            Some(Ok(stored)) => self.unwritten.merge(issuer, &stored.merge(ledger)),
            Some(Err(_)) | None => self.unwritten.merge(issuer, ledger),
        }
    }

    /// Runs statements in the file.
    #[cfg(test)]
    pub(super) fn execute(&self, statements: &str) {
        self.file.as_ref().unwrap().execute(statements);
    }

    /// Writes what is not in the file yet: into a new file, where there is none.
    fn bring_to_disk(&mut self) -> Result<(), Trouble> {
        let path = &self.place.settings.file;
        if let Some(file) = &self.file {
            if !self.unwritten.0.is_empty() {
                let documents = self.unwritten.0.iter();
                let batch = documents.map(|(issuer, document)| (issuer.clone(), 0, Arc::clone(document)));
                let failed = file.write(&batch.collect())?;
                if let Some((issuer, reason)) = failed.first_key_value() {
                    return Err(Trouble::Unusable(format!("the row of {issuer}: {reason}")));
                }
                file.tidy()?;
            }
        } else {
            let new = beside(path, ".new");
            let documents = self.unwritten.0.iter();
            File::make(
                &new,
                path,
                documents.map(|(issuer, document)| (issuer.as_str(), &**document)),
            )?;
            let aside = exchange(&new, path).map_err(|error| Trouble::Unusable(error.to_string()))?;
            self.file = Some(Rc::new(File::open(path)?));
            if let Some(damage) = &mut self.damage {
                damage.aside = aside;
                damage.tell(path);
            }
        }
        self.unwritten.0.clear();
        self.import.is_stored(path);
        Ok(())
    }
}
