//! The watch of folders that all sources of key files of the process share: the system has few to give (on Linux 128 for
//! each user, `fs.inotify.max_user_instances`), and one is enough for any number of folders.
//!
//! A thread of its own watches and forgets folders, so that nobody waits long for a folder of someone else that hangs. A
//! folder is known by what it is, whatever path leads to it: the system has one watch of it, however often it is asked.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::interest::Interest;
use crate::display;

/// How long a reading waits until its folders are watched.
const PATIENCE: Duration = Duration::from_secs(1);

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// Watches folders for all who have a clone of it; nothing as long as nobody follows any.
#[derive(Clone, Debug, Default)]
pub struct FolderWatch(Arc<Hub>);

#[derive(Debug, Default)]
struct Hub {
    /// To the thread, if there is one. It ends with the last clone.
    keeper: Mutex<Option<mpsc::Sender<Order>>>,
    followers: AtomicU64,
    routes: Arc<Mutex<Routes>>,
}

/// Who is to be told of what, by the path under which a folder is watched.
type Routes = HashMap<PathBuf, Folder>;

#[derive(Debug)]
struct Folder {
    identity: Identity,
    routes: HashMap<u64, Route>,
    /// The system watches it no longer: it was removed or moved.
    is_gone: bool,
}

/// What one follower wants to know of a folder.
#[derive(Debug)]
struct Route {
    interest: Interest,
    tell: Arc<Notify>,
}

/// A folder to be watched.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its path, without links.
    pub(super) at: PathBuf,
    pub(super) interest: Interest,
}

/// What the thread is to do.
#[derive(Debug)]
enum Order {
    /// To watch these folders for someone, and no others.
    Follow {
        who: u64,
        wanted: HashMap<Identity, Wanted>,
        tell: Arc<Notify>,
        done: mpsc::Sender<()>,
    },
    /// To forget someone.
    Leave { who: u64 },
}

/// Follows folders until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    who: u64,
    tell: Arc<Notify>,
    watch: FolderWatch,
}

impl FolderWatch {
    /// `tell` is notified of changes.
    pub(super) fn follower(&self, tell: Arc<Notify>) -> Follower {
        Follower {
            who: self.0.followers.fetch_add(1, Ordering::Relaxed),
            tell,
            watch: self.clone(),
        }
    }

    fn send(&self, order: Order) {
        let mut keeper = locked(&self.0.keeper);
        if keeper.is_none() && matches!(order, Order::Follow { .. }) {
            *keeper = Keeper::start(Arc::clone(&self.0.routes));
        }
        // Fails where the thread has panicked: the next reading starts another.
        if keeper.as_ref().is_some_and(|keeper| keeper.send(order).is_err()) {
            *keeper = None;
        }
    }
}

impl Follower {
    /// Watches these folders, and from now on no others. Returns when they are watched, or after a second: then a change
    /// is told once they are.
    pub(super) fn follow(&self, wanted: HashMap<Identity, Wanted>) {
        let (done, is_done) = mpsc::channel();
        self.watch.send(Order::Follow {
            who: self.who,
            wanted,
            tell: Arc::clone(&self.tell),
            done,
        });
        // Fails at once where there is no thread.
        let _ = is_done.recv_timeout(PATIENCE);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.watch.send(Order::Leave { who: self.who });
    }
}

/// The thread that watches.
struct Keeper {
    routes: Arc<Mutex<Routes>>,
    /// `None` as long as there is nothing to watch, or the system has no watch to give.
    watcher: Option<RecommendedWatcher>,
    /// Under which path each folder is watched.
    paths: HashMap<Identity, PathBuf>,
    following: HashMap<u64, HashSet<Identity>>,
    is_warned: bool,
}

impl Keeper {
    fn start(routes: Arc<Mutex<Routes>>) -> Option<mpsc::Sender<Order>> {
        // Of a thread that was before.
        locked(&routes).clear();
        let mut keeper = Self {
            routes,
            watcher: None,
            paths: HashMap::new(),
            following: HashMap::new(),
            is_warned: false,
        };
        let (orders, received) = mpsc::channel::<Order>();
        let run = move || {
            for order in received {
                keeper.obey(order);
            }
        };
        let started = thread::Builder::new().name("folder-watch".into()).spawn(run);
        if let Err(error) = &started {
            tracing::warn!(%error, "key files cannot be watched; they are read at every refresh instead");
        }
        started.is_ok().then_some(orders)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow {
                who,
                wanted,
                tell,
                done,
            } => {
                self.follow(who, &tell, wanted);
                if done.send(()).is_err() {
                    // The files were read meanwhile, unwatched.
                    tell.notify_one();
                }
            }
            Order::Leave { who } => {
                for identity in self.following.remove(&who).unwrap_or_default() {
                    self.leave(who, identity);
                }
            }
        }
        if self.paths.is_empty() {
            self.watcher = None;
        }
    }

    fn follow(&mut self, who: u64, tell: &Arc<Notify>, wanted: HashMap<Identity, Wanted>) {
        for identity in self.following.remove(&who).unwrap_or_default() {
            if !wanted.contains_key(&identity) {
                self.leave(who, identity);
            }
        }
        let mut following = HashSet::new();
        for (identity, Wanted { at, interest }) in wanted {
            let tell = Arc::clone(tell);
            if self.join(who, identity, &at, Route { interest, tell }) {
                following.insert(identity);
            }
        }
        if !following.is_empty() {
            self.following.insert(who, following);
        }
    }

    /// Whether the folder is watched now.
    fn join(&mut self, who: u64, identity: Identity, at: &Path, route: Route) -> bool {
        if let Some(at) = self.paths.get(&identity)
            && let Some(folder) = locked(&self.routes).get_mut(at)
            && !folder.is_gone
        {
            folder.routes.insert(who, route);
            return true;
        }
        // Its watch has ended, …
        let mut routes = self.forget(identity);
        // … or another folder was here before.
        let former = locked(&self.routes).get(at).map(|folder| folder.identity);
        if let Some(former) = former {
            for route in self.forget(former).values() {
                route.tell.notify_one();
            }
        }
        routes.insert(who, route);
        let folder = Folder {
            identity,
            routes,
            is_gone: false,
        };
        // Before it is watched: its first event finds its way.
        locked(&self.routes).insert(at.to_owned(), folder);
        self.paths.insert(identity, at.to_owned());
        let Some(watcher) = self.watcher() else {
            self.forget(identity);
            return false;
        };
        if let Err(error) = watcher.watch(at, RecursiveMode::NonRecursive) {
            tracing::debug!(folder = %display::path(at), %error, "a folder cannot be watched");
            self.forget(identity);
            return false;
        }
        true
    }

    fn leave(&mut self, who: u64, identity: Identity) {
        let Some(at) = self.paths.get(&identity) else {
            return;
        };
        let is_left = locked(&self.routes).get_mut(at).is_none_or(|folder| {
            folder.routes.remove(&who);
            folder.routes.is_empty()
        });
        if is_left {
            self.forget(identity);
        }
    }

    /// Watches a folder no longer, and tells who followed it. What is shared with events is not locked meanwhile: the
    /// watcher waits for them.
    fn forget(&mut self, identity: Identity) -> HashMap<u64, Route> {
        let Some(at) = self.paths.remove(&identity) else {
            return HashMap::new();
        };
        if let Some(watcher) = &mut self.watcher {
            // It is gone with its folder already, mostly.
            let _ = watcher.unwatch(&at);
        }
        locked(&self.routes)
            .remove(&at)
            .map(|folder| folder.routes)
            .unwrap_or_default()
    }

    fn watcher(&mut self) -> Option<&mut RecommendedWatcher> {
        if self.watcher.is_none() {
            let routes = Arc::clone(&self.routes);
            match notify::recommended_watcher(move |event| told(&routes, event)) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) if self.is_warned => tracing::debug!(%error, "key files cannot be watched"),
                Err(error) => {
                    self.is_warned = true;
                    tracing::warn!(
                        %error,
                        "key files cannot be watched; they are read at every refresh instead (raise fs.inotify.max_user_instances)"
                    );
                }
            }
        }
        self.watcher.as_mut()
    }
}

/// Tells an event to those whom it concerns.
fn told(routes: &Mutex<Routes>, event: notify::Result<Event>) {
    let event = match event {
        Ok(event) if event.need_rescan() => None,
        Ok(event) if is_change(&event) => Some(event),
        Ok(_) => return,
        Err(_) => None,
    };
    let mut routes = locked(routes);
    let Some(event) = event else {
        return routes.values().for_each(Folder::tell_all);
    };
    let may_end = matches!(
        event.kind,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    for path in &event.paths {
        // With a folder the watcher forgets those below it.
        if may_end && routes.contains_key(path) {
            for (_, folder) in routes.iter_mut().filter(|(at, _)| at.starts_with(path)) {
                folder.is_gone = true;
                folder.tell_all();
            }
        }
        if let Some(folder) = path.parent().and_then(|parent| routes.get(parent)) {
            folder.tell(path);
        }
    }
}

impl Folder {
    fn tell_all(&self) {
        for route in self.routes.values() {
            route.tell.notify_one();
        }
    }

    /// Tells of a change of what is at this path in the folder.
    fn tell(&self, path: &Path) {
        for route in self.routes.values() {
            if route.interest.concerns(path) {
                route.tell.notify_one();
            }
        }
    }
}

/// Reading a file is an event as well, which must not lead to the next reading.
fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Entries come and go as a whole, so a panic elsewhere leaves them so.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
