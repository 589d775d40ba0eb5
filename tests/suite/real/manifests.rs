//! The manifests of `deploy/kubernetes`, as the real API server takes them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::cluster::{CLUSTER, Cluster};
use super::http::{Answer, Http};
use super::pki::Pki;
use super::programs::Programs;
use super::service::run;

const NAMESPACE: &str = "oidc-issuer";
const JWKS: &str = "/openid/v1/jwks";
/// The binding by which Kubernetes lets every service account read the documents.
const DEFAULT_BINDING: &str =
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:service-account-issuer-discovery";

#[tokio::test]
async fn the_api_server_accepts_every_manifest_and_a_pod_of_each_template_where_restricted_is_enforced() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let cluster = Cluster::start(&programs, "https://keys.example").await;
    for object in manifests() {
        accept(&cluster, &object).await;
    }

    let labels = &cluster
        .get(&format!("/api/v1/namespaces/{NAMESPACE}"))
        .await
        .json()["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let careless = json!({
        "metadata": { "name": "careless" },
        "spec": { "containers": [{ "name": "careless", "image": "careless" }] },
    });
    let refused = create(&cluster, &pods(), &careless).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("PodSecurity"), "{}", refused.body);

    let mut templates = 0;
    for object in manifests() {
        let template = &object["spec"]["template"];
        if template.is_null() {
            continue;
        }
        templates += 1;
        let mut pod = template.clone();
        pod["metadata"]["name"] = json!(format!("of-template-{templates}"));
        let created = create(&cluster, &pods(), &pod).await;
        assert_eq!(created.status, 201, "{}", created.body);
        assert_eq!(warnings(&created), "");
    }
    assert_eq!(templates, 1, "the Deployment's");
}

#[tokio::test]
async fn the_binding_suffices_to_read_the_keys_where_the_default_one_was_removed() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let cluster = Cluster::start(&programs, "https://keys.example").await;
    cluster.create_service_account(NAMESPACE, "oidc-issuer").await;
    let token = cluster.token(NAMESPACE, "oidc-issuer", None, None).await;
    let removed = cluster.send(Method::DELETE, DEFAULT_BINDING, None).await;
    assert_eq!(removed.status, 200, "{}", removed.body);
    soon(&cluster, &token, JWKS, 403).await;

    let [binding] = of_kind("ClusterRoleBinding").try_into().expect("one binding");
    accept(&cluster, &binding).await;
    soon(&cluster, &token, JWKS, 200).await;
}

#[tokio::test]
async fn the_role_suffices_to_read_where_the_api_server_is_and_for_nothing_else() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let cluster = Cluster::start(&programs, "https://keys.example").await;
    cluster.create_service_account(NAMESPACE, "oidc-issuer").await;
    let token = cluster.token(NAMESPACE, "oidc-issuer", None, None).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    for name in ["kubernetes", "other"] {
        let slice = json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["192.0.2.1"] }],
            "ports": [{ "name": "https", "port": 6443 }],
        });
        cluster.create(slices, &slice).await;
    }
    let own = format!("{slices}/kubernetes");
    soon(&cluster, &token, &own, 403).await;
    for kind in ["Role", "RoleBinding"] {
        for object in of_kind(kind) {
            accept(&cluster, &object).await;
        }
    }
    soon(&cluster, &token, &own, 200).await;
    for refused in [slices, &format!("{slices}/other")] {
        soon(&cluster, &token, refused, 403).await;
    }
}

#[test]
fn the_probe_and_the_service_name_ports_that_the_container_has() {
    let [deployment] = of_kind("Deployment").try_into().expect("one Deployment");
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    let ports: Vec<&Value> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| &port["name"])
        .collect();
    for probe in ["livenessProbe", "readinessProbe"] {
        assert!(ports.contains(&&container[probe]["httpGet"]["port"]), "{probe}");
    }
    for service in of_kind("Service") {
        assert_eq!(service["spec"]["selector"], template["metadata"]["labels"]);
        assert!(
            ports.contains(&&service["spec"]["ports"][0]["targetPort"]),
            "{service}"
        );
    }
}

#[test]
fn the_configuration_in_the_config_map_is_valid() {
    let [config] = of_kind("ConfigMap").try_into().expect("one ConfigMap");
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(&folder.path().join("tls"), &["oidc.example.com"]);
    let text = config["data"]["config.yaml"].as_str().expect("a file");
    assert!(text.contains("/etc/oidc-issuer/tls/tls.crt"), "{text}");
    let text = text
        .replace("/etc/oidc-issuer/tls/tls.crt", pki.cert.to_str().expect("a path"))
        .replace("/etc/oidc-issuer/tls/tls.key", pki.key.to_str().expect("a path"));
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, text).expect("a file");
    let checked = run(&["config", "check", file.to_str().expect("a path")]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

/// Builds a kustomization of the deployment with another namespace, as an overlay says it.
fn moved(programs: &Programs, base: &str, overlay: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/kubernetes")
        .join(base);
    let to = folder.path().join("base");
    std::fs::create_dir(&to).expect("a folder");
    for entry in std::fs::read_dir(&from).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let text = format!("resources: [base]\n{overlay}\n");
    std::fs::write(folder.path().join("kustomization.yaml"), text).expect("an overlay");
    let built = programs
        .command("kustomize")
        .arg(folder.path())
        .output()
        .expect("kustomize runs");
    let (text, error) = (
        String::from_utf8_lossy(&built.stdout),
        String::from_utf8_lossy(&built.stderr),
    );
    assert!(built.status.success(), "{error}");
    serde_saphyr::from_multiple(&text).expect("documents")
}

#[test]
fn an_overlay_with_another_namespace_moves_all_but_what_must_stay_in_default() {
    let Some(programs) = Programs::find(&["kustomize"]) else {
        return;
    };
    let objects = moved(&programs, "", "namespace: elsewhere");
    assert!(objects.len() > 8, "{objects:?}");
    for object in &objects {
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        let namespace = &object["metadata"]["namespace"];
        let has_none =
            ["Namespace", "ClusterRoleBinding"].contains(&object["kind"].as_str().expect("a kind"));
        assert!(has_none || namespace == "elsewhere", "{what} in {namespace}");
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "elsewhere", "{what}");
        }
        assert!(!what.contains("oidc-issuer-endpoints"), "{what} would be moved");
    }
    let patch = concat!(
        "patches:\n  - target: {kind: RoleBinding}\n    patch: '[{\"op\": \"replace\", ",
        "\"path\": \"/subjects/0/namespace\", \"value\": \"elsewhere\"}]'"
    );
    let readme = include_str!("../../../deploy/kubernetes/README.md").replace("NAME", "elsewhere");
    for line in patch.lines() {
        assert!(readme.contains(line.trim()), "the README advises {line}");
    }
    let objects = moved(&programs, "endpoints", patch);
    assert_eq!(objects.len(), 2, "{objects:?}");
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "default", "{object}");
    }
    assert_eq!(objects[1]["subjects"][0]["namespace"], "elsewhere");
}

/// All documents, in an order in which they can be created.
fn manifests() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let kustomization = documents(&folder.join("kustomization.yaml")).remove(0);
    let listed: Vec<PathBuf> = kustomization["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|name| folder.join(name.as_str().expect("a file name")))
        .collect();
    // The namespace stands first there; the samples, which are not listed, may come last.
    let listed: Vec<PathBuf> = listed
        .into_iter()
        .chain([folder.join("endpoints/rbac.yaml")])
        .collect();
    let mut samples: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !listed.contains(path) && !path.ends_with("kustomization.yaml"))
        .collect();
    samples.sort();
    assert_eq!(samples.len(), 2, "NetworkPolicy and ServiceMonitor: {samples:?}");
    // The kind of the last sample comes with the Prometheus operator.
    let own =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/real/manifests/servicemonitor-crd.yaml");
    let files = listed.into_iter().chain([own]).chain(samples);
    files.flat_map(|file| documents(&file)).collect()
}

pub(super) fn of_kind(kind: &str) -> Vec<Value> {
    manifests()
        .into_iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

/// Lets the service's account do what the manifests let it do.
pub(super) async fn permit(api: &Api) {
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        for object in of_kind(kind) {
            accept(api, &object).await;
        }
    }
}

fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a file");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// Creates an object; unknown and repeated fields are errors.
async fn create(api: &Api, path: &str, object: &Value) -> Answer {
    let path = format!("{path}?fieldValidation=Strict");
    api.send(Method::POST, &path, Some(object)).await
}

/// Creates an object of any kind that the API server knows by now.
pub(super) async fn accept(api: &Api, object: &Value) {
    let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let version = object["apiVersion"].as_str().expect("a version");
    let root = if version.contains('/') { "apis" } else { "api" };
    let resource = resource(api, &format!("/{root}/{version}"), &object["kind"]).await;
    let plural = resource["name"].as_str().expect("a plural");
    let path = if resource["namespaced"] == json!(true) {
        let namespace = object["metadata"]["namespace"].as_str().expect("a namespace");
        // What the service may do beside its own namespace: read where the API server is.
        let is_elsewhere = namespace == "default" && what.contains("oidc-issuer-endpoints");
        assert!(namespace == NAMESPACE || is_elsewhere, "{what} in {namespace}");
        format!("/{root}/{version}/namespaces/{namespace}/{plural}")
    } else {
        format!("/{root}/{version}/{plural}")
    };
    let created = create(api, &path, object).await;
    assert_eq!(created.status, 201, "{what}: {}", created.body);
    assert_eq!(warnings(&created), "", "{what}");
}

/// How the API server serves a kind. One that was defined a moment ago is not there at once.
async fn resource(api: &Api, path: &str, kind: &Value) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = api.get(path).await;
        if answer.status == 200 {
            let list = answer.json();
            let resources = list["resources"].as_array().expect("resources").iter();
            // Subresources have a slash in their name.
            let found = resources
                .filter(|resource| !resource["name"].as_str().expect("a name").contains('/'))
                .find(|resource| resource["kind"] == *kind);
            if let Some(resource) = found {
                return resource.clone();
            }
        }
        assert!(Instant::now() < deadline, "{path} has no {kind}: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the API server has to say about an object that it accepted, deprecations for one.
fn warnings(answer: &Answer) -> String {
    let warnings = answer.headers.get_all("warning").iter();
    let warnings: Vec<&str> = warnings.map(|warning| warning.to_str().expect("text")).collect();
    warnings.join("; ")
}

/// Waits until a service account's request is answered with this status.
async fn soon(cluster: &Cluster, token: &str, path: &str, status: u16) {
    let ca = std::fs::read_to_string(cluster.ca()).expect("the CA");
    let (http, url) = (Http::trusting(&ca), cluster.url(path));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = http
            .send(Method::GET, &url, Some(token), None)
            .await
            .expect("an answer");
        if answer.status == status {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} instead of {status}: {}",
            answer.status,
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
