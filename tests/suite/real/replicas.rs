//! Replicas of the service with one configuration, and the load balancer in front of them.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, Http};
use super::pki::Pki;
use super::program::{Program, eventually, free_port};
use super::programs::Programs;
use super::service::OidcIssuer;

/// Several processes of the service, each with a state folder of its own.
#[derive(Debug)]
pub(crate) struct Replicas {
    members: Vec<Member>,
    http: Http,
    // Last, so that the programs have ended when their folder goes.
    folder: TempDir,
}

#[derive(Debug)]
struct Member {
    service: Option<OidcIssuer>,
    port: u16,
    config: PathBuf,
    state: PathBuf,
}

impl Replicas {
    /// Starts so many with this configuration, to which their listeners are added, and waits until they are ready.
    pub(crate) async fn start(count: usize, config: &Value, pki: &Pki) -> Self {
        Self::start_each(vec![config.clone(); count], pki).await
    }

    /// The same, each with a configuration of its own.
    pub(crate) async fn start_each(configs: Vec<Value>, pki: &Pki) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = std::fs::read_to_string(&pki.ca).expect("the CA");
        let count = configs.len();
        let members = configs.into_iter().enumerate().map(|(place, mut config)| {
            let port = free_port();
            let file = folder.path().join(format!("replica-{place}.yaml"));
            config["listeners"] = json!([{
                "address": format!("127.0.0.1:{port}"),
                "tls": { "certFile": pki.cert, "keyFile": pki.key },
            }]);
            // JSON is YAML.
            std::fs::write(&file, config.to_string()).expect("a file");
            Member {
                service: None,
                port,
                config: file,
                state: folder.path().join(format!("state-{place}")),
            }
        });
        let mut replicas = Self {
            members: members.collect(),
            http: Http::trusting(&ca),
            folder,
        };
        for place in 0..count {
            replicas.spawn_again(place);
        }
        for place in 0..count {
            replicas.ready(place).await;
        }
        replicas
    }

    /// Starts one that was killed, and waits until it is ready.
    pub(crate) async fn start_again(&mut self, place: usize) {
        self.spawn_again(place);
        self.ready(place).await;
    }

    /// The same, without waiting.
    pub(crate) fn spawn_again(&mut self, place: usize) {
        let member = &mut self.members[place];
        let arguments = ["--config".as_ref(), member.config.as_os_str()];
        member.service = Some(OidcIssuer::spawn_in(&member.state, &arguments));
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self, place: usize) {
        self.service(place).until_ready().await;
    }

    /// As a power cut does.
    pub(crate) async fn kill(&mut self, place: usize) {
        let mut service = self.members[place].service.take().expect("it runs");
        service.program().signal("KILL");
        service.program().ended().await;
    }

    /// One that runs.
    pub(crate) fn service(&mut self, place: usize) -> &mut OidcIssuer {
        self.members[place].service.as_mut().expect("it runs")
    }

    /// The state folder of one of them, where commands are taken.
    pub(crate) fn state(&self, place: usize) -> PathBuf {
        self.members[place].state.clone()
    }

    /// What each of them is asked for its JWKS, running or not.
    pub(crate) fn jwks_urls(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|place| self.url(place, "/jwks"))
            .collect()
    }

    /// A client that trusts their certificate.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// The address of one of them, with this path.
    pub(crate) fn url(&self, place: usize, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.members[place].port)
    }

    /// A document of one of them, if it answers.
    pub(crate) async fn document(&self, place: usize, path: &str) -> Option<Answer> {
        let url = self.url(place, path);
        self.http.send(Method::GET, &url, None, None).await.ok()
    }

    /// The greatest value of a metric among its rows.
    pub(crate) async fn metric(&self, place: usize, name: &str) -> Option<f64> {
        self.row(place, name, "").await
    }

    /// The same among those rows that have this label.
    pub(crate) async fn row(&self, place: usize, name: &str, label: &str) -> Option<f64> {
        let service = self.members[place].service.as_ref()?;
        let page = service.ask_admin("/metrics").await.body;
        let rows = page
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label));
        let values = rows.filter_map(|row| row.rsplit(' ').next()?.parse().ok());
        values.reduce(f64::max)
    }

    /// Waits until all that run answer the same octets, and these please.
    pub(crate) async fn agree(&self, what: &str, pleases: impl Fn(&[String]) -> bool) -> Answer {
        eventually(what, async || {
            let mut first: Option<Answer> = None;
            for (place, member) in self.members.iter().enumerate() {
                if member.service.is_none() {
                    continue;
                }
                let answer = self.document(place, "/jwks").await?;
                let answer = (answer.status == 200).then_some(answer)?;
                match &first {
                    None => first = Some(answer),
                    Some(first) if first.body == answer.body => {
                        assert_eq!(first.headers["etag"], answer.headers["etag"]);
                    }
                    Some(_) => return None,
                }
            }
            first.filter(|answer| pleases(&kids(&answer.body)))
        })
        .await
    }

    /// Waits until all that any of them knows is in the shared store.
    pub(crate) async fn are_stored(&self) {
        eventually("all is in the shared store", async || {
            for (place, member) in self.members.iter().enumerate() {
                if member.service.is_some() {
                    let reachable = self.metric(place, "oidc_issuer_store_reachable").await?;
                    let lag = self.metric(place, "oidc_issuer_store_lag_seconds").await?;
                    (reachable > 0.0 && lag == 0.0).then_some(())?;
                }
            }
            Some(())
        })
        .await;
    }
}

/// The kids of a JWKS, in its order; none of what is no JWKS.
pub(crate) fn kids(jwks: &str) -> Vec<String> {
    let jwks: Value = serde_json::from_str(jwks).unwrap_or_default();
    let keys = jwks["keys"].as_array().cloned().unwrap_or_default();
    keys.iter()
        .filter_map(|key| Some(key["kid"].as_str()?.to_owned()))
        .collect()
}

/// `haproxy`: ends TLS, and sends each request to a replica that answers.
#[derive(Debug)]
pub(crate) struct Balancer {
    _program: Program,
}

impl Balancer {
    /// Starts it on this port of loopback, with a certificate of the same CA as theirs.
    pub(crate) async fn start(programs: &Programs, port: u16, replicas: &Replicas, pki: &Pki) -> Self {
        let folder = replicas.folder.path();
        let read = |path| std::fs::read_to_string(path).expect("a file");
        let pem = folder.join("haproxy.pem");
        std::fs::write(&pem, read(&pki.cert) + &read(&pki.key)).expect("a file");
        let members = replicas.members.iter().enumerate();
        let servers: Vec<String> = members
            .map(|(place, member)| format!("  server replica-{place} 127.0.0.1:{}\n", member.port))
            .collect();
        let servers = servers.concat();
        let config = format!(
            "global\n  log stdout format raw local0\n\
             defaults\n  mode http\n  log global\n  option httplog\n  option dontlog-normal\n  \
             timeout connect 5s\n  timeout client 30s\n  timeout server 10s\n  timeout check 5s\n  \
             retries 3\n  option redispatch 1\n  retry-on all-retryable-errors\n\
             frontend verifiers\n  bind 127.0.0.1:{port} ssl crt {}\n  default_backend replicas\n\
             backend replicas\n  balance roundrobin\n  option httpchk GET /jwks\n  http-check expect status 200\n  \
             default-server check inter 500ms fall 2 rise 1 ssl verify required verifyhost localhost ca-file {}\n\
             {servers}",
            pem.display(),
            pki.ca.display()
        );
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, config).expect("a file");
        let mut command = programs.command("haproxy");
        let mut program = Program::start("haproxy", command.args(["-db", "-f"]).arg(&file), folder);
        let (http, url) = (&replicas.http, format!("https://localhost:{port}/jwks"));
        program.ready(async || http.is_ok(&url, None).await).await;
        Self { _program: program }
    }
}
