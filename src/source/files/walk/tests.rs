use std::os::unix::fs::symlink;

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_mins(1);

fn bounds(visited: usize) -> Bounds {
    Bounds {
        visited,
        ..Bounds::new(1000, LONG)
    }
}

fn write(home: &TempDir, names: &[&str]) {
    for name in names {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

fn pattern(home: &TempDir, pattern: &str) -> String {
    home.path().join(pattern).to_str().unwrap().to_owned()
}

fn names(home: &TempDir, found: &Found) -> Vec<String> {
    let name = |path: &PathBuf| {
        let name = path.strip_prefix(home.path()).unwrap();
        name.to_str().unwrap().to_owned()
    };
    found.paths.iter().map(name).collect()
}

#[test]
fn what_was_found_before_a_bound_is_kept_and_the_bound_is_told_once() {
    let home = tempfile::tempdir().unwrap();
    write(&home, &["a/one.pem", "b/two.pem"]);
    let many: Vec<_> = (0..200).map(|number| format!("b/c/d{number}/deep")).collect();
    write(&home, &many.iter().map(String::as_str).collect::<Vec<_>>());
    for text in ["**/*.pem", "**/one.pem", "a/*.pem", "*/one.pem", "?/*.pem"] {
        let all = find(&pattern(&home, text), bounds(MAX_VISITED));
        assert_eq!(all.unreadable, [], "{text}");
        let found = find(&pattern(&home, text), bounds(20));
        assert_eq!(names(&home, &found), names(&home, &all), "{text}");
        let is_told = found
            .unreadable
            .iter()
            .filter(|(_, cause)| cause.contains("more than 20 names"));
        assert_eq!(is_told.count(), usize::from(text.starts_with("**")), "{text}");
    }
}

#[test]
fn a_folder_with_more_names_than_the_bound_gives_as_many_as_were_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let many: Vec<_> = (0..50).map(|number| format!("{number}.pem")).collect();
    write(&home, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let found = find(&pattern(&home, "*.pem"), bounds(30));
    assert!((25..=30).contains(&found.paths.len()), "{}", found.paths.len());
    assert_eq!(found.unreadable.len(), 1);
    let late = Bounds {
        deadline: Instant::now(),
        ..bounds(MAX_VISITED)
    };
    let many: Vec<_> = (50..300).map(|number| format!("{number}.pem")).collect();
    write(&home, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let found = find(&pattern(&home, "*.pem"), late);
    assert!(
        !found.paths.is_empty() && found.paths.len() < 100,
        "{}",
        found.paths.len()
    );
    assert!(
        found.unreadable[0].1.contains("takes too long"),
        "{:?}",
        found.unreadable
    );
}

#[test]
fn links_to_folders_above_the_search_are_not_followed() {
    let home = tempfile::tempdir().unwrap();
    write(
        &home,
        &["other/far.pem", "top/keys/a/near.pem", "beside/linked.pem"],
    );
    symlink("/", home.path().join("top/keys/a/root")).unwrap();
    symlink("../../..", home.path().join("top/keys/a/up")).unwrap();
    symlink(home.path().join("top"), home.path().join("top/keys/a/top")).unwrap();
    symlink(home.path().join("beside"), home.path().join("top/keys/a/beside")).unwrap();
    // Also where the way to the folder is a link itself.
    symlink("top/keys", home.path().join("way")).unwrap();
    for (start, near) in [("top/keys", "top/keys/a"), ("way", "way/a")] {
        let found = find(&pattern(&home, &format!("{start}/**/*.pem")), bounds(MAX_VISITED));
        assert_eq!(
            names(&home, &found),
            [format!("{near}/near.pem"), format!("{near}/beside/linked.pem")]
        );
        assert_eq!(found.unreadable, []);
    }
    let watched = folders_below(home.path().join("top/keys"), bounds(MAX_VISITED));
    assert_eq!(watched.len(), 3, "{watched:?}");
}

/// A folder that nobody can look into, root neither: its path is longer than paths may be.
fn unreachable(home: &TempDir) {
    let name = "n".repeat(250);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut folder = open(home.path(), flags, Mode::empty()).unwrap();
    for _ in 0..18 {
        mkdirat(&folder, &name, Mode::RWXU).unwrap();
        folder = openat(&folder, &name, flags, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_looked_into_is_reported_and_is_not_taken_for_one_without_files() {
    let home = tempfile::tempdir().unwrap();
    unreachable(&home);
    let pattern = pattern(&home, "**/*.pem");
    let found = find(&pattern, bounds(MAX_VISITED));
    assert_eq!((found.paths.len(), found.unreadable.len()), (0, 1));

    let settings = crate::source::FilesSettings {
        paths: vec![pattern.clone()],
    };
    let mut files = super::super::Files::new(&settings);
    let error = files.read().await.unwrap_err();
    assert_ne!(error.cause(), &crate::source::Cause::NoFiles);
    assert!(error.to_string().contains("too long"), "{error}");

    // Beside a good key, nothing is known to be absent.
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    fs::write(home.path().join("good.pem"), pem).unwrap();
    let listing = files.read().await.unwrap();
    assert_eq!((listing.keys.len(), listing.complete), (1, false));
}
