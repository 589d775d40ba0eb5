use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// A public key in PEM, and its `kid`.
fn pem() -> (String, String) {
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let kid = parse_file(pem.as_bytes()).unwrap().keys[0].kid().to_owned();
    (pem, kid)
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a new key to a file, and tells its `kid`.
    fn key(&self, name: &str) -> String {
        let (pem, kid) = pem();
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), pem).unwrap();
        kid
    }

    fn source(&self, patterns: &[&str]) -> Files {
        let paths = patterns
            .iter()
            .map(|pattern| self.at(pattern).display().to_string())
            .collect();
        Files::new(&FilesSettings { paths })
    }
}

fn kids(listing: &Listing) -> BTreeSet<&str> {
    listing.keys.iter().map(crate::key::PublicKey::kid).collect()
}

async fn assert_changes(source: &mut Files, what: &str) {
    let changed = tokio::time::timeout(Duration::from_secs(10), source.changed()).await;
    assert!(changed.is_ok(), "{what} was not seen");
}

#[tokio::test]
async fn one_bad_file_never_costs_the_others() {
    let folder = Folder::new();
    let good = folder.key("good.pem");
    fs::write(folder.at("empty.pem"), "").unwrap();
    fs::write(folder.at("foreign.pem"), "a shopping list").unwrap();
    fs::create_dir(folder.at("folder.pem")).unwrap();
    symlink("/nonexistent", folder.at("dangling.pem")).unwrap();

    let listing = folder.source(&["*.pem", "missing.pem"]).read().await.unwrap();
    assert_eq!(kids(&listing), BTreeSet::from([good.as_str()]));
    let held: BTreeSet<_> = listing
        .quarantined
        .iter()
        .map(|entry| {
            (
                Path::new(&entry.entry).file_name().unwrap().to_str().unwrap(),
                entry.reason.label(),
            )
        })
        .collect();
    let expected = [
        ("empty.pem", "not_a_key_file"),
        ("foreign.pem", "not_a_key_file"),
        ("missing.pem", "unreadable"),
    ];
    assert_eq!(held, BTreeSet::from(expected));
    assert!(listing.complete, "none of these can hide a key");
}

#[tokio::test]
async fn an_unreadable_file_says_nothing_about_absence_but_a_removed_one_does() {
    let folder = Folder::new();
    let good = folder.key("good.pem");
    folder.key("other.pem");
    let mut source = folder.source(&["*.pem"]);
    assert_eq!(source.read().await.unwrap().keys.len(), 2);

    fs::write(folder.at("other.pem"), vec![b' '; key::MAX_BYTES + 1]).unwrap();
    let listing = source.read().await.unwrap();
    assert_eq!(
        (kids(&listing), listing.complete),
        (BTreeSet::from([good.as_str()]), false)
    );

    fs::remove_file(folder.at("other.pem")).unwrap();
    assert!(source.read().await.unwrap().complete);
}

#[tokio::test]
async fn files_of_another_kind_are_not_waited_for() {
    let folder = Folder::new();
    folder.key("good.pem");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.at("fifo.pem"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let listing = folder.source(&["*.pem"]).read().await.unwrap();
    assert_eq!(listing.keys.len(), 1);
    assert!(
        listing.quarantined[0].reason.to_string().contains("a FIFO"),
        "{listing:?}"
    );

    let error = folder.source(&["fifo.pem"]).read().await.unwrap_err();
    assert_eq!(error.label(), "no_keys");
    let error = Files::new(&FilesSettings {
        paths: vec!["/dev/zero".into()],
    })
    .read()
    .await
    .unwrap_err();
    assert!(error.to_string().contains("a device"), "{error}");
}

#[tokio::test]
async fn no_file_at_all_is_a_failed_read_that_names_the_paths() {
    let folder = Folder::new();
    let error = folder.source(&["keys/*.pem"]).read().await.unwrap_err();
    assert_eq!((error.cause(), error.label()), (&Cause::NoFiles, "no_keys"));
    assert!(error.to_string().contains("keys/*.pem"), "{error}");
    let error = folder.source(&["a.pem"]).read().await.unwrap_err();
    assert_eq!(error.cause(), &Cause::NoFiles);
}

#[tokio::test]
async fn a_name_with_brackets_is_taken_as_it_is_if_it_is_there() {
    let folder = Folder::new();
    let kid = folder.key("key[1].pem");
    let listing = folder.source(&["key[1].pem"]).read().await.unwrap();
    assert_eq!(kids(&listing), BTreeSet::from([kid.as_str()]));
}

#[tokio::test]
async fn the_same_key_in_two_files_is_listed_once() {
    let folder = Folder::new();
    folder.key("a.pem");
    fs::copy(folder.at("a.pem"), folder.at("b.pem")).unwrap();
    assert_eq!(
        folder
            .source(&["*.pem", "a.pem"])
            .read()
            .await
            .unwrap()
            .keys
            .len(),
        1
    );
}

#[tokio::test]
async fn the_number_of_files_is_bounded() {
    let folder = Folder::new();
    folder.key("0.pem");
    for index in 1..=MAX_FILES {
        fs::write(folder.at(&format!("{index}.pem")), "").unwrap();
    }
    let listing = folder.source(&["*.pem"]).read().await.unwrap();
    assert!(!listing.complete);
    assert!(
        listing
            .quarantined
            .last()
            .unwrap()
            .reason
            .to_string()
            .contains("more than 1000")
    );
}

#[tokio::test]
async fn a_changed_a_new_and_a_removed_file_are_seen() {
    let folder = Folder::new();
    folder.key("a.pem");
    let mut source = folder.source(&["*.pem"]);
    source.read().await.unwrap();

    let changed = folder.key("a.pem");
    assert_changes(&mut source, "a changed file").await;
    assert_eq!(
        kids(&source.read().await.unwrap()),
        BTreeSet::from([changed.as_str()])
    );

    let added = folder.key("b.pem");
    assert_changes(&mut source, "a new file").await;
    assert!(kids(&source.read().await.unwrap()).contains(added.as_str()));

    fs::remove_file(folder.at("b.pem")).unwrap();
    assert_changes(&mut source, "a removed file").await;

    fs::set_permissions(folder.at("a.pem"), fs::Permissions::from_mode(0o400)).unwrap();
    assert_changes(&mut source, "a change of permissions").await;
}

#[tokio::test]
async fn reading_is_not_a_change() {
    let folder = Folder::new();
    folder.key("a.pem");
    let mut source = folder.source(&["*.pem"]);
    for _ in 0..3 {
        source.read().await.unwrap();
    }
    // Events are told by a thread of their own: a change that comes later is told after all that were before it.
    folder.key("unrelated/b.pem");
    let _ = tokio::time::timeout(Duration::from_secs(10), source.changed()).await;
    source.read().await.unwrap();
    let again = tokio::time::timeout(Duration::from_millis(300), source.changed()).await;
    assert!(again.is_err(), "a reading led to the next one");
}

#[tokio::test]
async fn the_swap_of_a_mounted_secret_is_seen() {
    let folder = Folder::new();
    folder.key("..2026_01/sa.pub");
    symlink("..2026_01", folder.at("..data")).unwrap();
    symlink("..data/sa.pub", folder.at("sa.pub")).unwrap();
    let mut source = folder.source(&["*.pub"]);
    assert_eq!(source.read().await.unwrap().keys.len(), 1);

    for round in 2..5 {
        let kid = folder.key(&format!("..2026_0{round}/sa.pub"));
        symlink(format!("..2026_0{round}"), folder.at("..data_tmp")).unwrap();
        fs::rename(folder.at("..data_tmp"), folder.at("..data")).unwrap();
        fs::remove_dir_all(folder.at(&format!("..2026_0{}", round - 1))).unwrap();
        assert_changes(&mut source, "a swap").await;
        assert_eq!(
            kids(&source.read().await.unwrap()),
            BTreeSet::from([kid.as_str()])
        );
    }
}

#[tokio::test]
async fn a_folder_that_comes_later_is_seen() {
    let folder = Folder::new();
    let mut source = folder.source(&["a/b/*.pem"]);
    source.read().await.unwrap_err();

    fs::create_dir(folder.at("a")).unwrap();
    assert_changes(&mut source, "the outer folder").await;
    source.read().await.unwrap_err();
    let kid = folder.key("a/b/key.pem");
    assert_changes(&mut source, "the inner folder").await;
    assert_eq!(
        kids(&source.read().await.unwrap()),
        BTreeSet::from([kid.as_str()])
    );

    fs::remove_dir_all(folder.at("a")).unwrap();
    assert_changes(&mut source, "the removal of a folder").await;
    source.read().await.unwrap_err();
    let kid = folder.key("a/b/key.pem");
    assert_changes(&mut source, "a folder made anew").await;
    assert_eq!(
        kids(&source.read().await.unwrap()),
        BTreeSet::from([kid.as_str()])
    );
    let kid = folder.key("a/b/key.pem");
    assert_changes(&mut source, "a change in a folder made anew").await;
    assert_eq!(
        kids(&source.read().await.unwrap()),
        BTreeSet::from([kid.as_str()])
    );
}

#[tokio::test]
async fn folders_by_glob_and_the_targets_of_links_are_watched() {
    let folder = Folder::new();
    folder.key("clusters/a/sa.pub");
    folder.key("elsewhere/linked.pub");
    fs::create_dir(folder.at("clusters/b")).unwrap();
    symlink(folder.at("elsewhere/linked.pub"), folder.at("clusters/b/sa.pub")).unwrap();
    let mut source = folder.source(&["clusters/*/sa.pub", "deep/**/x.pub"]);
    assert_eq!(source.read().await.unwrap().keys.len(), 2);

    folder.key("clusters/a/sa.pub");
    assert_changes(&mut source, "a file in a folder by glob").await;
    folder.key("elsewhere/linked.pub");
    assert_changes(&mut source, "the target of a link").await;
    folder.key("clusters/c/sa.pub");
    assert_changes(&mut source, "a new folder by glob").await;
    assert_eq!(source.read().await.unwrap().keys.len(), 3);
    fs::create_dir_all(folder.at("deep/1/2/3")).unwrap();
    assert_changes(&mut source, "the base of a deep glob").await;
    source.read().await.unwrap();
    folder.key("deep/1/2/3/x.pub");
    assert_changes(&mut source, "a file deep below").await;
    assert_eq!(source.read().await.unwrap().keys.len(), 4);
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_harms_nothing_and_is_read_where_it_matches() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let good = folder.key("keys/a.pem");
    let bytes = |name: &[u8]| folder.at("keys").join(OsStr::from_bytes(name));
    fs::write(bytes(b"caf\xe9.txt"), "").unwrap();
    fs::create_dir(bytes(b"caf\xe9")).unwrap();
    let listing = folder.source(&["keys/*.pem"]).read().await.unwrap();
    assert_eq!(
        (kids(&listing), listing.complete),
        (BTreeSet::from([good.as_str()]), true)
    );

    let (pem, kid) = pem();
    fs::write(bytes(b"caf\xe9.pem"), &pem).unwrap();
    let (below, deep) = self::pem();
    fs::write(bytes(b"caf\xe9").join("b.pem"), &below).unwrap();
    fs::write(bytes(b"\xff.pem"), "no key").unwrap();
    let listing = folder.source(&["keys/**/*.pem"]).read().await.unwrap();
    assert_eq!(kids(&listing), BTreeSet::from([&*good, &*kid, &*deep]));
    assert!(
        listing.quarantined[0].entry.ends_with("keys/\\xff.pem"),
        "{listing:?}"
    );
}

#[tokio::test]
async fn links_upwards_are_not_followed_twice_and_cost_the_other_paths_nothing() {
    let folder = Folder::new();
    let literal = folder.key("sa.pub");
    let deep = folder.key("keys/a/b/deep.pem");
    symlink(folder.at("keys"), folder.at("keys/a/b/up")).unwrap();
    symlink(folder.at("keys"), folder.at("keys/a/up")).unwrap();
    symlink("circle", folder.at("keys/circle")).unwrap();
    fs::hard_link(folder.at("keys/a/b/deep.pem"), folder.at("keys/again.pem")).unwrap();
    let listing = folder
        .source(&["sa.pub", "keys/**/*.pem", "keys/**/**/*.none"])
        .read()
        .await
        .unwrap();
    assert_eq!(kids(&listing), BTreeSet::from([&*literal, &*deep]));
    assert!(listing.complete && listing.quarantined.is_empty(), "{listing:?}");
}

#[test]
fn what_lies_beyond_the_bound_of_a_search_is_told_and_not_absent() {
    let folder = Folder::new();
    for index in 0..20 {
        folder.key(&format!("keys/{index}/a.pem"));
    }
    let pattern = folder.at("keys/**/*.pem").display().to_string();
    let bounds = Bounds {
        visited: 10,
        ..Bounds::new(MAX_FILES, Duration::from_mins(1))
    };
    let found = walk::find(&pattern, bounds);
    assert!(
        found.unreadable.len() == 1 && found.unreadable[0].0 == Path::new(&pattern),
        "{found:?}"
    );
    assert!(found.unreadable[0].1.contains("more than 10 names"), "{found:?}");
    let late = Bounds::new(MAX_FILES, Duration::ZERO);
    assert!(
        walk::find(&pattern, late).unreadable[0]
            .1
            .contains("takes too long")
    );
}

#[test]
fn the_bound_of_one_pattern_does_not_cost_another() {
    let folder = Folder::new();
    folder.key("keys/a.pem");
    let at = |name: &str| folder.at(name).display().to_string();
    let found = expand(&[at("[.pem"), at("keys/*.pem"), at("keys/none/*")]);
    assert_eq!(found.paths.len(), 1);
    assert!(found.unreadable[0].1.starts_with("not a glob"), "{found:?}");
}
