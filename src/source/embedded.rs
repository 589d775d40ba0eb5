//! A signing key of our own: for trying the service, and for tests. Not for production.

mod token;

use std::fmt;
use std::fs::{DirBuilder, OpenOptions, hard_link, remove_file, rename};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Asked, EmbeddedSettings, ReadError};
use crate::client::{Blocking, Cause, Phase};
use crate::display;
use crate::fs::{self, FileError};
use crate::key::{PublicKey, parse_file};
use crate::pem;
use crate::ring::Listing;

pub use token::PodToken;

/// The private key, PKCS#8 in PEM, mode 0600.
const FILE: &str = "signing.key";

/// Signs with the embedded key. RS256: every verifier knows it.
pub struct Signer {
    public: PublicKey,
    key: KeyPair,
}

/// Why the embedded key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// There is none yet.
    #[error(
        "there is no embedded key in {}: start `oidc-issuer serve` once, with the same state folder, to make one",
        display::path(folder)
    )]
    Missing {
        /// The folder looked in.
        folder: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the embedded key {} cannot be {verb}: {reason}", display::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        reason: String,
    },
    /// The file is not a key that this program made.
    #[error(
        "{} is not an RSA key as this program makes it ({reason}): move it away, and a new one is made at the next start",
        display::path(path)
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key could not be made, or the signature failed.
    #[error("{0}")]
    Crypto(&'static str),
}

impl Signer {
    /// Opens the key in `folder`; it must be there.
    pub fn open(folder: &Path) -> Result<Self, EmbeddedError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path, 64 << 10) {
            Ok(text) => text,
            Err(FileError::Missing) => {
                return Err(EmbeddedError::Missing {
                    folder: folder.to_owned(),
                });
            }
            Err(error) => {
                return Err(EmbeddedError::File {
                    path,
                    verb: "read",
                    reason: error.to_string(),
                });
            }
        };
        let not_a_key = |reason: String| EmbeddedError::NotAKey {
            path: path.clone(),
            reason,
        };
        let mut parsed = parse_file(&text).map_err(|error| not_a_key(error.to_string()))?;
        let Some(public) = parsed.keys.pop().filter(|_| parsed.keys.is_empty()) else {
            return Err(not_a_key("one publishable key is expected".into()));
        };
        let private = pem::private_key(&text).map_err(|error| not_a_key(format!("it {error}")))?;
        let key = private.and_then(|private| match private.der() {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
            _ => None,
        });
        let key = key.ok_or_else(|| not_a_key("no RSA private key".into()))?;
        Ok(Self { public, key })
    }

    /// Opens the key in `folder`, or makes one: RSA of 2048 bits, mode 0600, written as a whole.
    pub fn open_or_create(folder: &Path) -> Result<Self, EmbeddedError> {
        match Self::open(folder) {
            Err(EmbeddedError::Missing { .. }) => {
                create(folder)?;
                Self::open(folder)
            }
            opened => opened,
        }
    }

    /// The `kid` that the published key and every token carry.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// What is published of it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A compact JWS of `claims`, RS256, with the header members of an API server's tokens: `alg` and `kid`.
    pub fn sign(&self, claims: &Value) -> Result<String, EmbeddedError> {
        let header = json!({ "alg": "RS256", "kid": self.kid() });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| EmbeddedError::Crypto("the token could not be signed"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.kid())
    }
}

/// Makes the key, unless another process was faster: then that one's stays.
fn create(folder: &Path) -> Result<(), EmbeddedError> {
    let pem = generate()?;
    let path = folder.join(FILE);
    let written = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let draft = folder.join(format!(".{FILE}.{}", std::process::id()));
        let _ = remove_file(&draft);
        let linked = write(&draft, &pem).and_then(|()| match hard_link(&draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Some file systems have no links.
            Err(_) => rename(&draft, &path),
            linked => linked,
        });
        let _ = remove_file(&draft);
        linked?;
        fs::sync_folder(folder)
    };
    written().map_err(|reason| EmbeddedError::File {
        path: path.clone(),
        verb: "written",
        reason: reason.to_string(),
    })
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn generate() -> Result<Zeroizing<Vec<u8>>, EmbeddedError> {
    let failed = |_| EmbeddedError::Crypto("no RSA key could be made");
    let der = KeyPair::generate(KeySize::Rsa2048)
        .and_then(|pair| pair.as_der())
        .map_err(failed)?;
    Ok(pem::write_private_key(der.as_ref()))
}

/// Makes the key, however long that takes: how fast a machine finds primes says nothing about its file system. A read
/// that is called off meanwhile leaves a whole key behind, or none.
async fn make(folder: PathBuf) -> Result<Result<PublicKey, EmbeddedError>, Cause> {
    tracing::info!(
        "making a signing key in {}: a slow machine takes some seconds for it",
        display::path(&folder)
    );
    let work = move || Signer::open_or_create(&folder).map(|signer| signer.public);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Cause::Internal {
            reason: fs::panic_message(error),
        })
}

/// The embedded key as a source: made at the first read, read again at every other.
#[derive(Debug)]
pub(super) struct Embedded {
    folder: PathBuf,
    /// Once it was there, it is not made anew: whoever took it away has tokens of it about.
    was_there: bool,
    files: Blocking<Result<PublicKey, EmbeddedError>>,
}

impl Embedded {
    pub(super) fn new(settings: EmbeddedSettings) -> Self {
        Self {
            folder: settings.folder,
            was_there: false,
            files: Blocking::default(),
        }
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let folder = self.folder.clone();
        let read = move || Signer::open(&folder).map(|signer| signer.public);
        let failed = |cause| ReadError::new(Asked::Embedded, display::path(self.folder.join(FILE)), cause);
        let mut opened = self
            .files
            .run(Phase::File, fs::TIMEOUT, read)
            .await
            .map_err(failed)?;
        if matches!(opened, Err(EmbeddedError::Missing { .. })) && !self.was_there {
            opened = make(self.folder.clone()).await.map_err(failed)?;
        }
        let key = match opened {
            Ok(key) => key,
            Err(error) => {
                let remedy = "Check the state folder, its permissions and its free space.".to_owned();
                return Err(failed(Cause::Settings {
                    reason: error.to_string(),
                    remedy,
                }));
            }
        };
        self.was_there = true;
        Ok(Listing {
            keys: vec![key],
            complete: true,
            ..Listing::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    use super::*;

    #[test]
    fn a_second_start_publishes_the_same_key() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("embedded");
        assert!(matches!(
            Signer::open(&folder),
            Err(EmbeddedError::Missing { .. })
        ));
        let first = Signer::open_or_create(&folder).unwrap();
        let second = Signer::open_or_create(&folder).unwrap();
        assert_eq!(first.public(), second.public());
        let mode = std::fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(&folder).unwrap().count(),
            1,
            "no draft is left behind"
        );
    }

    #[test]
    fn a_signature_verifies_with_the_published_key() {
        let state = tempfile::tempdir().unwrap();
        let signer = Signer::open_or_create(state.path()).unwrap();
        let token = signer
            .sign(&serde_json::json!({ "sub": "x", "exp": 4_000_000_000_i64 }))
            .unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!((header.typ, header.kid.as_deref()), (None, Some(signer.kid())));
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(signer.public().jwk()).unwrap();
        let key = DecodingKey::from_jwk(&jwk).unwrap();
        let claims = decode::<Value>(&token, &key, &Validation::new(Algorithm::RS256))
            .unwrap()
            .claims;
        assert_eq!(claims["sub"], "x");
    }

    #[test]
    fn a_file_that_is_no_key_is_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join(FILE), "secret of something else").unwrap();
        let error = Signer::open_or_create(state.path()).unwrap_err().to_string();
        assert!(
            error.contains("move it away") && !error.contains("secret"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_key_that_was_taken_away_is_not_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let mut source = Embedded::new(EmbeddedSettings {
            folder: state.path().to_owned(),
        });
        let first = source.read().await.unwrap();
        std::fs::remove_file(state.path().join(FILE)).unwrap();
        assert!(
            source
                .read()
                .await
                .unwrap_err()
                .to_string()
                .contains("no embedded key")
        );
        assert_eq!(first.keys.len(), 1);
    }
}
