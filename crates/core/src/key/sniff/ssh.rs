//! Keys as SSH programs write them (RFC 4253 section 6.6, RFC 4716, `OpenSSH`, `PuTTY`).

use super::{Foreign, Way};
use crate::key::material::Material;
use crate::key::{Reason, pem};

const OPENSSH: &str = "ssh-keygen -e -m PKCS8 -f FILE";
const RFC4716: &str = "ssh-keygen -i -f FILE | ssh-keygen -e -m PKCS8 -f /dev/stdin";
/// The public half stands in the file; what `puttygen -L` prints is put together from it.
const PUTTY: &str = "{ sed -n '1s/.*: *//p' FILE | tr -d '\\r\\n'; printf ' '; sed -n '/^Public-Lines/,/^Private-Lines/p' FILE | sed '/Lines/d' | tr -d '\\r\\n'; } | ssh-keygen -e -m PKCS8 -f /dev/stdin";

/// A public key on one line, as in `id_rsa.pub` and `authorized_keys`.
pub(super) fn line(text: &str) -> Option<Foreign> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| !is_type(word));
    let kind = words.next()?;
    let way = match words.next().and_then(|blob| pem::decode(blob.as_bytes()).ok()) {
        Some(blob) => way(&blob, kind, OPENSSH),
        None => way(&[], kind, OPENSSH),
    };
    Some(Foreign {
        what: "an OpenSSH public key",
        way,
    })
}

/// The format of SSH.com, and what `PuTTY` keeps.
pub(super) fn block(text: &str) -> Option<Foreign> {
    if text.starts_with("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY") {
        return Some(Foreign {
            what: "a private key of SSH.com",
            way: Way::Never("give its public key instead".to_owned()),
        });
    }
    if text.starts_with("---- BEGIN SSH2") {
        // Headers have a colon; one goes on in the next line after a backslash.
        let mut goes_on = false;
        let body: String = text
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with("----"))
            .filter(|line| {
                let is_header = goes_on || line.contains(':');
                goes_on = is_header && line.ends_with('\\');
                !is_header
            })
            .collect();
        return Some(Foreign {
            what: "an SSH public key (RFC 4716)",
            way: way(&pem::decode(body.as_bytes()).ok()?, "", RFC4716),
        });
    }
    let kind = text.strip_prefix("PuTTY-User-Key-File-")?;
    let kind = kind.lines().next()?.split_once(':')?.1.trim();
    let public = text
        .lines()
        .skip_while(|line| !line.starts_with("Public-Lines:"))
        .skip(1);
    let body: String = public
        .take_while(|line| !line.contains(':'))
        .map(str::trim)
        .collect();
    Some(Foreign {
        what: "a key file of PuTTY",
        way: match pem::decode(body.as_bytes()) {
            Ok(blob) => way(&blob, kind, PUTTY),
            Err(_) => way(&[], kind, PUTTY),
        },
    })
}

/// Why the key in a private key file of OpenSSH cannot be published, from its public half; `None` where it can be, or
/// is not understood.
pub(in crate::key) fn unpublishable(octets: &[u8]) -> Option<Reason> {
    let mut rest = octets.strip_prefix(b"openssh-key-v1\0")?;
    for _cipher_kdf_options in 0..3 {
        string(&mut rest)?;
    }
    rest = rest.get(4..)?;
    check(string(&mut rest)?, "").err()
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|start| word.starts_with(start))
}

fn way(blob: &[u8], kind: &str, command: &'static str) -> Way {
    check(blob, kind).map_or_else(Way::from, |()| Way::Command(command))
}

/// Whether a key in the form of SSH may be published; `kind` is what stands beside it.
fn check(blob: &[u8], kind: &str) -> Result<(), Reason> {
    let mut rest = blob;
    let named = string(&mut rest).and_then(|name| std::str::from_utf8(name).ok());
    let key_type = match named.unwrap_or(kind) {
        "ssh-rsa" => {
            let numbers = string(&mut rest).zip(string(&mut rest));
            return numbers.map_or(Ok(()), |(e, n)| {
                Material::rsa(without_zeros(n), without_zeros(e)).map(drop)
            });
        }
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => return Ok(()),
        "ssh-ed25519" => "Ed25519",
        "ssh-ed448" => "Ed448",
        "ssh-dss" => "DSA",
        name if name.contains("-cert-v01@") => "an OpenSSH certificate",
        name if name.starts_with("sk-") => "a key of a security token",
        _ => "an SSH key of another type",
    };
    Err(Reason::KeyType {
        key_type: key_type.to_owned(),
    })
}

/// A string of RFC 4251 section 5.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (found, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(found)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    &number[zeros..]
}
