//! The files that a request needs: which setting names them, and how long it waits for them.

use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Cause, Phase};
use crate::display;
use crate::fs::{self, Ended, panic_message};

/// A file that a request needs, named by its setting.
pub(super) fn read_setting(
    what: &'static str,
    path: &Path,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Cause> {
    fs::read(path, limit).map_err(|error| unusable(what, path, error.to_string()))
}

/// A setting's file that cannot be used.
pub(super) fn unusable(what: &'static str, path: &Path, reason: String) -> Cause {
    Cause::File {
        what,
        path: display::path(path),
        reason,
    }
}

/// The bearer token in a file: one line of visible ASCII.
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<String>, Cause> {
    const WHAT: &str = "tokenFile";
    let bytes = read_setting(WHAT, path, 64 << 10)?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(unusable(WHAT, path, "it is empty".into()));
    }
    match std::str::from_utf8(token) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Zeroizing::new(token.to_owned()))
        }
        _ => Err(unusable(
            WHAT,
            path,
            "it is not a token: one line without spaces is expected".into(),
        )),
    }
}

/// File reading, bounded in time; what takes longer is told with its phase.
#[derive(Debug)]
pub(crate) struct Blocking<T>(fs::Blocking<T>);

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self(fs::Blocking::default())
    }
}

impl<T: Send + 'static> Blocking<T> {
    pub(crate) async fn run(
        &mut self,
        phase: Phase,
        after: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Cause> {
        let done = self.0.run(after, work).await;
        done.map_err(|ended| match ended {
            Ended::Late => Cause::Timeout { phase, after },
            Ended::Panicked(error) => Cause::Internal {
                reason: panic_message(error),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_visible_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let reads = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_token(&path)
                .map(|token| token.to_string())
                .map_err(|cause| cause.to_string())
        };
        assert_eq!(reads("abc.def\n"), Ok("abc.def".into()));
        assert!(reads(" \n").unwrap_err().ends_with("it is empty"));
        let error = reads("secret one\ntwo").unwrap_err();
        assert!(
            error.contains("not a token") && !error.contains("secret"),
            "{error}"
        );
    }
}
