use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use super::*;

const ISSUER: &str = "https://oidc.example.com/prod";

/// A ledger is a sentence here; one text is not ours.
fn judge(bytes: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(bytes) {
        Ok("foreign") => Err(Fault::Refused("is the ledger of another issuer".into())),
        Ok(text) if text.ends_with('.') => Ok(text.to_owned()),
        _ => Err(Fault::Torn("its end is missing".into())),
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("ledgers")
    }

    /// What a process finds that starts now.
    fn start(&self) -> LedgerFile {
        Folder::open(&self.folder()).unwrap().ledger(ISSUER)
    }

    fn loaded(&self) -> Loaded<String> {
        self.start().load(judge).unwrap()
    }

    /// Writes these, one after the other.
    fn save(&self, ledgers: &[&str]) {
        let mut file = self.start();
        file.load(judge).unwrap();
        for ledger in ledgers {
            file.save(ledger.as_bytes()).unwrap();
        }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        let name = name::of(ISSUER);
        self.folder().join(format!("{name}.json{suffix}"))
    }

    /// Breaks a generation: its end is missing.
    fn cut(&self, suffix: &str) {
        let bytes = fs::read(self.path(suffix)).unwrap();
        fs::write(self.path(suffix), &bytes[..bytes.len() - 1]).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(name.split_once(".json")?.1.to_owned()))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_was_saved_is_loaded() {
    let place = Place::new();
    let nothing = Loaded {
        ledger: None,
        unusable: vec![],
    };
    assert_eq!(place.loaded(), nothing);
    place.save(&["one.", "two\nlines."]);
    assert_eq!(place.loaded().ledger.as_deref(), Some("two\nlines."));
    assert_eq!(place.names(), ["", ".previous"]);
    let mode = fs::metadata(place.path("")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn issuers_have_files_of_their_own() {
    let place = Place::new();
    place.save(&["one."]);
    let folder = Folder::open(&place.folder()).unwrap();
    let mut other = folder.ledger("https://oidc.example.com/prod/");
    assert_eq!(other.load(judge).unwrap().ledger, None);
}

#[test]
fn a_torn_file_gives_way_to_the_previous_generation_and_is_set_aside() {
    let place = Place::new();
    place.save(&["one.", "two."]);
    place.cut("");
    let loaded = place.loaded();
    assert_eq!(loaded.ledger.as_deref(), Some("one."));
    assert_eq!(loaded.unusable.len(), 1);
    let aside = place.path(".torn-1");
    assert_eq!(loaded.unusable[0].aside.as_deref(), Some(aside.as_path()));
    assert!(loaded.unusable[0].reason.contains("end is missing"));

    assert!(place.loaded().unusable.is_empty(), "reported once");
    place.save(&["three."]);
    assert_eq!(place.loaded().ledger.as_deref(), Some("three."));
    assert_eq!(place.names(), ["", ".previous", ".torn-1"]);
    place.cut("");
    assert_eq!(
        place.loaded().ledger.as_deref(),
        Some("one."),
        "no torn file ever took the place of a whole one"
    );
}

#[test]
fn where_no_generation_can_be_read_both_are_set_aside() {
    let place = Place::new();
    place.save(&["one.", "two."]);
    place.cut("");
    place.cut(".previous");
    let loaded = place.loaded();
    assert_eq!(loaded.ledger, None);
    assert_eq!(loaded.unusable.len(), 2);
    assert_eq!(place.names(), [".previous.torn-1", ".torn-1"]);
    assert!(place.loaded().unusable.is_empty());
}

#[test]
fn a_file_of_fifty_megabytes_is_set_aside_unread() {
    let place = Place::new();
    place.save(&["one.", "two."]);
    let file = fs::File::create(place.path("")).unwrap();
    file.set_len(50 << 20).unwrap();
    let loaded = place.loaded();
    assert_eq!(loaded.ledger.as_deref(), Some("one."));
    let reason = &loaded.unusable[0].reason;
    assert!(reason.contains("larger than"), "{reason}");
}

#[test]
fn a_foreign_or_newer_ledger_is_refused_and_left_alone() {
    let place = Place::new();
    place.save(&["one.", "foreign"]);
    let before = fs::read(place.path("")).unwrap();
    let mut file = place.start();
    let error = file.load(judge).unwrap_err();
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("of another issuer"), "{error}");
    file.save(b"three.").unwrap_err();
    drop(file);
    assert_eq!(fs::read(place.path("")).unwrap(), before);

    fs::rename(place.path(""), place.path(".previous")).unwrap();
    let error = place.start().load(judge).unwrap_err();
    assert!(
        matches!(error, LoadError::Refused { .. }),
        "nor as the previous one: {error}"
    );
}

#[test]
fn nothing_is_written_before_what_is_there_was_read() {
    let place = Place::new();
    place.start().save(b"one.").unwrap_err();
    assert_eq!(place.loaded().ledger, None);
}

#[test]
fn a_crash_between_the_two_renames_loses_nothing() {
    let place = Place::new();
    place.save(&["one.", "two."]);
    fs::rename(place.path(""), place.path(".previous")).unwrap();
    fs::write(place.path(".tmp"), "half writ").unwrap();
    assert_eq!(place.loaded().ledger.as_deref(), Some("two."));
    place.save(&["three."]);
    place.cut("");
    assert_eq!(
        place.loaded().ledger.as_deref(),
        Some("two."),
        "the one whole file was not replaced by nothing"
    );
}

#[test]
fn a_file_that_cannot_be_read_now_is_not_taken_for_none() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything.
        return;
    }
    let place = Place::new();
    place.save(&["one."]);
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o000)).unwrap();
    let error = place.start().load(judge).unwrap_err();
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
}

#[test]
fn what_root_writes_is_for_the_user_who_has_the_folder() {
    const SOMEONE: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give files away.
        return;
    }
    let place = Place::new();
    chown(place.0.path(), Some(SOMEONE), Some(SOMEONE)).unwrap();
    place.save(&["one.", "two."]);
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&place.folder()), SOMEONE);
    for file in ["", ".previous"] {
        assert_eq!(owner(&place.path(file)), SOMEONE, "{file}");
    }
    assert_eq!(owner(&place.folder().join("ledgers.lock")), SOMEONE);
    let within = Folder::open(&place.folder().join("made/anew")).unwrap();
    assert_eq!(owner(&place.folder().join("made")), SOMEONE);
    assert_eq!(owner(within.path()), SOMEONE);

    // The mount of a pod: the folder is root's, and what is in it the service's.
    chown(place.folder(), Some(0), None).unwrap();
    place.save(&["three.", "four."]);
    for file in ["", ".previous"] {
        assert_eq!(owner(&place.path(file)), SOMEONE, "{file}");
    }
}

#[test]
fn what_someone_removed_is_written_again() {
    let place = Place::new();
    let mut file = place.start();
    file.load(judge).unwrap();
    file.save(b"one.").unwrap();
    fs::remove_file(place.path("")).unwrap();
    file.save(b"two.").unwrap();
    fs::remove_dir_all(place.folder()).unwrap();
    file.save(b"three.").unwrap();
    let error = Folder::open(&place.folder()).unwrap_err();
    assert!(matches!(error, LockError::Locked { .. }), "locked again: {error}");
    drop(file);
    assert_eq!(place.loaded().ledger.as_deref(), Some("three."));
}

#[test]
fn nothing_is_written_or_given_away_through_a_link() {
    let place = Place::new();
    fs::create_dir(place.folder()).unwrap();
    let before = fs::metadata(place.0.path()).unwrap().uid();
    if before == 0 {
        chown(place.folder(), Some(65_534), None).unwrap();
    }
    let elsewhere = place.0.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    let is_as_it_was = || {
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
        assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), before);
    };
    symlink(&elsewhere, place.path(".tmp")).unwrap();
    place.save(&["one."]);
    is_as_it_was();
    assert_eq!(place.loaded().ledger.as_deref(), Some("one."));

    fs::remove_file(place.folder().join("ledgers.lock")).unwrap();
    symlink(&elsewhere, place.folder().join("ledgers.lock")).unwrap();
    Folder::open(&place.folder()).unwrap_err();
    is_as_it_was();
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let place = Place::new();
    let _file = place.start();
    let error = Folder::open(&place.folder()).unwrap_err().to_string();
    assert!(error.contains("in use by process"), "{error}");
}
