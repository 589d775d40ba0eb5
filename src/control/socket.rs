//! The socket in the state folder. Whoever may write to it may revoke keys: its owner, and root.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Its name in the state folder.
pub const SOCKET: &str = "control.sock";

/// It is made in this folder, which nobody else can enter, and moved from there: at no moment is it open to others.
const CRADLE: &str = ".control";

/// The longest path that an address of a Unix socket can hold on Linux: 108 bytes and their end.
const MAX_PATH: usize = 107;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else has the name.
    #[error("{} is there already, and is no socket: move it away", path.display())]
    Taken {
        /// It.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{} cannot be {verb}: {error}", path.display())]
    Refused {
        /// The socket or its folder.
        path: PathBuf,
        /// What failed: `made`, `bound`.
        verb: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// The socket, open as long as this lives; then it is removed.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Opens it in a folder that this process alone has: one that is there is of a process that was killed, and is
    /// replaced. Within a tokio runtime.
    pub fn bind(folder: &Path) -> Result<Self, SocketError> {
        let (path, cradle) = (folder.join(SOCKET), folder.join(CRADLE));
        let refused = |verb, path: &Path| {
            let path = path.to_owned();
            move |error| SocketError::Refused { path, verb, error }
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Taken { path }),
            _ => {}
        }
        // Left behind by a process that was killed at this very place.
        let _ = fs::remove_dir_all(&cradle);
        DirBuilder::new()
            .mode(0o700)
            .create(&cradle)
            .map_err(refused("made", &cradle))?;
        let made = cradle.join(SOCKET);
        let bound = Reachable::of(&made).and_then(|address| UnixListener::bind(address.path()));
        let listener = bound.map_err(refused("bound", &path))?;
        fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(refused("made", &made))?;
        fs::rename(&made, &path).map_err(refused("made", &path))?;
        // Empty now; in the way of nobody if it stays.
        let _ = fs::remove_dir(&cradle);
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The next start replaces it too.
        let _ = fs::remove_file(&self.path);
    }
}

/// A path by which a socket can be bound or connected to: through its opened folder where its own is too long.
#[derive(Debug)]
pub struct Reachable {
    path: PathBuf,
    // The path goes through it.
    _folder: Option<OwnedFd>,
}

impl Reachable {
    fn of(socket: &Path) -> io::Result<Self> {
        if socket.as_os_str().len() <= MAX_PATH {
            return Ok(Self {
                path: socket.to_owned(),
                _folder: None,
            });
        }
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let folder = crate::fs::open_folder(folder)?;
        let path = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name);
        if !path.parent().is_some_and(Path::exists) {
            return Err(io::Error::other(format!(
                "its path is longer than {MAX_PATH} bytes, and there is no /proc to get around that: choose a shorter \
                 state folder"
            )));
        }
        Ok(Self {
            path,
            _folder: Some(folder),
        })
    }

    /// The path, as long as this lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// By which path the socket at `socket` can be connected to.
pub fn reachable(socket: &Path) -> io::Result<Reachable> {
    Reachable::of(socket)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn is_reached(folder: &Path) -> bool {
        let address = reachable(&folder.join(SOCKET)).unwrap();
        UnixStream::connect(address.path()).is_ok()
    }

    #[tokio::test]
    async fn it_is_for_its_owner_alone_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket::bind(folder.path()).unwrap();
        let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(is_reached(folder.path()));
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn one_of_a_killed_process_is_replaced_and_anything_else_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::create_dir(folder.path().join(CRADLE)).unwrap();
        fs::write(folder.path().join(CRADLE).join(SOCKET), "").unwrap();
        let socket = Socket::bind(folder.path()).unwrap();
        assert!(is_reached(folder.path()));
        drop(socket);

        fs::write(&path, "").unwrap();
        let error = Socket::bind(folder.path()).unwrap_err();
        assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_for_an_address_is_got_around() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("long".repeat(40));
        fs::create_dir(&folder).unwrap();
        let socket = Socket::bind(&folder).unwrap();
        assert!(socket.path().as_os_str().len() > MAX_PATH);
        assert!(is_reached(&folder));
    }
}
