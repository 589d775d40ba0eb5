//! Taking over a changed configuration while the service runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::flags::Asked;
use super::logging::Level;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::display;
use crate::edge::Hosts;
use crate::fs::{self, Blocking, FileError};
use crate::issuer::{Applied, Issuers};
use crate::metrics::Metrics;

/// Where the folder has no events (a network file system), the file is looked at this often.
const POLL: Duration = Duration::from_secs(10);
/// An editor or an atomic swap makes several events of one change.
const SETTLE: Duration = Duration::from_millis(100);

/// SHA-256.
type Digest = [u8; 32];

/// What a reload changes, and what it must not.
pub(super) struct Reloader {
    pub(super) asked: Asked,
    /// Without the issuers: those that run have their settings, and a second copy of many would take much memory.
    pub(super) settings: Settings,
    pub(super) issuers: Issuers,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) level: Level,
    pub(super) hosts: Hosts,
}

impl Reloader {
    /// Reads the configuration once more; `None` where there is no file. May hang; safe to drop half-way.
    pub(super) async fn read(&self) -> Option<Result<Settings, String>> {
        self.asked.file.as_ref()?;
        let asked = self.asked.clone();
        let load = move || asked.load().map_err(|problems| problems.in_one_line());
        let read = tokio::task::spawn_blocking(load).await;
        Some(read.map_err(|panic| panic.to_string()).flatten())
    }

    /// Takes over what was read. A configuration that is invalid, or needs a restart, is refused as a whole.
    pub(super) async fn take_over(&mut self, why: &str, read: Option<Result<Settings, String>>) {
        let Some(file) = self.asked.file.as_deref().map(display::path) else {
            tracing::info!("{why}: there is no configuration file to read again");
            return;
        };
        let Some(read) = read else { return };
        let mut new = match read {
            Ok(new) => new,
            Err(problems) => {
                self.metrics.config_refused();
                tracing::error!(config = %file, "{why}: the new configuration is refused, the old one stays: {problems}");
                return;
            }
        };
        let fixed = self.settings.needing_restart(&new);
        if !fixed.is_empty() {
            self.metrics.config_refused();
            tracing::error!(
                config = %file,
                "{why}: the new configuration is refused, the old one stays: a change of {} needs a restart",
                fixed.join(", ")
            );
            return;
        }
        self.hosts.expect(new.hosts());
        for warning in new.warnings().into_iter().chain(self.hosts.warnings()) {
            tracing::warn!(config = %file, "{warning}");
        }
        if new.logging.level != self.settings.logging.level {
            self.level.set(&new.logging.level);
        }
        show(&self.metrics, &new);
        let applied = self.issuers.apply(std::mem::take(&mut new.issuers)).await;
        if applied == Applied::default() && new == self.settings {
            tracing::info!(config = %file, "{why}: the configuration says what it said before");
        } else {
            let Applied {
                added,
                changed,
                dropped,
            } = applied;
            tracing::info!(
                config = %file, added, changed, dropped,
                "{why}: the new configuration is taken over ({added} issuers added, {changed} changed, {dropped} withdrawn)"
            );
        }
        self.settings = new;
        self.metrics.config_reloaded(self.clock.now());
    }
}

/// What metrics are to know of the settings in force.
pub(super) fn show(metrics: &Metrics, settings: &Settings) {
    metrics.show_issuers(settings.issuer_rows);
    metrics.smallest_max_age(settings.smallest_max_age().unwrap_or_default());
}

/// Notices when the content of a file changes: written in place, replaced, or swapped with its folder's `..data` link
/// as mounted `ConfigMap`s are.
pub(super) struct Watch {
    file: Option<PathBuf>,
    /// Of the content: it may be large.
    seen: Option<Digest>,
    reading: Blocking<Result<Digest, FileError>>,
    events: mpsc::Receiver<()>,
    // Ends the watch when it is dropped.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let (told, events) = mpsc::channel(1);
        let seen = file
            .clone()
            .and_then(|file| fs::soon(move || digest(&file)).flatten().ok());
        let watcher = file.as_deref().and_then(|file| watch_folder(file, told));
        Self {
            file,
            seen,
            reading: Blocking::default(),
            events,
            _watcher: watcher,
        }
    }

    /// Until the content is another one than before. Safe to drop half-way.
    pub(super) async fn changed(&mut self) {
        let Some(file) = self.file.clone() else {
            return std::future::pending().await;
        };
        loop {
            let poll = sleep_until(Instant::now() + POLL);
            tokio::select! {
                Some(()) = self.events.recv() => sleep(SETTLE).await,
                () = poll => {}
            }
            // A file that is gone, or half replaced, will be there again.
            let file = file.clone();
            let Ok(Ok(content)) = self.reading.run(fs::TIMEOUT, move || digest(&file)).await else {
                continue;
            };
            if self.seen.replace(content) != Some(content) {
                return;
            }
        }
    }
}

/// SHA-256 of a file.
fn digest(file: &Path) -> Result<Digest, FileError> {
    Ok(Sha256::digest(fs::read(file, config::MAX_BYTES)?).into())
}

fn watch_folder(file: &Path, told: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // One that waits already is enough.
            let _ = told.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                "changes in {} cannot be watched ({error}): looking every {} s",
                display::path(folder),
                POLL.as_secs()
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    async fn noticed(watch: &mut Watch) {
        tokio::time::timeout(Duration::from_secs(5), watch.changed())
            .await
            .expect("the change was not noticed");
    }

    #[tokio::test]
    async fn a_rewritten_and_a_replaced_file_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(Some(file.clone()));
        std::fs::write(&file, "b").unwrap();
        noticed(&mut watch).await;
        let beside = folder.path().join("new");
        std::fs::write(&beside, "c").unwrap();
        std::fs::rename(&beside, &file).unwrap();
        noticed(&mut watch).await;
    }

    #[tokio::test]
    async fn the_swap_of_a_mounted_config_map_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..1", "a"), ("..2", "b")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("config.yaml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/config.yaml", at("config.yaml")).unwrap();
        let mut watch = Watch::new(Some(at("config.yaml")));
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        noticed(&mut watch).await;
    }
}
