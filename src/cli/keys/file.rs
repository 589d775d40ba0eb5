//! The file of `keys import`: read here, so that no private half of a key goes anywhere.

use std::path::Path;

use anyhow::Context;

use crate::control::Refused;
use crate::display;
use crate::fs;
use crate::key::{self, Parsed};

/// The publishable keys of the file as a JWKS document, and its other entries.
pub(super) fn read(file: &Path) -> anyhow::Result<(String, Vec<Refused>)> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        display::path(file)
    };
    let bytes = if file == Path::new("-") {
        fs::read_stdin(key::MAX_BYTES)
    } else {
        fs::read_soon(file, key::MAX_BYTES)
    };
    let bytes = bytes.with_context(|| format!("{name} cannot be read"))?;
    let Parsed { keys, quarantined } = key::parse_file(&bytes).with_context(|| name.clone())?;
    let jwks: Vec<_> = keys.iter().map(key::PublicKey::jwk).collect();
    let refused = quarantined.iter().map(Refused::from).collect();
    Ok((format!("{{\"keys\":[{}]}}", jwks.join(",")), refused))
}
