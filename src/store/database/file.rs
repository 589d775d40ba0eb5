//! The SQLite file: how it is opened, what a row is, what its errors mean.
//!
//! It is made under another name and moved into its place, so that what is there was whole once. Each row has a checksum
//! over issuer and document, which is compared whenever the row is read. The rows are in one tree alone, in the order of
//! issuers, so that reading all of them in order proves that each can be found.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, ffi};
use sha2::{Digest as _, Sha256};

use super::queue::Batch;
use super::{beside, folder_of, take_lock_that_is_there};
use crate::display;
use crate::store::{LockError, owner};

/// `oidc` in the header: whose file it is.
const APPLICATION: i32 = 0x6f69_6463;

/// What is in it. A higher one is another format.
const VERSION: i32 = 1;

/// As many rows of the usual size are in a page as keep three files (the database, its copy, and the next copy while it is
/// made) within 12 KiB an issuer; pages of 4 KiB have one each. The log is bounded by the page too: 2 MiB are written back
/// to the file, and one commit of 256 rows may come on top.
const WRITE: &str = "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 128; PRAGMA journal_size_limit = 2097152; PRAGMA cache_size = -1024;";

/// Before anything is read: with the lock for itself, the log needs no shared memory.
const READ: &str =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;";

const MAKE: &str =
    "CREATE TABLE ledgers (issuer TEXT PRIMARY KEY NOT NULL, body BLOB NOT NULL, sha256 BLOB NOT NULL)
    STRICT, WITHOUT ROWID;";

const ONE: &str = "SELECT issuer, body, sha256 FROM ledgers WHERE issuer = ?1";
const ALL: &str = "SELECT issuer, body, sha256 FROM ledgers ORDER BY issuer";
const ALL_FROM_THE_END: &str = "SELECT issuer, body, sha256 FROM ledgers ORDER BY issuer DESC";
const SOME: &str = "SELECT issuer, body, sha256 FROM ledgers WHERE issuer > ?1 ORDER BY issuer LIMIT 1024";
const PUT: &str = "INSERT INTO ledgers (issuer, body, sha256) VALUES (?1, ?2, ?3)
    ON CONFLICT (issuer) DO UPDATE SET body = excluded.body, sha256 = excluded.sha256";

/// Copied at once; then whoever waits has a turn.
const PAGES: i32 = 64;

/// Why the file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What is in it is not what was written.
    Damaged(String),
    /// Another program's, or a later release's: it stays.
    Refused(String),
    /// It may be usable another time.
    Unusable(String),
}

#[derive(Debug)]
pub(super) struct File {
    connection: Connection,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// An issuer and its document.
pub(super) type Stored = (String, Vec<u8>);

impl File {
    /// Opens what is there.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let unusable = |error: std::io::Error| Trouble::Unusable(error.to_string());
        let metadata = path.symlink_metadata().map_err(unusable)?;
        if !metadata.is_file() {
            let reason = "it is not a regular file: remove it, or name another one";
            return Err(Trouble::Unusable(reason.to_owned()));
        }
        // SQLite takes an empty file for a new database.
        if metadata.len() < 512 {
            return Err(Trouble::Damaged(format!("it has {} bytes", metadata.len())));
        }
        let file = Self {
            connection: connect(path)?,
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        };
        let number = |name| {
            file.connection
                .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
        };
        let (application, version) = (number("application_id")?, number("user_version")?);
        let has_table = file.connection.prepare(ONE).map(drop);
        if application != APPLICATION {
            return Err(match has_table {
                Ok(()) => Trouble::Damaged("its header was changed".to_owned()),
                Err(_) => Trouble::Refused("it is the database of another program".to_owned()),
            });
        }
        if version > VERSION {
            return Err(Trouble::Refused(format!(
                "it has format {version}, and this release knows format {VERSION}: run the release that wrote it, or a \
                 later one"
            )));
        }
        has_table?;
        file.connection.execute_batch(WRITE)?;
        Ok(file)
    }

    /// Makes one with these ledgers, under this name. The owner is that of the file of which it takes the place, or of
    /// the folder.
    pub(super) fn make<'a>(
        path: &Path,
        like: &Path,
        ledgers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), Trouble> {
        let unusable = |error: std::io::Error| Trouble::Unusable(error.to_string());
        remove(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(path);
        let made = made.map_err(unusable)?;
        owner::as_first_of(&made, [like, folder_of(path)]);
        drop(made);
        let connection = connect(path)?;
        connection.execute_batch(WRITE)?;
        let transaction = connection.unchecked_transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute_batch(MAKE)?;
        let mut put = transaction.prepare(PUT)?;
        for (issuer, body) in ledgers {
            put.execute((issuer, body, checksum(issuer, body)))?;
        }
        drop(put);
        transaction.commit()?;
        // The log is written back and removed, and all of it synced.
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// Whether it is still what is found under its name.
    pub(super) fn is_in_place(&self) -> bool {
        let there = self
            .path
            .symlink_metadata()
            .map(|there| (there.dev(), there.ino()));
        there.is_ok_and(|there| there == self.identity)
    }

    /// The document of an issuer.
    pub(super) fn read(&self, issuer: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let mut one = self.connection.prepare(ONE)?;
        let row = one.query_row([issuer], |row| Ok(stored(row))).optional()?;
        row.transpose().map(|row| row.map(|(_, body)| body))
    }

    /// The ledgers after an issuer, or from the first one on: so many at once.
    pub(super) fn read_after(&self, issuer: &str) -> Result<Vec<Stored>, Trouble> {
        let mut some = self.connection.prepare(SOME)?;
        let rows = some.query_map([issuer], |row| Ok(stored(row)))?;
        rows.map(|row| row.map_err(Trouble::from).flatten()).collect()
    }

    /// Reads all rows: whether each is whole, and can be found.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        check(&self.connection)
    }

    /// The same, and the tree that they are in.
    pub(super) fn check_all(&self) -> Result<(), Trouble> {
        check_all(&self.connection)
    }

    /// Writes a batch: all of it is on the disk when this returns, but for the rows that failed alone, which are given with
    /// the reason.
    pub(super) fn write(&self, batch: &Batch) -> Result<BTreeMap<String, String>, Trouble> {
        let mut failed = BTreeMap::new();
        let transaction = self.connection.unchecked_transaction()?;
        let mut put = transaction.prepare(PUT)?;
        for (issuer, _, body) in batch {
            if let Err(error) = put.execute((issuer, &**body, checksum(issuer, body))) {
                let trouble = Trouble::from(error);
                if transaction.is_autocommit() || matches!(trouble, Trouble::Damaged(_)) {
                    // All was undone, or is to be.
                    return Err(trouble);
                }
                failed.insert(issuer.clone(), trouble.to_string());
            }
        }
        drop(put);
        transaction.commit()?;
        Ok(failed)
    }

    #[cfg(test)]
    pub(super) fn execute(&self, statements: &str) {
        self.connection.execute_batch(statements).unwrap();
    }

    /// Writes the log back into the file.
    pub(super) fn tidy(&self) -> Result<(), Trouble> {
        Ok(self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
    }

    /// Copies the file as it is, damage included, to this path. In between `turn` is called, which may write, and says
    /// whether to go on.
    pub(super) fn copy(&self, path: &Path, mut turn: impl FnMut() -> bool) -> Result<bool, Trouble> {
        let unusable = |error: std::io::Error| Trouble::Unusable(error.to_string());
        remove(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(path);
        let made = made.map_err(unusable)?;
        owner::as_first_of(&made, [&*self.path, folder_of(path)]);
        let mut copy = Connection::open_with_flags(path, flags())?;
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -256;")?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        while backup.step(PAGES)? != StepResult::Done {
            if !turn() {
                return Ok(false);
            }
        }
        drop(backup);
        copy.close().map_err(|(_, error)| error)?;
        Ok(true)
    }
}

/// Whether a copy is whole.
pub(super) fn check_copy(path: &Path) -> Result<(), Trouble> {
    check_all(&look_at(path)?)
}

/// The ledgers in a file that may be damaged: what can be read from the first one on, and from the last one back. Their
/// checksums are for the caller: a ledger has one of its own, and says whose it is.
pub(super) fn salvage(path: &Path, is_copy: bool, mut each: impl FnMut(&[u8])) -> Result<(), Trouble> {
    let connection = if is_copy { look_at(path)? } else { connect(path)? };
    // Nothing in it is changed, and one that was cut is still read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    let mut outcome = Ok(());
    for order in [ALL, ALL_FROM_THE_END] {
        let mut all = connection.prepare(order)?;
        let mut rows = all.query([])?;
        outcome = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    if let Ok(body) = row
                        .get_ref(1)
                        .map_err(Trouble::from)
                        .and_then(|body| Ok(body.as_blob()?))
                    {
                        each(body);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// What is kept of an issuer, or of all of them, for whoever only looks: nothing is made, changed or set aside. `None`
/// where there is no file.
pub(in crate::store) fn look(file: &Path, issuer: Option<&str>) -> Result<Option<Vec<Stored>>, LookError> {
    if let Err(error) = file.symlink_metadata()
        && error.kind() == std::io::ErrorKind::NotFound
    {
        return Ok(None);
    }
    let _lock = take_lock_that_is_there(file).map_err(LookError::Lock)?;
    let unusable =
        |trouble: Trouble| LookError::Unusable(format!("the database {}: {trouble}", display::path(file)));
    let opened = File::open(file).map_err(unusable)?;
    let found = match issuer {
        Some(issuer) => opened.read(issuer).map(|found| {
            let found = found.map(|body| (issuer.to_owned(), body));
            found.into_iter().collect()
        }),
        None => (|| {
            let mut found = Vec::new();
            loop {
                let last = found.last().map_or("", |(issuer, _): &Stored| issuer);
                let more = opened.read_after(last)?;
                if more.is_empty() {
                    return Ok(found);
                }
                found.extend(more);
            }
        })(),
    };
    found.map(Some).map_err(unusable)
}

/// Why nothing was seen.
#[derive(Debug)]
pub(in crate::store) enum LookError {
    /// A running service has the file, or the lock cannot be taken.
    Lock(LockError),
    /// Place and cause.
    Unusable(String),
}

/// Removes a file, and what SQLite may have left beside it.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["-journal", "-wal", ""] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE
}

fn connect(path: &Path) -> Result<Connection, Trouble> {
    let connection = Connection::open_with_flags(path, flags())?;
    // Whoever has the lock of the file need not wait for others.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.execute_batch(READ)?;
    Ok(connection)
}

/// Opens a file that nobody writes, without a lock or a log.
fn look_at(path: &Path) -> Result<Connection, Trouble> {
    let url = url::Url::from_file_path(path);
    let mut url = url.map_err(|()| Trouble::Unusable("its path is not absolute".to_owned()))?;
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(url.as_str(), flags)?;
    connection.execute_batch(
        "PRAGMA cache_size = -256; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF",
    )?;
    Ok(connection)
}

fn check_all(connection: &Connection) -> Result<(), Trouble> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Trouble::Damaged(verdict));
    }
    check(connection)
}

fn check(connection: &Connection) -> Result<(), Trouble> {
    let mut all = connection.prepare(ALL)?;
    let mut rows = all.query([])?;
    let mut last: Option<String> = None;
    while let Some(row) = rows.next()? {
        let (issuer, _) = stored(row)?;
        if last.is_some_and(|last| last >= issuer) {
            return Err(Trouble::Damaged(format!(
                "the row of {issuer} is in the wrong place"
            )));
        }
        last = Some(issuer);
    }
    Ok(())
}

fn stored(row: &Row<'_>) -> Result<Stored, Trouble> {
    let (issuer, body): Stored = (row.get(0)?, row.get(1)?);
    let sum: Vec<u8> = row.get(2)?;
    if sum != checksum(&issuer, &body) {
        // The name may be what was changed.
        return Err(Trouble::Damaged(format!(
            "the row of {issuer:?} does not match its checksum"
        )));
    }
    Ok((issuer, body))
}

fn checksum(issuer: &str, body: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(issuer).chain_update([0]);
    digest.chain_update(body).finalize().into()
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        let rusqlite::Error::SqliteFailure(ffi::Error { code, extended_code }, _) = error else {
            // A row of another shape, a table that is not there.
            return Self::Damaged(reason);
        };
        match (code, extended_code) {
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig, _)
            | (_, ffi::SQLITE_IOERR_SHORT_READ) => Self::Damaged(reason),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => {
                Self::Unusable(format!("another program has it open ({reason}): close that one"))
            }
            (ErrorCode::DiskFull, _) => Self::Unusable(format!("the disk is full ({reason})")),
            _ => Self::Unusable(format!("{reason}; check who owns it, and the disk")),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for Trouble {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Damaged(reason) | Self::Refused(reason) | Self::Unusable(reason)) = self;
        f.write_str(reason)
    }
}
