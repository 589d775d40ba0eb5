//! The service itself: the real binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Answer, Http};
use super::program::{Program, eventually, free_port};

/// A running `oidc-issuer serve`.
#[derive(Debug)]
pub(crate) struct OidcIssuer {
    program: Program,
    admin: u16,
    /// Its state folder.
    pub(crate) state: PathBuf,
    // Last, so that the program has ended when its folder goes.
    _folder: TempDir,
}

impl OidcIssuer {
    /// Starts `serve` with these arguments beside its own for state, admin listener and log, and
    /// waits until it is ready.
    pub(crate) async fn serve(arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut service = Self::spawn(arguments);
        service.until_ready().await;
        service
    }

    /// The same, without waiting.
    pub(crate) fn spawn(arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        Self::spawn_with(folder, state, arguments)
    }

    /// Starts `serve` with a state folder that outlives it, and waits until it is ready.
    pub(crate) async fn serve_in(state: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut service = Self::spawn_with(folder, state.to_owned(), arguments);
        service.until_ready().await;
        service
    }

    /// The same, without waiting.
    pub(crate) fn spawn_in(state: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::spawn_with(folder, state.to_owned(), arguments)
    }

    /// Waits until it is ready.
    pub(crate) async fn until_ready(&mut self) {
        let (http, url) = (Http::plain(), self.admin("/readyz"));
        self.program.ready(async || http.is_ok(&url, None).await).await;
    }

    /// The same, with a log of this format.
    pub(crate) fn spawn_logging(format: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        Self::spawn_as(format, folder, state, arguments)
    }

    fn spawn_with(folder: TempDir, state: PathBuf, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::spawn_as("json", folder, state, arguments)
    }

    /// The same, run by another program, which is given the words after its own, and becomes the service.
    pub(crate) fn spawn_by(words: &[&str], state: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = without_settings(Command::new(words[0]));
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_oidc-issuer"));
        Self::spawn_command(command, "json", folder, state.to_owned(), arguments)
    }

    fn spawn_as(format: &str, folder: TempDir, state: PathBuf, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::spawn_command(binary(), format, folder, state, arguments)
    }

    fn spawn_command(
        mut command: Command,
        format: &str,
        folder: TempDir,
        state: PathBuf,
        arguments: &[impl AsRef<OsStr>],
    ) -> Self {
        let admin = free_port();
        command
            .arg("serve")
            .args(arguments)
            .arg("--state-dir")
            .arg(&state)
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .args(["--log-level", "debug", "--log-format", format]);
        let program = Program::start("oidc-issuer", &mut command, folder.path());
        Self {
            program,
            admin,
            state,
            _folder: folder,
        }
    }

    /// The address of its admin listener, with this path.
    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// The CA of the certificate that it made for itself.
    pub(crate) fn ca(&self) -> PathBuf {
        self.state.join("tls/ca.crt")
    }

    /// A client that trusts that CA.
    pub(crate) fn http(&self) -> Http {
        Http::trusting(&std::fs::read_to_string(self.ca()).expect("the CA"))
    }

    /// Asks its admin listener.
    pub(crate) async fn ask_admin(&self, path: &str) -> Answer {
        Http::plain().get(&self.admin(path)).await
    }

    /// Its log as it is.
    pub(crate) fn text(&self) -> String {
        self.program.log()
    }

    /// Its log, one JSON object a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.program
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The requests that its edge has answered so far, oldest first: method, path, status.
    pub(crate) fn requests(&self) -> Vec<(String, String, u64)> {
        let request = |line: &Value| {
            let fields = line.get("fields").unwrap_or(line);
            let text = |name: &str| Some(fields.get(name)?.as_str()?.to_owned());
            Some((text("method")?, text("path")?, fields.get("status")?.as_u64()?))
        };
        self.log().iter().filter_map(request).collect()
    }

    /// Waits until a line of its log fulfils this.
    pub(crate) async fn logged(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || self.log().into_iter().find(|line| matches(line))).await
    }

    /// The process.
    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// What a command of the service answered.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Runs a command of the service to its end.
pub(crate) fn run(arguments: &[impl AsRef<OsStr>]) -> Output {
    run_in(Path::new("."), arguments)
}

/// The same, in a folder.
pub(crate) fn run_in(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let output = binary()
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The service's binary, without what the user's environment would make of it.
pub(crate) fn binary() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_oidc-issuer")))
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let proxy = name_text.to_ascii_lowercase().ends_with("_proxy");
        if proxy || (name_text.starts_with("OIDC_ISSUER_") || name_text == "KUBECONFIG") {
            command.env_remove(&name);
        }
    }
    command
}
