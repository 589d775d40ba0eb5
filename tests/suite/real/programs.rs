//! Which real programs are there, and where.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The programs of a test: each one that it asked for is there.
#[derive(Clone, Debug)]
pub(crate) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// The programs of these names, or nothing if one is missing: the test then returns.
    ///
    /// The names are those of `tests/servers/obtain`.
    ///
    /// # Panics
    ///
    /// If one is missing and `OIDC_ISSUER_TESTS_REQUIRE_ALL` is set, as `tests/run` sets it.
    pub(crate) fn find(names: &[&str]) -> Option<Self> {
        static FOUND: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
        let found = FOUND.get_or_init(|| where_they_are(&[]));
        let mut programs = found.clone();
        let unknown: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !found.contains_key(*name))
            .collect();
        if !unknown.is_empty() {
            programs.extend(where_they_are(&unknown));
        }
        let missing: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !programs.contains_key(*name))
            .collect();
        if missing.is_empty() {
            return Some(Self(programs));
        }
        let missing = missing.join(", ");
        skip(&format!(
            "these programs are missing: {missing}; tests/run obtains what is missing"
        ));
        None
    }

    /// Where this program is.
    pub(crate) fn path(&self, name: &str) -> &Path {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("the test did not ask for {name}"))
    }

    /// A command that runs this program without the proxies and certificates of the user's environment.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        for variable in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
        ] {
            command.env_remove(variable);
        }
        command
    }
}

/// Says that this test is skipped, and why.
///
/// # Panics
///
/// If `OIDC_ISSUER_TESTS_REQUIRE_ALL` is set, as `tests/run` sets it.
pub(crate) fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var_os("OIDC_ISSUER_TESTS_REQUIRE_ALL").is_none(),
        "{test} must not be skipped, but {why}"
    );
    // Not `eprintln!`: that one is captured, and a skip must be seen.
    std::io::stderr()
        .write_all(format!("SKIPPED {test}: {why}\n").as_bytes())
        .ok();
}

/// The folder with the scripts that play with the service.
pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

/// What `tests/servers/obtain --where` tells: it alone knows the cache's names.
fn where_they_are(names: &[&str]) -> BTreeMap<String, PathBuf> {
    let output = Command::new(servers().join("obtain"))
        .arg("--where")
        .args(names)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/servers/obtain runs");
    String::from_utf8(output.stdout)
        .expect("paths in UTF-8")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        .collect()
}
