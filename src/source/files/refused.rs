//! Why a key file could not be read, with what to do about it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::FileError;
use crate::display;

/// The error of one file and its remedy.
pub(super) fn explain(path: &Path, error: &FileError) -> String {
    match error {
        FileError::Missing => {
            format!("{error}: put it there, or correct the path; it is picked up as soon as it appears")
        }
        FileError::Directory => format!("{error}: name the files in it, as in DIR/*.pem"),
        FileError::Late { .. } => format!("{error}: check the file system or network mount that it is on"),
        FileError::NotRegular(_) => format!("{error}: name a regular file"),
        FileError::TooLarge { .. } => {
            format!("{error}: name a file of public keys, which is never that large")
        }
        FileError::Io(reason) if reason == "permission denied" => denied(path),
        FileError::Io(_) => format!("{error}: check the file system that it is on"),
    }
}

/// The same of a folder that a glob leads to.
pub(super) fn explain_io(path: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return denied(path);
    }
    error.to_string()
}

/// Which user lacks which right, and what gives it. A private key's file is better left alone.
fn denied(path: &Path) -> String {
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let shown = display::shell_word(path);
    let (what, rights) = match std::fs::metadata(path) {
        Err(_) => {
            return format!(
                "permission denied: user {user} may not enter a folder on the way to it; give the folders the right \
                 x for group {group} or for all (chmod g+x or o+x), or put the file elsewhere"
            );
        }
        Ok(metadata) if metadata.is_dir() => (metadata, "g+rx"),
        Ok(metadata) => (metadata, "g+r"),
    };
    format!(
        "permission denied: this runs as user {user} and group {group}, and it is of user {}, group {}, with mode {:04o}. \
         Let the group read it (chgrp {group} {shown} && chmod {rights} {shown}), or give a copy of the public key \
         (openssl pkey -in {shown} -pubout where it is a private one)",
        what.uid(),
        what.gid(),
        what.mode() & 0o7777,
    )
}
