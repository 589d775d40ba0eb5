//! A real `kube-apiserver`, and the real `etcd` below it.

use std::path::{Path, PathBuf};

use super::api::{ADMIN, Api};
use super::http::Http;
use super::pki::Pki;
use super::program::{Program, free_port};
use super::programs::Programs;

/// `etcd`, without durability.
#[derive(Debug)]
pub(crate) struct Etcd {
    _program: Program,
    url: String,
}

/// How an API server is started.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Of its log.
    pub(crate) name: String,
    /// Where its programs are.
    pub(crate) programs: Programs,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    /// The address that it listens on, and tells others.
    pub(crate) address: String,
    /// The port of both.
    pub(crate) port: u16,
    /// Its certificate.
    pub(crate) pki: Pki,
    /// The issuer that its tokens name.
    pub(crate) issuer: String,
    /// More flags.
    pub(crate) flags: Vec<String>,
}

/// The keys of service account tokens, as an API server reads them at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// `--service-account-signing-key-file`.
    pub(crate) signing: PathBuf,
    /// Each `--service-account-key-file`.
    pub(crate) listed: Vec<PathBuf>,
}

/// A `kube-apiserver`.
#[derive(Debug)]
pub(crate) struct ApiServer {
    program: Program,
    settings: Settings,
    etcd: String,
    /// What it can be asked.
    pub(crate) api: Api,
}

impl Etcd {
    /// Starts one with its data in `folder`.
    pub(crate) async fn start(programs: &Programs, folder: &Path) -> Self {
        let (url, peer) = (loopback(free_port()), loopback(free_port()));
        let mut program = Program::start(
            "etcd",
            programs
                .command("etcd")
                .arg("--unsafe-no-fsync")
                .arg("--data-dir")
                .arg(folder.join("etcd"))
                .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args(["--initial-cluster", &format!("default={peer}")]),
            folder,
        );
        let (http, health) = (Http::plain(), format!("{url}/health"));
        program.ready(async || http.is_ok(&health, None).await).await;
        Self {
            _program: program,
            url,
        }
    }
}

impl ApiServer {
    /// Starts one, and waits until it is ready.
    pub(crate) async fn start(settings: Settings, etcd: &Etcd, keys: &Keys) -> Self {
        let base = format!("https://{}:{}", settings.address, settings.port);
        let api = Api::at(base, &settings.pki.ca);
        let mut server = Self {
            program: launch(&settings, &etcd.url, keys),
            etcd: etcd.url.clone(),
            settings,
            api,
        };
        server.wait().await;
        server
    }

    /// Starts it again after it was stopped, with all that it knew, and these keys.
    pub(crate) async fn start_again(&mut self, keys: &Keys) {
        self.program = launch(&self.settings, &self.etcd, keys);
        self.wait().await;
    }

    /// From its next start its tokens name this issuer.
    pub(crate) fn names(&mut self, issuer: &str) {
        issuer.clone_into(&mut self.settings.issuer);
    }

    /// Ends it; nobody answers at its address any more.
    pub(crate) async fn stop(&mut self, signal: &str) {
        self.program.signal(signal);
        self.program.ended().await;
    }

    async fn wait(&mut self) {
        let api = &self.api;
        self.program.ready(async || api.is_ready().await).await;
    }
}

fn launch(settings: &Settings, etcd: &str, keys: &Keys) -> Program {
    let (folder, address) = (&settings.folder, &settings.address);
    let tokens = folder.join("tokens.csv");
    std::fs::write(&tokens, format!("{ADMIN},admin,admin,\"system:masters\"\n")).expect("a file");
    let mut command = settings.programs.command("kube-apiserver");
    command
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--service-account-issuer={}", settings.issuer))
        .arg(format!(
            "--service-account-jwks-uri={}/jwks",
            settings.issuer.trim_end_matches('/')
        ))
        .arg("--service-account-signing-key-file")
        .arg(&keys.signing)
        .arg("--tls-cert-file")
        .arg(&settings.pki.cert)
        .arg("--tls-private-key-file")
        .arg(&settings.pki.key)
        .arg("--cert-dir")
        .arg(folder.join("certs"))
        .arg("--token-auth-file")
        .arg(&tokens)
        .arg(format!("--secure-port={}", settings.port))
        .arg(format!("--bind-address={address}"))
        .arg(format!("--advertise-address={address}"))
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--authorization-mode=RBAC")
        // It would want a controller that creates `default` in every namespace.
        .arg("--disable-admission-plugins=ServiceAccount")
        .args(&settings.flags);
    for file in &keys.listed {
        command.arg("--service-account-key-file").arg(file);
    }
    Program::start(&settings.name, &mut command, folder)
}

fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
