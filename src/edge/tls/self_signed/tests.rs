use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// `tls` does not exist yet.
    fn path(&self) -> PathBuf {
        self.0.path().join("state/tls")
    }

    fn open(&self, names: &[&str], now: Timestamp) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        open(&self.path(), &names, now).unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }
}

fn day(day: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * day)
}

fn leaf(pair: &Pair) -> Vec<u8> {
    pair.certified.end_entity_cert().unwrap().to_vec()
}

#[test]
fn what_was_made_is_used_again() {
    let folder = Folder::new();
    let first = folder.open(&[], day(0));
    let files = [CA, CA_KEY, CERT, KEY].map(|name| folder.read(name));
    assert_eq!(leaf(&folder.open(&[], day(1))), leaf(&first));
    assert_eq!([CA, CA_KEY, CERT, KEY].map(|name| folder.read(name)), files);
    assert_eq!(folder.path().read_dir().unwrap().count(), 4);
}

#[test]
fn private_keys_are_for_this_user_alone() {
    let folder = Folder::new();
    folder.open(&[], day(0));
    for (name, mode) in [(CA, 0o644), (CERT, 0o644), (CA_KEY, 0o600), (KEY, 0o600)] {
        let found = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn it_lives_90_days_and_its_authority_10_years() {
    let folder = Folder::new();
    let pair = folder.open(&[], day(0));
    assert_eq!(
        pair.not_after.duration_since(pair.not_before),
        SignedDuration::from_hours(90 * 24)
    );
    let ca = read_certificate(&folder.path().join(CA)).unwrap();
    let ca = parse(&ca).unwrap();
    let life = timestamp(ca.validity().not_after).duration_since(timestamp(ca.validity().not_before));
    assert_eq!(life, SignedDuration::from_hours(3650 * 24));
    assert!(ca.is_ca());
}

#[test]
fn it_is_renewed_after_two_thirds_of_its_life_by_the_same_authority() {
    let folder = Folder::new();
    let first = folder.open(&[], day(0));
    let (ca, key) = (folder.read(CA), folder.read(KEY));
    assert_eq!(leaf(&folder.open(&[], day(59))), leaf(&first));
    let second = folder.open(&[], day(60));
    assert_ne!(leaf(&second), leaf(&first));
    assert_ne!(folder.read(KEY), key);
    assert_eq!(folder.read(CA), ca);
    // Even if nobody looked for a year.
    assert!(folder.open(&[], day(400)).not_after > day(450));
    assert_eq!(folder.read(CA), ca);
}

#[test]
fn other_names_are_another_certificate_by_the_same_authority() {
    let folder = Folder::new();
    let first = folder.open(&["oidc.example.com"], day(0));
    let ca = folder.read(CA);
    let parsed = leaf(&first);
    let parsed = parse_names(&parsed);
    assert_eq!(parsed, ["127.0.0.1", "::1", "localhost", "oidc.example.com"]);
    // Other spellings and another order are the same names.
    let same = folder.open(&["0:0:0:0:0:0:0:1", "OIDC.example.com.", "localhost"], day(1));
    assert_eq!(leaf(&same), leaf(&first));
    let other = folder.open(&["10.1.2.3"], day(1));
    assert_eq!(
        parse_names(&leaf(&other)),
        ["10.1.2.3", "127.0.0.1", "::1", "localhost"]
    );
    assert_eq!(folder.read(CA), ca);
}

fn parse_names(der: &[u8]) -> Vec<String> {
    let der = CertificateDer::from(der.to_vec());
    names_of(&parse(&der).unwrap()).into_iter().collect()
}

#[test]
fn what_is_broken_is_made_anew() {
    let folder = Folder::new();
    for (broken, ca_stays) in [(CERT, true), (KEY, true), (CA, false)] {
        let first = folder.open(&[], day(0));
        let ca = folder.read(CA);
        std::fs::write(folder.path().join(broken), "torn").unwrap();
        assert_ne!(leaf(&folder.open(&[], day(0))), leaf(&first), "{broken}");
        assert_eq!(folder.read(CA) == ca, ca_stays, "{broken}");
    }
}

#[test]
fn a_lost_ca_key_matters_only_at_the_next_renewal() {
    let folder = Folder::new();
    let first = folder.open(&[], day(0));
    let ca = folder.read(CA);
    std::fs::remove_file(folder.path().join(CA_KEY)).unwrap();
    assert_eq!(leaf(&folder.open(&[], day(1))), leaf(&first));
    folder.open(&[], day(70));
    assert_ne!(folder.read(CA), ca);
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(&file.path().join("tls"), &[], day(0)).unwrap_err();
    assert!(!error.is_configuration());
    let error = error.to_string();
    assert!(error.starts_with(&format!(
        "cannot keep a self-signed certificate in {}/tls: ",
        file.path().display()
    )));
    assert!(error.ends_with("or give a certificate and its key"), "{error}");
}

#[test]
fn a_name_that_no_certificate_can_hold_is_refused() {
    let folder = Folder::new();
    assert!(open(&folder.path(), &["h\u{f6}st".to_owned()], day(0)).is_err());
}
