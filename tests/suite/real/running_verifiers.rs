//! The verifiers: each fetches the keys through the load balancer, as it does anywhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::envoy::Envoy;
use super::openbao::OpenBao;
use super::programs::{Programs, servers};
use super::world::AUDIENCE;

/// The programs that they need.
pub(crate) const PROGRAMS: &[&str] = &["bao", "envoy", "python", "node", "verifiers"];

/// Their names, in the order of the table.
pub(crate) const NAMES: [&str; 4] = ["OpenBao", "Envoy", "jose", "PyJWT"];

/// All of them.
pub(crate) struct Verifiers {
    bao: OpenBao,
    envoy: Envoy,
    jose: Arc<Mutex<Stream>>,
    pyjwt: Arc<Mutex<Stream>>,
    // Last, so that the programs have ended when their folder goes.
    _folder: TempDir,
}

impl Verifiers {
    /// Starts them for the tokens of this issuer; a set of keys is kept as long as `max-age` says, Envoy's a second.
    pub(crate) async fn start(programs: &Programs, issuer: &str, ca: &Path, max_age: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let seconds = max_age.as_secs().to_string();
        // Node looks for packages beside the script.
        let script = folder.path().join("stream.mjs");
        std::fs::copy(servers().join("verifiers/stream.mjs"), &script).expect("the script");
        let modules = folder.path().join("node_modules");
        std::os::unix::fs::symlink(programs.path("verifiers"), modules).expect("a link");
        let mut jose = programs.command("node");
        jose.env("NODE_EXTRA_CA_CERTS", ca)
            .arg(&script)
            .args([issuer, AUDIENCE, &seconds]);
        let mut pyjwt = programs.command("python");
        pyjwt
            .args(["-W", "ignore"])
            .arg(servers().join("verifiers/stream.py"))
            .args([issuer, AUDIENCE])
            .args([ca.as_os_str(), seconds.as_ref()]);
        let (bao, envoy) = tokio::join!(OpenBao::start(programs), Envoy::start(programs, issuer, ca));
        bao.trust(issuer, ca);
        Self {
            bao,
            envoy,
            jose: Stream::start(&mut jose),
            pyjwt: Stream::start(&mut pyjwt),
            _folder: folder,
        }
    }

    /// Whether one of them takes this token, or why not.
    pub(crate) async fn judge(&self, place: usize, token: &str) -> Result<(), String> {
        match place {
            0 => self.bao.login_over_http(token).await,
            1 => match self.envoy.ask(Some(token)).await {
                answer if answer.status == 200 => Ok(()),
                answer => Err(format!("{}: {}", answer.status, answer.body)),
            },
            2 => judge(&self.jose, token).await,
            _ => judge(&self.pyjwt, token).await,
        }
    }

    /// How often Envoy did not get the keys.
    pub(crate) async fn failed_fetches(&self) -> u64 {
        self.envoy.failed_fetches().await
    }
}

/// A program that reads a token a line, and answers each with a line.
struct Stream {
    child: Child,
    tokens: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Stream {
    fn start(command: &mut Command) -> Arc<Mutex<Self>> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the verifier starts");
        Arc::new(Mutex::new(Self {
            tokens: child.stdin.take().expect("a pipe"),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }))
    }

    fn judge(&mut self, token: &str) -> std::io::Result<String> {
        self.tokens.write_all(format!("{token}\n").as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn judge(stream: &Arc<Mutex<Stream>>, token: &str) -> Result<(), String> {
    let (stream, token) = (Arc::clone(stream), token.to_owned());
    let judged = tokio::task::spawn_blocking(move || stream.lock().expect("no panic").judge(&token));
    match judged.await.expect("no panic") {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(format!("the verifier is gone: {error}")),
    }
}
