//! Writing to the terminal; a reader that went away (`| head`) is no error.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard output.
pub(super) fn say(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Writes a line to standard error; if even that fails there is nobody to tell.
pub(super) fn complain(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
