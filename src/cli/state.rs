//! The state folder: where it is, and that one process alone has it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::control::LOCK;
use crate::store::{FolderLock, LockError};

/// `$STATE_DIRECTORY` (systemd), else `$XDG_STATE_HOME/oidc-issuer`, else `~/.local/state/oidc-issuer`;
/// without a home `/var/lib/oidc-issuer`.
pub(super) fn folder(environment: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let absolute = |name| {
        environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // systemd separates several with colons.
    let systemd = environment("STATE_DIRECTORY")
        .and_then(|folders| first(&folders))
        .filter(|path| path.is_absolute());
    systemd
        .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join("oidc-issuer")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/oidc-issuer")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/oidc-issuer"))
}

fn first(folders: &OsStr) -> Option<PathBuf> {
    let first = folders.as_bytes().split(|byte| *byte == b':').next()?;
    Some(PathBuf::from(OsStr::from_bytes(first)))
}

/// Why the state folder cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the state folder {cause}{}", remedy(cause))]
pub(super) struct StateError {
    cause: LockError,
}

fn remedy(cause: &LockError) -> &'static str {
    match cause {
        LockError::Locked { .. } => ": stop that process, or name another folder with --state-dir",
        LockError::Unusable { .. } => "; name one that this user may write with --state-dir",
    }
}

/// Makes the folder (for this user alone) where it is missing, and locks it. Shared with the control socket, which makes the
/// folder again should it be removed.
pub(super) fn lock(folder: &Path) -> Result<Arc<Mutex<FolderLock>>, StateError> {
    let lock = FolderLock::take(folder, LOCK).map_err(|cause| StateError { cause })?;
    Ok(Arc::new(Mutex::new(lock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(variables: &[(&str, &str)]) -> PathBuf {
        folder(&|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_state_folder_is_systemds_else_xdgs_else_in_the_home() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("XDG_STATE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        assert_eq!(folder_with(&all), Path::new("/var/lib/a"));
        assert_eq!(folder_with(&all[1..]), Path::new("/xdg/oidc-issuer"));
        assert_eq!(
            folder_with(&all[2..]),
            Path::new("/home/me/.local/state/oidc-issuer")
        );
        assert_eq!(folder_with(&[]), Path::new("/var/lib/oidc-issuer"));
        assert_eq!(
            folder_with(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Path::new("/h/.local/state/oidc-issuer")
        );
    }

    #[test]
    fn a_state_folder_whose_name_is_not_utf_8_is_taken_as_it_is() {
        let bytes = |text: &[u8]| OsStr::from_bytes(text).to_owned();
        for (variable, value, folder) in [
            ("STATE_DIRECTORY", &b"/s/\xff:/t"[..], &b"/s/\xff"[..]),
            ("XDG_STATE_HOME", b"/x/\xff", b"/x/\xff/oidc-issuer"),
            ("HOME", b"/h/\xff", b"/h/\xff/.local/state/oidc-issuer"),
        ] {
            let found = super::folder(&|name| (name == variable).then(|| bytes(value)));
            assert_eq!(found, Path::new(&bytes(folder)));
        }
    }

    #[test]
    fn a_second_holder_is_told_who_has_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let held = lock(&folder).unwrap();
        let error = lock(&folder).unwrap_err();
        let told = format!("in use by process {}", std::process::id());
        assert!(error.to_string().contains(&told), "{error}");
        drop(held);
        lock(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = lock(&file.path().join("state")).unwrap_err();
        assert!(error.to_string().contains("cannot be made"), "{error}");
    }
}
