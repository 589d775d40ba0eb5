//! The one way to read a file whose path somebody else chose: in the configuration, a flag, a variable, a kubeconfig.
//!
//! Such a path may lead to a FIFO, a device, a huge file or a dead network mount. A read here takes regular files only,
//! never more than its limit, and never waits for the other end of anything. What is read is wiped when it is dropped, and
//! its buffer never grows: a vector that grows leaves copies of secrets behind. clippy's `disallowed-methods` keeps other
//! ways to read out of the code.
//!
//! A network mount that hangs can hold a thread for good. `Blocking` bounds that for tasks, `read_soon` for
//! commands.

mod blocking;
mod secret;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

pub(crate) use blocking::{Blocking, Ended, panic_message, panic_text};
pub(crate) use secret::read_to_end;

/// Upper bound for reading files, all those of one purpose together.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Upper bound of a file with certificates or keys, in bytes: far more than the CA bundle of an operating system.
pub(crate) const MAX_PEM: usize = 4 << 20;

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there, or a link that leads nowhere is.
    #[error("there is no such file")]
    Missing,
    /// A directory.
    #[error("it is a directory")]
    Directory,
    /// `a FIFO`, `a socket`, `a device`.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// Above its bound.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// The file system does not answer.
    #[error("it was not read within {} s: does a disk or network mount hang?", after.as_secs())]
    Late {
        /// The bound.
        after: Duration,
    },
    /// What else the system said.
    #[error("{0}")]
    Io(String),
}

/// The whole of a regular file of at most `limit` bytes. Links are followed.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // Without NONBLOCK, opening a FIFO waits for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| open_error(path, error))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| io_error(&error))?;
    if !metadata.is_file() {
        return Err(not_regular(metadata.file_type()));
    }
    let too_large = FileError::TooLarge { limit };
    let Some(stated) = usize::try_from(metadata.len()).ok().filter(|size| *size <= limit) else {
        return Err(too_large);
    };
    let bytes = read_to_end(file, stated, limit).map_err(|error| io_error(&error))?;
    bytes.ok_or(too_large)
}

/// The same for a command that nothing else waits for: gives up after [`TIMEOUT`].
pub(crate) fn read_soon(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let path = path.to_owned();
    soon(move || read(&path, limit))?
}

/// Any such work, given up after [`TIMEOUT`].
pub(crate) fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FileError> {
    let done = blocking::within(TIMEOUT, work).map_err(|error| io_error(&error))?;
    done.ok_or(FileError::Late { after: TIMEOUT })
}

/// The same of standard input, for as long as it takes: a person or another program writes there. There is no buffer of
/// the standard library in between, which would keep what was read.
pub(crate) fn read_stdin(limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let bytes = stdin.and_then(|stdin| read_to_end(File::from(stdin), 0, limit));
    bytes
        .map_err(|error| io_error(&error))?
        .ok_or(FileError::TooLarge { limit })
}

/// Makes the names in a folder outlive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::from(open_folder(folder)?).sync_all()
}

/// Opens a folder, and nothing else.
pub(crate) fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// What stands in a file of the system that is text; nothing where there is no such file.
pub(crate) fn system_text(path: impl AsRef<Path>) -> String {
    let bytes = read(path.as_ref(), 1 << 20).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A socket cannot be opened at all, which the system says in odd words.
fn open_error(path: &Path, error: rustix::io::Errno) -> FileError {
    if error == rustix::io::Errno::NXIO
        && let Ok(metadata) = path.metadata()
        && !metadata.is_file()
    {
        return not_regular(metadata.file_type());
    }
    io_error(&error.into())
}

fn not_regular(kind: std::fs::FileType) -> FileError {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_dir() {
        FileError::Directory
    } else if kind.is_fifo() {
        FileError::NotRegular("a FIFO")
    } else if kind.is_socket() {
        FileError::NotRegular("a socket")
    } else {
        FileError::NotRegular("a device")
    }
}

fn io_error(error: &io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::Missing,
        io::ErrorKind::PermissionDenied => FileError::Io("permission denied".into()),
        _ => FileError::Io(error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Files that are none.

    use super::{Mode, Path};

    /// Makes a FIFO that nobody writes to.
    pub(crate) fn fifo(path: &Path) {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("ten"), "0123456789").unwrap();
        fake::fifo(&at("fifo"));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("ten"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();

        for read in [read, read_soon] {
            assert_eq!(*read(&at("ten"), 10).unwrap(), b"0123456789");
            assert_eq!(*read(&at("link"), 10).unwrap(), b"0123456789");
            assert_eq!(read(&at("ten"), 9), Err(FileError::TooLarge { limit: 9 }));
            assert_eq!(read(&at("none"), 9), Err(FileError::Missing));
            assert_eq!(read(&at("ten/under"), 9), Err(FileError::Missing));
            assert_eq!(read(folder.path(), 9), Err(FileError::Directory));
            assert_eq!(read(&at("fifo"), 9), Err(FileError::NotRegular("a FIFO")));
            assert_eq!(read(&at("socket"), 9), Err(FileError::NotRegular("a socket")));
            assert_eq!(read(&at("zero"), 9), Err(FileError::NotRegular("a device")));
        }
    }

    #[test]
    fn a_file_that_states_no_size_is_read_whole() {
        let stat = read(Path::new("/proc/self/status"), 1 << 20).unwrap();
        assert!(stat.ends_with(b"\n") && stat.len() > 64, "{} bytes", stat.len());
        assert_eq!(
            read(Path::new("/proc/self/status"), 64),
            Err(FileError::TooLarge { limit: 64 })
        );
    }
}
