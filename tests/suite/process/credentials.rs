//! The units for systemd: `sa.pub` of kubeadm, which only root may read, reaches the service as a credential.
//!
//! systemd itself does not run in these tests: they read the units and do what those say, and `systemd-analyze` checks them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Folder, key, kid, kids};
use crate::real::program::{eventually, free_port};
use crate::real::programs::Programs;
use crate::real::service::OidcIssuer;

const SERVICE: &str = include_str!("../../../deploy/systemd/oidc-issuer.service");
const DROP_IN: &str = include_str!("../../../deploy/systemd/kubeadm/sa-pub.conf");
const WATCH: &str = include_str!("../../../deploy/systemd/kubeadm/oidc-issuer-keys.path");
const RESTART: &str = include_str!("../../../deploy/systemd/kubeadm/oidc-issuer-keys.service");

/// The values of this setting in a unit.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    let settings = unit.lines().filter_map(|line| line.split_once('='));
    settings
        .filter(|(name, _)| *name == setting)
        .map(|(_, value)| value)
        .collect()
}

/// The name of the credential and the file that it is a copy of.
fn credential() -> (&'static str, &'static str) {
    let credentials = values(DROP_IN, "LoadCredential");
    assert_eq!(credentials.len(), 1, "{credentials:?}");
    credentials[0].split_once(':').unwrap()
}

#[test]
fn the_base_unit_needs_no_key_file_and_the_drop_in_watches_the_file_that_it_loads() {
    assert!(values(SERVICE, "LoadCredential").is_empty());
    let (name, source) = credential();
    assert_eq!(values(WATCH, "PathChanged"), [source]);
    assert_eq!(values(WATCH, "Unit"), ["oidc-issuer-keys.service"]);
    assert_eq!(
        values(RESTART, "ExecStart"),
        ["systemctl try-restart oidc-issuer.service"]
    );
    let copy = format!("files: {{paths: [/run/credentials/oidc-issuer.service/{name}]}}");
    assert!(DROP_IN.contains(&copy), "{copy}");
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let Some(programs) = Programs::find(&["systemd-analyze"]) else {
        return;
    };
    let folder = Folder::new();
    let write = |path: &str, text: &str| {
        let path = folder.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let units = "etc/systemd/system";
    for (name, text) in [
        ("oidc-issuer.service", SERVICE),
        ("oidc-issuer.service.d/sa-pub.conf", DROP_IN),
        ("oidc-issuer-keys.path", WATCH),
        ("oidc-issuer-keys.service", RESTART),
    ] {
        write(&format!("{units}/{name}"), text);
    }
    // All that the units start or wait for: nothing of this machine is looked at.
    for target in [
        "basic",
        "multi-user",
        "network-online",
        "paths",
        "shutdown",
        "sysinit",
    ] {
        write(
            &format!("{units}/{target}.target"),
            "[Unit]\nDescription=A target\n",
        );
    }
    for program in [
        "usr/local/bin/oidc-issuer",
        "bin/kill",
        "usr/bin/kill",
        "usr/bin/systemctl",
        "bin/systemctl",
    ] {
        let path = write(program, "");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let verify = || {
        let output = programs
            .command("systemd-analyze")
            .arg(format!("--root={}", folder.path("").display()))
            .args(["--man=no", "verify", "oidc-issuer.service"])
            .args(["oidc-issuer-keys.path", "oidc-issuer-keys.service"])
            .output()
            .expect("systemd-analyze runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(verify(), (true, String::new()));
    // It does look: a misspelled setting is ignored by systemd, and only said.
    let misspelled = SERVICE.replace("ProtectClock=", "ProtectClok=");
    write(&format!("{units}/oidc-issuer.service"), &misspelled);
    assert!(verify().1.contains("ProtectClok"), "{:?}", verify());
}

#[test]
fn the_sample_for_systemd_names_the_credential_that_the_drop_in_loads() {
    let sample = include_str!("../../../config/systemd-credential.yaml");
    let path = format!("paths: [/run/credentials/oidc-issuer.service/{}]", credential().0);
    assert!(sample.contains(&path), "{path}");
}

/// What systemd does with `LoadCredential=` at each start: a new copy that can only be read.
fn load(source: &Path, credentials: &Path) -> PathBuf {
    let copy = credentials.join(credential().0);
    if copy.exists() {
        fs::remove_file(&copy).unwrap();
    }
    fs::copy(source, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o400)).unwrap();
    copy
}

#[tokio::test]
async fn a_changed_sa_pub_is_published_by_the_restart_and_the_former_key_is_retained() {
    let folder = Folder::new();
    let (state, credentials) = (folder.path("state"), folder.path("credentials"));
    for path in [&state, &credentials] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let source = folder.path("sa.pub");
    let port = free_port();
    let (issuer, listen) = (format!("https://localhost:{port}"), format!("127.0.0.1:{port}"));
    let jwks = format!("{issuer}/jwks");
    for (place, expected) in [(0, vec![kid(0)]), (1, vec![kid(0), kid(1)])] {
        folder.write("sa.pub", &key(place));
        fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
        let copy = load(&source, &credentials);
        let keys = copy.to_str().unwrap();
        let service = OidcIssuer::serve_in(
            &state,
            &["--issuer", &issuer, "--keys", keys, "--listen", &listen],
        )
        .await;
        let http = service.http();
        eventually(
            "the key of the file is published, and what was before",
            async || {
                let mut found = kids(&http, &jwks).await;
                found.sort();
                let mut expected = expected.clone();
                expected.sort();
                (found == expected).then_some(())
            },
        )
        .await;
    }
}
