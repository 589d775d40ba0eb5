//! Reading local files, bounded in size and time: a FIFO, a device or a dead network mount must not hold a read up.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::task::JoinHandle;

use super::{Cause, Phase};

/// Bound of all the file reading of one read of a source.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("there is no such file")]
    Missing,
    #[error("it is a directory")]
    Directory,
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    #[error("it is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Io(String),
}

/// The whole of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    // Without NONBLOCK, opening a FIFO waits for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io_error(&error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| io_error(&error))?;
    if !metadata.is_file() {
        return Err(not_regular(metadata.file_type()));
    }
    let too_large = FileError::TooLarge { limit };
    if metadata.len() > limit as u64 {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    // It may grow while it is read; files of /proc and /sys tell no length.
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error(&error))?;
    if bytes.len() > limit {
        return Err(too_large);
    }
    Ok(bytes)
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

fn io_error(error: &std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => FileError::Missing,
        std::io::ErrorKind::PermissionDenied => FileError::Io("permission denied".into()),
        _ => FileError::Io(error.to_string()),
    }
}

/// A file that a source needs for reading, named by its setting.
pub(super) fn read_setting(what: &'static str, path: &Path, limit: usize) -> Result<Vec<u8>, Cause> {
    read(path, limit).map_err(|error| unusable(what, path, error.to_string()))
}

/// A setting's file that cannot be used.
pub(super) fn unusable(what: &'static str, path: &Path, reason: String) -> Cause {
    Cause::File {
        what,
        path: path.display().to_string(),
        reason,
    }
}

/// The bearer token in a file: one line of visible ASCII.
pub(super) fn read_token(path: &Path) -> Result<String, Cause> {
    const WHAT: &str = "tokenFile";
    let bytes = read_setting(WHAT, path, 64 << 10)?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(unusable(WHAT, path, "it is empty".into()));
    }
    match std::str::from_utf8(token) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err(unusable(
            WHAT,
            path,
            "it is not a token: one line without spaces is expected".into(),
        )),
    }
}

/// Runs file reading on a thread of its own, one at a time: a read that hangs (a dead network mount) keeps its thread,
/// and no further thread is spent on the same place until it has ended.
pub(super) struct Blocking<T> {
    hanging: Option<JoinHandle<T>>,
}

impl<T> std::fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blocking")
    }
}

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self { hanging: None }
    }
}

impl<T: Send + 'static> Blocking<T> {
    pub(super) async fn run(
        &mut self,
        phase: Phase,
        after: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Cause> {
        let timeout = Cause::Timeout { phase, after };
        if self
            .hanging
            .as_ref()
            .is_some_and(|hanging| !hanging.is_finished())
        {
            return Err(timeout);
        }
        let running = self.hanging.insert(tokio::task::spawn_blocking(work));
        match tokio::time::timeout(after, running).await {
            Err(_) => Err(timeout),
            Ok(done) => {
                self.hanging = None;
                done.map_err(|error| Cause::Internal {
                    reason: super::panic_message(error),
                })
            }
        }
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
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();

        assert_eq!(read(&at("ten"), 10).unwrap(), b"0123456789");
        assert_eq!(read(&at("ten"), 9), Err(FileError::TooLarge { limit: 9 }));
        assert_eq!(read(&at("none"), 9), Err(FileError::Missing));
        assert_eq!(read(&at("ten/under"), 9), Err(FileError::Missing));
        assert_eq!(read(folder.path(), 9), Err(FileError::Directory));
        assert_eq!(read(&at("fifo"), 9), Err(FileError::NotRegular("a FIFO")));
        assert_eq!(
            read(Path::new("/dev/zero"), 9),
            Err(FileError::NotRegular("a device"))
        );
    }

    #[test]
    fn a_token_is_one_line_of_visible_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let reads = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_token(&path).map_err(|cause| cause.to_string())
        };
        assert_eq!(reads("abc.def\n"), Ok("abc.def".into()));
        assert!(reads(" \n").unwrap_err().ends_with("it is empty"));
        let error = reads("secret one\ntwo").unwrap_err();
        assert!(
            error.contains("not a token") && !error.contains("secret"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn work_that_hangs_is_not_started_a_second_time() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let mut blocking = Blocking::default();
        let after = Duration::from_millis(20);
        let timeout = Err(Cause::Timeout {
            phase: Phase::File,
            after,
        });
        assert_eq!(
            blocking
                .run(Phase::File, after, move || {
                    let _ = wait.recv();
                })
                .await,
            timeout
        );
        assert_eq!(blocking.run(Phase::File, after, || unreachable!()).await, timeout);
        release.send(()).unwrap();
        while blocking.run(Phase::File, after, || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
