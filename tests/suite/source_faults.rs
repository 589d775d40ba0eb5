//! A source in trouble changes nothing that is served.
//!
//! Each fault is played against the real binary: at a cold start (503 with `Retry-After`, an error in the log that names
//! source, cause and remedy; alive, not ready), then healed (published), then again when warm (the same octets, a growing
//! count of failures, the last success where it was).

mod answers;
mod bodies;
mod certificates;
mod connections;
mod endpoint_faults;
mod endpoints;
mod exchanges;
mod files;
mod foreseen;
mod reads;
mod replicas;
mod server;
mod world;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::real::http::{Answer, Http};
use world::{ISSUER, TOKEN, Which, World};

/// One fault.
pub(crate) struct Fault {
    name: &'static str,
    source: Which,
    /// The value of the metric label `result`.
    result: &'static str,
    /// What the error in the log must say of cause and remedy.
    says: &'static [&'static str],
    breaks: fn(&World),
}

/// How long anything may take that is waited for, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// Services at a time, of each test.
const AT_ONCE: usize = 4;

fn play(faults: Vec<Fault>) {
    at_once(faults, |fault| fault.name, played);
}

/// Plays them all, some at a time, and tells of all that went wrong.
fn at_once<T: Send>(
    faults: Vec<T>,
    name: fn(&T) -> &'static str,
    played: impl AsyncFn(T) -> Result<(), String> + Sync,
) {
    let count = faults.len();
    let (faults, failed) = (Mutex::new(faults), Mutex::new(String::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(fault) = faults.lock().expect("no panic").pop() else {
                        return;
                    };
                    let name = name(&fault);
                    let played = catch_unwind(AssertUnwindSafe(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                        runtime.expect("a runtime").block_on(played(fault))
                    }));
                    let error = match played {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => error,
                        Err(_) => "a panic, see above".to_owned(),
                    };
                    let _ = write!(failed.lock().expect("no panic"), "\n--- {name}: {error}");
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "of {count} faults:{failed}");
}

async fn played(fault: Fault) -> Result<(), String> {
    let world = World::new().await;
    (fault.breaks)(&world);
    let service = Service::start(&world, fault.source);

    // Cold.
    let line = service
        .until("an error in the log", async |service| {
            service.started()?.error_line(&fault)
        })
        .await?;
    for text in fault.says {
        check(line.contains(text), || {
            format!("the log should say {text:?}: {line}")
        })?;
    }
    check(!line.contains("panic"), || format!("a panic: {line}"))?;
    for path in DOCUMENTS {
        let answer = service.get(path).await;
        check(
            answer.status == 503 && answer.headers.contains_key("retry-after"),
            || format!("{answer:?}"),
        )?;
    }
    check(service.admin("/livez").await.status == 200, || "not alive".into())?;
    check(service.admin("/readyz").await.status == 503, || {
        "ready, though nothing is published".into()
    })?;
    let counted = service.until("the count of failures", async |service| {
        service.failures(fault.result).await
    });
    counted
        .await
        .map_err(|error| format!("{error} by {:?}: {line}", fault.result))?;

    // Healed.
    world.heal();
    let is_served = async |service: &Service| (service.get(DOCUMENTS[1]).await.status == 200).then_some(());
    service
        .until("the documents after all was healed", is_served)
        .await?;
    let is_ready = async |service: &Service| (service.admin("/readyz").await.status == 200).then_some(());
    service.until("readiness after all was healed", is_ready).await?;

    // Warm.
    let before = service.documents().await;
    let failures = service.failures(fault.result).await.unwrap_or_default();
    (fault.breaks)(&world);
    let grown = async |service: &Service| service.failures(fault.result).await.filter(|now| *now > failures);
    service.until("a growing count of failures", grown).await?;
    let success = service.last_success().await;
    let more = service.failures(fault.result).await.unwrap_or_default();
    let grown = async |service: &Service| service.failures(fault.result).await.filter(|now| *now > more);
    service.until("a count that goes on growing", grown).await?;
    check(service.documents().await == before, || {
        "the documents changed".into()
    })?;
    check(service.last_success().await == success, || {
        "the last success moved".into()
    })?;
    check(service.admin("/readyz").await.status == 200, || {
        "no longer ready".into()
    })?;

    let log = service.log();
    for secret in [TOKEN, "SECRET", "BEGIN PRIVATE"] {
        check(!log.contains(secret), || format!("the log tells {secret}: {log}"))?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

const DOCUMENTS: [&str; 2] = ["/prod/.well-known/openid-configuration", "/prod/jwks"];

/// The real binary with one issuer. Ends when it is dropped.
struct Service {
    child: Child,
    log: PathBuf,
    http: Http,
}

impl Service {
    fn start(world: &World, source: Which) -> Self {
        Self::start_with(world, source, &[])
    }

    /// The same, with nothing but these in its environment.
    fn start_with(world: &World, source: Which, environment: &[(&str, String)]) -> Self {
        let issuer = json!({ "issuer": ISSUER, "refresh": "1s", "sources": world.sources(source) });
        Self::run(&world.path("state"), &issuer, environment)
    }

    /// With this issuer, and all its files in this folder.
    fn run(folder: &Path, issuer: &serde_json::Value, environment: &[(&str, String)]) -> Self {
        let any = json!({ "address": "127.0.0.1:0" });
        let config = json!({ "issuers": [issuer], "listeners": [any], "admin": any, "stateDir": folder });
        std::fs::create_dir_all(folder).expect("a folder");
        let (file, log) = (folder.join("config.yaml"), folder.join("log"));
        std::fs::write(&file, config.to_string()).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_oidc-issuer"))
            .args([
                "serve",
                "--log-format",
                "json",
                "--log-level",
                "debug",
                "--config",
            ])
            .arg(file)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        Self {
            child,
            log,
            http: Http::plain(),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The first line about a source that cannot be read, at the level of an error. One that waits for a second only may
    /// have been too slow for this machine before it came to the fault.
    fn error_line(&self, fault: &Fault) -> Option<String> {
        let is_early = |line: &String| {
            fault.source == Which::Hasty
                && line.contains("no answer within")
                && !fault.says.iter().all(|text| line.contains(text))
        };
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["level"] == "ERROR" && line["source"].is_string())
            .map(|line| line.to_string().replace("\\\"", "\""))
            .find(|line| !is_early(line))
    }

    /// Itself, once it listens.
    fn started(&self) -> Option<&Self> {
        self.address("plain HTTP")
            .and(self.address("metrics"))
            .map(|_| self)
    }

    /// What happened, without the requests.
    fn story(&self) -> String {
        let lines = self.log();
        lines
            .lines()
            .filter(|line| !line.contains("\"DEBUG\""))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Where it listens, as its log says: for plain HTTP, or for metrics.
    fn address(&self, of: &str) -> Option<String> {
        let log = self.log();
        let line = log
            .lines()
            .find(|line| line.contains("listening on") && line.contains(of))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["address"].as_str()?.to_owned())
    }

    async fn get(&self, path: &str) -> Answer {
        let edge = self.address("plain HTTP").expect("the edge listens");
        self.http.get(&format!("http://{edge}{path}")).await
    }

    async fn admin(&self, path: &str) -> Answer {
        let admin = self.address("metrics").expect("the admin listener listens");
        self.http.get(&format!("http://{admin}{path}")).await
    }

    async fn metric(&self, starts: &str, holds: &str) -> Option<f64> {
        let metrics = self.admin("/metrics").await.body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with(starts) && line.contains(holds))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    async fn failures(&self, result: &str) -> Option<f64> {
        self.metric("oidc_issuer_source_reads_total{", &format!("result=\"{result}\""))
            .await
    }

    async fn last_success(&self) -> Option<f64> {
        self.metric("oidc_issuer_source_last_success_timestamp_seconds{", "")
            .await
    }

    /// Status, headers but the date, and body of both.
    async fn documents(&self) -> Vec<String> {
        let mut documents = Vec::new();
        for path in DOCUMENTS {
            let Answer {
                status,
                mut headers,
                body,
            } = self.get(path).await;
            headers.remove("date");
            documents.push(format!("{status} {headers:?} {body}"));
        }
        documents
    }

    async fn until<T>(&self, what: &str, probe: impl AsyncFn(&Self) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe(self).await {
                return Ok(found);
            }
            check(Instant::now() < deadline, || {
                format!("{what} did not come:\n{}", self.story())
            })?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
