//! Writing to the terminal. What others wrote is escaped here, whatever it went through before; a reader that went away
//! (`| head`) is no error.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::logging;
use crate::display;

/// Writes to standard output; the text has its own line ends.
pub(super) fn say(text: impl fmt::Display) -> io::Result<()> {
    write(&display::lines(&text.to_string()))
}

/// Writes JSON to standard output.
pub(super) fn say_json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write(&display::json(&(text + "\n")))
}

/// Writes a line to standard error; if even that fails there is nobody to tell.
pub(super) fn complain(text: impl fmt::Display) {
    logging::write_error(&(display::line(&text.to_string()) + "\n"));
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}
