use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::source::FilesSettings;
use crate::source::files::Files;

/// More than any change takes to be told.
const LONG: Duration = Duration::from_secs(20);

fn key(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, rcgen::KeyPair::generate().unwrap().public_key_pem()).unwrap();
}

fn source(watch: &FolderWatch, pattern: &Path) -> Files {
    let mut source = Files::new(&FilesSettings {
        paths: vec![pattern.display().to_string()],
    });
    source.watched_by(watch);
    source
}

/// The inotify instances of this process that watch these folders, with how many of them.
fn watches<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) -> Vec<usize> {
    let inode = |path: &PathBuf| format!("{:x}", fs::metadata(path).unwrap().ino());
    let inodes: BTreeSet<_> = folders.into_iter().map(inode).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        // One may be closed meanwhile.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let watched = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("inotify ")?
                    .split(' ')
                    .find_map(|part| part.strip_prefix("ino:"))
            })
            .filter(|inode| inodes.contains(*inode))
            .count();
        found.extend((watched > 0).then_some(watched));
    }
    found
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, reached).await.is_ok(), "{what}");
}

async fn assert_told(source: &mut Files, what: &str) {
    let told = tokio::time::timeout(LONG, source.changed()).await;
    assert!(told.is_ok(), "{what} was not told");
}

#[tokio::test]
async fn any_number_of_sources_has_one_watch_and_each_is_told_of_its_own_change() {
    // Of these, the system has 128 to give, as a rule.
    const SOURCES: usize = 300;
    let home = tempfile::tempdir().unwrap();
    let folders: Vec<_> = (0..SOURCES)
        .map(|number| home.path().join(number.to_string()))
        .collect();
    let watch = FolderWatch::default();
    let mut sources = Vec::new();
    for folder in &folders {
        key(&folder.join("sa.pub"));
        let mut source = source(&watch, &folder.join("*.pub"));
        source.read().await.unwrap();
        sources.push(source);
    }
    until("one watch, of all folders", || watches(&folders) == [SOURCES]).await;

    // Events come in their order: with the first one, what was late of the making of the folders is over.
    for round in 0..2 {
        key(&folders[7].join("sa.pub"));
        assert_told(&mut sources[7], "the change of one").await;
        let neighbour = tokio::time::timeout(Duration::from_millis(200), sources[8].changed()).await;
        assert!(round == 0 || neighbour.is_err(), "it is not its folder");
    }

    for folder in &folders {
        key(&folder.join("sa.pub"));
    }
    let told: Vec<_> = sources
        .into_iter()
        .map(|mut source| {
            tokio::spawn(async move {
                assert_told(&mut source, "its change").await;
                source
            })
        })
        .collect();
    let mut sources = Vec::new();
    for told in told {
        sources.push(told.await.unwrap());
    }

    drop(sources);
    until("all is forgotten", || watches(&folders).is_empty()).await;
    assert!(locked(&watch.0.routes).is_empty());
}

#[tokio::test]
async fn a_folder_is_watched_until_the_last_that_follows_it_is_dropped() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    key(&a.join("sa.pub"));
    key(&b.join("sa.pub"));
    let watch = FolderWatch::default();
    let mut both = source(&watch, &home.path().join("*/sa.pub"));
    let mut one = source(&watch, &a.join("sa.pub"));
    both.read().await.unwrap();
    one.read().await.unwrap();
    assert_eq!(watches([&a, &b]), [2]);

    drop(both);
    until("what only the first followed is forgotten", || {
        watches([&b]).is_empty()
    })
    .await;
    assert_eq!(watches([&a]), [1]);
    key(&a.join("sa.pub"));
    assert_told(&mut one, "a change in the folder that is left").await;
    drop(one);
    until("nothing is watched", || watches([&a, &b]).is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_is_reached_by_two_paths_is_told_of_to_both() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let watch = FolderWatch::default();
    let mut by_link = source(&watch, &link.join("*.pub"));
    let mut by_name = source(&watch, &real.join("*.pub"));
    by_link.read().await.unwrap_err();
    by_name.read().await.unwrap_err();

    key(&real.join("sa.pub"));
    assert_told(&mut by_link, "a file behind a link").await;
    assert_told(&mut by_name, "a file").await;
    drop(by_name);
    key(&real.join("other.pub"));
    assert_told(&mut by_link, "a file, after the other had gone").await;
    assert_eq!(watches([&real]), [1]);
}

#[tokio::test]
async fn a_folder_that_takes_the_place_of_another_is_watched_for_all() {
    let home = tempfile::tempdir().unwrap();
    let keys = home.path().join("keys");
    key(&keys.join("sa.pub"));
    let watch = FolderWatch::default();
    let mut sources = [0, 1, 2].map(|_| source(&watch, &keys.join("*.pub")));
    for source in &mut sources {
        source.read().await.unwrap();
    }
    for round in 0..6 {
        if round % 2 == 0 {
            fs::rename(&keys, home.path().join(format!("old-{round}"))).unwrap();
        } else {
            fs::remove_dir_all(&keys).unwrap();
        }
        key(&keys.join("sa.pub"));
        for source in &mut sources {
            assert_told(source, "another folder").await;
            source.read().await.unwrap();
        }
        // What was told late of the former folder is over.
        for source in &mut sources {
            while tokio::time::timeout(Duration::from_millis(100), source.changed())
                .await
                .is_ok()
            {
                source.read().await.unwrap();
            }
        }
        key(&keys.join("sa.pub"));
        for source in &mut sources {
            assert_told(source, "a change in the folder that took its place").await;
            source.read().await.unwrap();
        }
    }
    drop(sources);
    until("nothing is watched", || locked(&watch.0.routes).is_empty()).await;
}

#[tokio::test]
async fn nobody_waits_long_for_a_watch_that_hangs_and_the_files_are_read_again_when_it_goes_on() {
    let home = tempfile::tempdir().unwrap();
    key(&home.path().join("sa.pub"));
    let watch = FolderWatch::default();
    let mut source = source(&watch, &home.path().join("*.pub"));
    source.read().await.unwrap();
    let routes = Arc::clone(&watch.0.routes);
    let (held, is_held) = mpsc::channel();
    let (free, is_free) = mpsc::channel::<()>();
    let hangs = thread::spawn(move || {
        let _routes = routes.lock().unwrap();
        held.send(()).unwrap();
        is_free.recv().unwrap();
    });
    is_held.recv().unwrap();
    source.read().await.unwrap();
    free.send(()).unwrap();
    hangs.join().unwrap();
    assert_told(&mut source, "the end of the hang").await;
}
