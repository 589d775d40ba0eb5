//! One line for each command that changes something, and for each that was refused: in the log (target `audit`, whatever
//! its level), and in a file that is only ever appended to, if there is to be one.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::display;

/// A disk that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where commands are written down.
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<PathBuf>,
}

/// One command, and what came of it: a line of the file as it is, with its members in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was given.
    pub time: Timestamp,
    /// By whom.
    pub by: String,
    /// Which way: `socket`, `mutual TLS from 10.0.0.9:51234`, `store`.
    pub via: String,
    /// To which issuer; as it was named where there is no such issuer.
    pub issuer: Option<String>,
    /// `revoke`, `unrevoke`, `approve`, `import`.
    pub command: String,
    /// The key as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The kids that were hit.
    pub kids: Vec<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the last published key was to be taken too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// `done`, `denied`, or `failed`: then nobody knows whether it was carried out.
    pub outcome: String,
    /// Why it was not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Audit {
    /// In the log, and in this file if there is to be one.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Whether the file can be written, without writing anything. `Err` names the file, the cause and the remedy.
    pub async fn check(&self) -> Result<(), String> {
        self.append(Cow::Borrowed("")).await
    }

    /// Writes an entry down. `Err`: it is in the log alone.
    pub async fn record(&self, entry: &Entry) -> Result<(), String> {
        entry.log();
        let line = serde_json::to_string(entry).map_err(|error| error.to_string())?;
        let appended = self.append(display::json(&line) + "\n").await;
        if let Err(reason) = &appended {
            tracing::error!("a command is in the log alone: {reason}");
        }
        appended
    }

    async fn append(&self, line: Cow<'_, str>) -> Result<(), String> {
        let Some(path) = self.file.clone() else {
            return Ok(());
        };
        let name = display::path(&path);
        let line = line.into_owned();
        // It may hang: a FIFO, a network mount.
        let written = tokio::task::spawn_blocking(move || {
            // Anew each time: it may have been rotated.
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)?;
            if line.is_empty() {
                return Ok(());
            }
            // At once: what several processes append at the same time does not mingle.
            file.write_all(line.as_bytes())?;
            file.sync_all()
        });
        let why: io::Result<()> = match tokio::time::timeout(PATIENCE, written).await {
            Err(_) => Err(io::Error::other(format!(
                "not within {} s; a FIFO that nobody reads, a network mount that hangs?",
                PATIENCE.as_secs()
            ))),
            Ok(written) => written.unwrap_or_else(|error| Err(io::Error::other(error))),
        };
        why.map_err(|error| {
            format!(
                "the audit file {name} cannot be written: {error}; check audit.file, its folder and its owner"
            )
        })
    }
}

impl Entry {
    fn log(&self) {
        let Self {
            by,
            via,
            command,
            outcome,
            force,
            ..
        } = self;
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let key = self.key.as_deref().unwrap_or_default();
        let reason = self.reason.as_deref().unwrap_or_default();
        let message = self.message.as_deref().unwrap_or_default();
        let kids = self.kids.join(" ");
        let what = match (key, kids.as_str()) {
            ("", "") => "nothing".to_owned(),
            ("", kids) => kids.to_owned(),
            (key, _) => key.to_owned(),
        };
        let why = match (message, reason) {
            ("", "") => String::new(),
            ("", reason) => format!(": {reason}"),
            (message, _) => format!(": {message}"),
        };
        tracing::info!(
            target: "audit",
            issuer, command, key, kids, by, via, reason, force, outcome,
            "audit: {command} {what} by {by}, {outcome}{why}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entry() -> Entry {
        Entry {
            time: Timestamp::UNIX_EPOCH,
            by: "root on node-a".into(),
            via: "socket".into(),
            issuer: Some("https://a.example".into()),
            command: "revoke".into(),
            key: Some("k".into()),
            kids: vec!["k".into()],
            reason: Some("leaked".into()),
            force: false,
            outcome: "done".into(),
            message: None,
        }
    }

    #[tokio::test]
    async fn lines_are_appended_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::new(Some(path.clone()));
        audit.check().await.unwrap();
        for _ in 0..2 {
            audit.record(&entry()).await.unwrap();
        }
        let line = r#"{"time":"1970-01-01T00:00:00Z","by":"root on node-a","via":"socket","issuer":"https://a.example","command":"revoke","key":"k","kids":["k"],"reason":"leaked","outcome":"done"}"#;
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written.lines().collect::<Vec<_>>(), [line, line]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(Some(folder.path().to_owned()));
        let told = audit.record(&entry()).await.unwrap_err();
        assert!(told.contains(&*folder.path().to_string_lossy()), "{told}");
        assert_eq!(Audit::default().record(&entry()).await, Ok(()));
    }
}
