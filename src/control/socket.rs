//! The socket in the state folder. Whoever may write to it may revoke keys: its owner, and root.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{UnixListener, UnixStream};

use crate::display;
use crate::listen;
use crate::store::{FolderLock, LockError};

/// Its name in the state folder.
pub const SOCKET: &str = "control.sock";

/// It is made in this folder, which nobody else can enter, and moved from there: at no moment is it open to others.
const CRADLE: &str = ".control";

/// The name of the file in the state folder that says who has it.
pub const LOCK: &str = "lock";

/// How often the socket is looked after.
const LOOK: Duration = Duration::from_secs(2);

/// The longest path that an address of a Unix socket can hold on Linux: 108 bytes and their end.
const MAX_PATH: usize = 107;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else has the name.
    #[error("{} is there already, and is no socket: move it away", display::path(path))]
    Taken {
        /// It.
        path: PathBuf,
    },
    /// Another process listens there.
    #[error("{} is the socket of another process: end that", display::path(path))]
    InUse {
        /// It.
        path: PathBuf,
    },
    /// Another process has the folder, or it cannot be made.
    #[error("the state folder {0}")]
    Locked(#[from] LockError),
    /// The system refuses.
    #[error("{} cannot be {verb}: {error}", display::path(path))]
    Refused {
        /// The socket or its folder.
        path: PathBuf,
        /// What failed: `made`, `bound`.
        verb: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// The socket, open as long as this lives; then it is removed. One that was removed meanwhile, with its folder or without,
/// is made again.
#[derive(Debug)]
pub struct Socket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    lock: Arc<Mutex<FolderLock>>,
    open: ArcSwap<Open>,
    /// Why it could not be made again, as it was told last.
    trouble: Mutex<Option<String>>,
}

/// The socket as it was made.
#[derive(Debug)]
struct Open {
    listener: UnixListener,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Open {
    fn is_there(&self) -> bool {
        self.identity.is_some() && identity(&self.path) == self.identity
    }
}

impl Socket {
    /// Opens it in a folder that this process alone has by this lock: one that is there is of a process that was killed,
    /// and is replaced. The lock is taken anew where it went with the folder. Within a tokio runtime.
    pub fn bind(folder: &Path, lock: Arc<Mutex<FolderLock>>) -> Result<Self, SocketError> {
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            lock,
            open: ArcSwap::from_pointee(bound(folder)?),
            trouble: Mutex::default(),
        })))
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.open.load().path.clone()
    }
}

impl listen::Socket for &Socket {
    type Stream = UnixStream;

    /// While it waits for a connection, it looks after the socket. Safe to drop half-way.
    async fn accept(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        loop {
            let open = self.0.open.load_full();
            tokio::select! {
                accepted = open.listener.accept() => return accepted.map(|(stream, _)| (stream, None)),
                () = tokio::time::sleep(LOOK) => {}
            }
            let shared = Arc::clone(&self.0);
            // The folder may be on a network mount that hangs.
            let _ = tokio::task::spawn_blocking(move || shared.look()).await;
        }
    }

    fn refuse_new(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn close(self) -> Vec<(UnixStream, Option<SocketAddr>)> {
        Vec::new()
    }
}

impl Shared {
    /// Makes the socket again where it is no longer there.
    fn look(&self) {
        let open = self.open.load();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_there() {
            *trouble = None;
            return;
        }
        match self.bound_again() {
            Ok(again) => {
                tracing::warn!("{} was removed, and is made again", display::path(&again.path));
                self.open.store(Arc::new(again));
                *trouble = None;
            }
            Err(error) => {
                let error = error.to_string();
                if trouble.as_ref() != Some(&error) {
                    tracing::warn!(
                        "{} was removed, and cannot be made again; `oidc-issuer keys` cannot reach this: {error}",
                        display::path(&open.path)
                    );
                    *trouble = Some(error);
                }
            }
        }
    }

    fn bound_again(&self) -> Result<Open, SocketError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock.is_held() {
            // The lock went with the folder: another process may have made the folder, and locked it, meanwhile.
            *lock = FolderLock::take(&self.folder, LOCK)?;
        }
        let path = self.folder.join(SOCKET);
        let answers = |path: &Path| {
            let address = Reachable::of(path).ok()?;
            std::os::unix::net::UnixStream::connect(address.path()).ok()
        };
        if answers(&path).is_some() {
            return Err(SocketError::InUse { path });
        }
        bound(&self.folder)
    }
}

fn bound(folder: &Path) -> Result<Open, SocketError> {
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
    let listener = Reachable::of(&made).and_then(|address| UnixListener::bind(address.path()));
    let listener = listener.map_err(refused("bound", &path))?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(refused("made", &made))?;
    let identity = identity(&made);
    fs::rename(&made, &path).map_err(refused("made", &path))?;
    // Empty now; in the way of nobody if it stays.
    let _ = fs::remove_dir(&cradle);
    Ok(Open {
        listener,
        path,
        identity,
    })
}

/// What tells a file from another one that has its name later.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Drop for Shared {
    fn drop(&mut self) {
        let open = self.open.load();
        if open.is_there() {
            // The next start replaces it too.
            let _ = fs::remove_file(&open.path);
        }
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
    use super::*;

    fn open(folder: &Path) -> Result<Socket, SocketError> {
        Socket::bind(folder, Arc::new(Mutex::new(FolderLock::take(folder, LOCK)?)))
    }

    fn is_reached(folder: &Path) -> bool {
        let address = reachable(&folder.join(SOCKET)).unwrap();
        std::os::unix::net::UnixStream::connect(address.path()).is_ok()
    }

    #[tokio::test]
    async fn it_is_for_its_owner_alone_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let socket = open(folder.path()).unwrap();
        let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(is_reached(folder.path()));
        drop(socket);
        assert!(!folder.path().join(SOCKET).exists());
    }

    #[tokio::test]
    async fn one_of_a_killed_process_is_replaced_and_anything_else_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::create_dir(folder.path().join(CRADLE)).unwrap();
        fs::write(folder.path().join(CRADLE).join(SOCKET), "").unwrap();
        let socket = open(folder.path()).unwrap();
        assert!(is_reached(folder.path()));
        drop(socket);

        fs::write(&path, "").unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_for_an_address_is_got_around() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("long".repeat(40));
        fs::create_dir(&folder).unwrap();
        let socket = open(&folder).unwrap();
        assert!(socket.path().as_os_str().len() > MAX_PATH);
        assert!(is_reached(&folder));
    }

    #[tokio::test]
    async fn one_that_was_removed_is_made_again_and_with_it_the_folder_and_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        let socket = open(&folder).unwrap();
        socket.0.look();
        fs::remove_file(socket.path()).unwrap();
        socket.0.look();
        assert!(is_reached(&folder));

        fs::remove_dir_all(&folder).unwrap();
        socket.0.look();
        assert!(is_reached(&folder));
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(
            matches!(open(&folder), Err(SocketError::Locked(_))),
            "no second process"
        );
        drop(socket);
        open(&folder).unwrap();
    }

    #[tokio::test]
    async fn what_another_process_has_made_meanwhile_is_left_to_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        let first = open(&folder).unwrap();
        fs::rename(&folder, parent.path().join("moved")).unwrap();
        let second = open(&folder).unwrap();
        let theirs = identity(&second.path());
        first.0.look();
        assert!(
            first
                .0
                .trouble
                .lock()
                .unwrap()
                .as_ref()
                .unwrap()
                .contains("in use by")
        );
        drop(first);
        assert_eq!(identity(&second.path()), theirs);

        // A socket of whoever needs no lock.
        fs::remove_file(second.path()).unwrap();
        let foreign = std::os::unix::net::UnixListener::bind(second.path()).unwrap();
        let theirs = identity(&second.path());
        second.0.look();
        assert_eq!(identity(&second.path()), theirs);
        drop(foreign);
        second.0.look();
        assert_ne!(identity(&second.path()), theirs, "nobody listens on it any more");
        assert!(is_reached(&folder));
    }
}
