//! The file of `keys import`: read here, so that no private half of a key goes anywhere.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use zeroize::Zeroizing;

use crate::control::Refused;
use crate::key::{self, Parsed};

/// The publishable keys of the file as a JWKS document, and its other entries.
pub(super) fn read(file: &Path) -> anyhow::Result<(String, Vec<Refused>)> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let bytes = bytes(file).with_context(|| format!("{name} cannot be read"))?;
    if bytes.len() > key::MAX_BYTES {
        return Err(anyhow!("{name} is larger than {} bytes", key::MAX_BYTES));
    }
    let Parsed { keys, quarantined } = key::parse_file(&bytes).with_context(|| name.clone())?;
    let jwks: Vec<_> = keys.iter().map(key::PublicKey::jwk).collect();
    let refused = quarantined.iter().map(Refused::from).collect();
    Ok((format!("{{\"keys\":[{}]}}", jwks.join(",")), refused))
}

fn bytes(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = key::MAX_BYTES as u64 + 1;
    // Of a size from the start: a copy that grew would leave pieces behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(key::MAX_BYTES + 1));
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
