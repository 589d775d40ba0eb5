//! The numbers in `deploy/`, `docker/`, the image and the documents are those of the program.

use std::path::Path;
use std::time::Duration;

use oidc_issuer::config::DEFAULT_ADMIN;
use oidc_issuer::edge::Limits;
use oidc_issuer::{cli, ring};
use serde_json::Value;

use crate::real::programs::skip;

const DEPLOYMENT: &str = include_str!("../../deploy/kubernetes/deployment.yaml");
const SERVICES: &str = include_str!("../../deploy/kubernetes/service.yaml");
const CONFIG_MAP: &str = include_str!("../../deploy/kubernetes/configmap.yaml");
const UNIT: &str = include_str!("../../deploy/systemd/oidc-issuer.service");
const COMPOSE: &str = include_str!("../../docker/compose.yaml");
const COMPOSE_CONFIG: &str = include_str!("../../docker/config.yaml");
const HAPROXY: &str = include_str!("../../docker/haproxy.cfg");
const PROMETHEUS: &str = include_str!("../../docker/prometheus.yaml");
const DOCKERFILE: &str = include_str!("../../Dockerfile");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

const MIB: u64 = 1 << 20;

/// Where no listener is named, and in the image.
const HTTPS_PORT: u16 = 8443;

/// What follows the drain, at most: answers on the admin listener have 5 s, the last lines of the log 1 s, and ledgers are
/// written.
const AFTER_DRAIN: Duration = Duration::from_secs(10);

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn pod() -> Value {
    yaml(DEPLOYMENT)["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    pod()["containers"][0].clone()
}

/// `60`, `40s`.
fn seconds(value: &Value) -> Duration {
    let number = value.as_u64().unwrap_or_else(|| {
        let text = value.as_str().unwrap_or_default();
        text.strip_suffix('s')
            .and_then(|number| number.parse().ok())
            .expect("seconds")
    });
    Duration::from_secs(number)
}

/// `128Mi`, `256m` (of Docker).
fn bytes(value: &Value) -> u64 {
    let text = value.as_str().expect("a size");
    let number = text
        .strip_suffix("Mi")
        .or_else(|| text.strip_suffix('m'))
        .expect("MiB");
    number.parse::<u64>().expect("a number") * MIB
}

/// The value of this setting in the unit.
fn unit(setting: &str) -> &'static str {
    let settings = UNIT.lines().filter_map(|line| line.split_once('='));
    let mut values = settings.filter(|(name, _)| *name == setting);
    values
        .next()
        .unwrap_or_else(|| panic!("{setting} is not in the unit"))
        .1
}

/// So many connections are allowed where memory is limited so, with one issuer. `None`: this machine allows fewer open
/// files.
fn connections(limit: u64) -> Option<usize> {
    let root = tempfile::tempdir().unwrap();
    let group = root.path().join("sys/fs/cgroup");
    std::fs::create_dir_all(&group).unwrap();
    std::fs::write(group.join("memory.max"), limit.to_string()).unwrap();
    let (limits, why, _) = Limits::default().fitted(root.path(), 1);
    if why.contains("open files") {
        skip(&format!("this machine has too few open files: {why}"));
        return None;
    }
    Some(limits.max_connections)
}

/// A number with commas between thousands.
fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let (first, last) = digits.split_at(digits.len().saturating_sub(3));
    if first.is_empty() {
        digits
    } else {
        format!("{first},{last}")
    }
}

#[test]
fn every_way_to_run_it_waits_until_requests_in_flight_are_finished() {
    let drain = Limits::default().drain_timeout;
    let needed = drain + AFTER_DRAIN;
    let before_stop = seconds(&container()["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let pods = seconds(&pod()["terminationGracePeriodSeconds"]);
    assert!(
        pods >= before_stop + needed,
        "terminationGracePeriodSeconds: {pods:?}"
    );
    let compose = seconds(&yaml(COMPOSE)["x-issuer"]["stop_grace_period"]);
    assert!(compose >= needed, "stop_grace_period: {compose:?}");
    let systemd = seconds(&Value::from(unit("TimeoutStopSec")));
    assert!(systemd >= needed, "TimeoutStopSec: {systemd:?}");
    let told = format!(
        "the {} s in which requests in flight are finished",
        drain.as_secs()
    );
    assert!(COMPOSE.contains(&told), "docker/compose.yaml: {told}");
}

#[test]
fn the_memory_that_is_allowed_is_enough_for_the_connections_that_are_promised() {
    let pods = bytes(&container()["resources"]["limits"]["memory"]);
    let compose = bytes(&yaml(COMPOSE)["x-issuer"]["mem_limit"]);
    let most = Limits::default().max_connections;
    let Some(in_pods) = connections(pods) else { return };
    assert_eq!(
        connections(compose),
        Some(most),
        "docker/compose.yaml promises all"
    );
    assert_eq!(
        connections(256 * MIB),
        Some(most),
        "deployment.yaml says so of 256Mi"
    );
    let least = (1..1024)
        .find(|mib| connections(mib * MIB) == Some(most))
        .unwrap();

    let (in_pods, most, pods) = (with_commas(in_pods), with_commas(most), pods / MIB);
    for (name, text, told) in [
        (
            "docs/configuration.md",
            DOCUMENT,
            format!("With {pods} MiB and one issuer it is {in_pods}; {most} need {least} MiB."),
        ),
        (
            "deployment.yaml",
            DEPLOYMENT,
            format!("({pods} MiB - 48 MiB) / 16 KiB = {in_pods} with one issuer"),
        ),
        (
            "deployment.yaml",
            DEPLOYMENT,
            format!("256Mi allow the full {most}."),
        ),
        ("compose.yaml", COMPOSE, format!("{most} fit into {least} MiB")),
    ] {
        assert!(text.contains(&told), "{name} does not say: {told}");
    }
}

#[test]
fn systemd_allows_as_many_open_files_as_connections_need() {
    let files: usize = unit("LimitNOFILE").parse().unwrap();
    assert!(
        files >= Limits::default().max_connections + 1000,
        "LimitNOFILE: {files}"
    );
}

#[test]
fn the_state_folder_of_a_pod_has_room_for_a_ledger_its_previous_one_and_a_draft() {
    let pod = pod();
    let volumes = pod["volumes"].as_array().unwrap();
    let state = volumes.iter().find(|volume| volume["name"] == "state").unwrap();
    let size = bytes(&state["emptyDir"]["sizeLimit"]);
    assert!(size >= 3 * ring::MAX_DOCUMENT as u64, "sizeLimit: {size}");
}

#[test]
fn every_port_is_the_one_that_the_program_listens_on() {
    let admin = DEFAULT_ADMIN.port();
    let container = container();
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == name).unwrap();
        port["containerPort"].as_u64().unwrap()
    };
    assert_eq!(port("admin"), u64::from(admin));
    assert_eq!(port("https"), u64::from(HTTPS_PORT));
    let scraped = &yaml(DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(scraped, &Value::from(admin.to_string()));
    for service in documents(SERVICES) {
        let port = &service["spec"]["ports"][0];
        let expected = if port["targetPort"] == "admin" { admin } else { 443 };
        assert_eq!(port["port"], Value::from(expected), "{service}");
    }
    assert!(CONFIG_MAP.contains(&format!("address: \"[::]:{HTTPS_PORT}\"")));
    for line in [
        format!("EXPOSE {HTTPS_PORT}/tcp {admin}/tcp"),
        format!("OIDC_ISSUER_ADMIN=\"[::]:{admin}\""),
    ] {
        assert!(DOCKERFILE.contains(&line), "Dockerfile: {line}");
    }

    // Behind HAProxy it speaks plain HTTP on a port of its own.
    let listener = yaml(COMPOSE_CONFIG)["listeners"][0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, plain) = listener.rsplit_once(':').unwrap();
    for replica in ["issuer-1", "issuer-2"] {
        assert!(yaml(COMPOSE)["services"][replica].is_object(), "{replica}");
        assert!(
            HAPROXY.contains(&format!("server {replica} {replica}:{plain}\n")),
            "{replica}"
        );
        assert!(PROMETHEUS.contains(&format!("{replica}:{admin}")), "{replica}");
    }
    assert!(HAPROXY.contains(&format!("default-server check port {admin} ")));
}

#[test]
fn probes_ask_what_the_program_answers_and_wait_longer_than_it_takes() {
    let container = container();
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert!(HAPROXY.contains("http-check send meth GET uri /readyz"));
    let check = DOCKERFILE
        .lines()
        .find(|line| line.starts_with("HEALTHCHECK"))
        .unwrap();
    assert!(check.ends_with("CMD [\"/oidc-issuer\", \"health\"]"), "{check}");
    let (_, timeout) = check.split_once("--timeout=").unwrap();
    let timeout = seconds(&Value::from(timeout.split(' ').next().unwrap()));
    assert!(
        timeout > cli::HEALTH_TIMEOUT,
        "what `health` says would be lost: {timeout:?}"
    );
}

#[test]
fn a_balancer_closes_idle_connections_before_the_program_does() {
    let (_, after) = HAPROXY.split_once("timeout http-keep-alive ").unwrap();
    let keeps = seconds(&Value::from(after.lines().next().unwrap()));
    assert!(keeps < Limits::default().idle_timeout, "{keeps:?}");
}

#[test]
fn the_versions_in_the_image_and_the_manifests_are_those_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container()["image"], format!("oidc-issuer:{version}"));
    assert!(DOCKERFILE.contains(&format!("ARG VERSION={version}\n")));
    let toolchain =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-toolchain.toml")).unwrap();
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = \""))
        .unwrap();
    let channel = channel.trim_end_matches('"');
    assert!(DOCKERFILE.contains(&format!("FROM rust:{channel}-")), "{channel}");
    assert!(channel.starts_with(env!("CARGO_PKG_RUST_VERSION")), "{channel}");
}

#[test]
fn the_user_of_a_pod_is_the_user_of_the_image() {
    let user = &pod()["securityContext"]["runAsUser"];
    assert!(DOCKERFILE.contains(&format!("\nUSER {user}:{user}\n")), "{user}");
    assert_eq!(pod()["securityContext"]["fsGroup"], *user);
}
