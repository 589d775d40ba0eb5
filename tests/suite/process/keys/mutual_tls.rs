//! The control listener: whoever has no certificate of its CA gets nowhere.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::real::pki::Pki;

/// A CA for clients.
struct Clients {
    ca: CertificateParams,
    key: KeyPair,
}

impl Clients {
    fn new() -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "CA of operators");
        Self {
            ca,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.ca.self_signed(&self.key).unwrap().pem()
    }

    /// Writes certificate and key of an operator, and tells their names.
    fn operator(&self, folder: &Folder, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.ca, &self.key);
        let cert = params.signed_by(&key, &issuer).unwrap();
        (
            folder.write(&format!("{name}.crt"), &cert.pem()),
            folder.write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }
}

/// Connections that say nothing.
fn silent(port: u16, count: usize) -> Vec<std::net::TcpStream> {
    (0..count)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect()
}

#[tokio::test]
async fn only_a_client_certificate_of_the_configured_ca_gives_commands() {
    let house = House::new();
    let server = Pki::create(&house.folder.path("tls"), &["localhost", "127.0.0.1"]);
    let clients = Clients::new();
    house.folder.write("clients.crt", &clients.pem());
    let port = free_port();
    let control = format!(
        "control:\n  address: 127.0.0.1:{port}\n  tls: {{certFile: tls/tls.crt, keyFile: tls/tls.key}}\n  \
         clientCaFile: clients.crt\naudit: {{file: audit.log}}\n"
    );
    let service = house.serve(&control).await;
    house.publishes(&[0, 1]).await;
    let ca = server.ca.to_str().unwrap();
    let url = format!("https://localhost:{port}");
    let ask = |(cert, key): &(String, String), arguments: &[&str]| {
        let way = [
            "--control",
            &url,
            "--ca-file",
            ca,
            "--cert-file",
            cert,
            "--key-file",
            key,
        ];
        let all: Vec<_> = ["keys"]
            .into_iter()
            .chain(arguments.iter().copied())
            .chain(way)
            .collect();
        run(&all)
    };

    let alice = clients.operator(&house.folder, "alice");
    let output = ask(&alice, &["list"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let output = ask(&alice, &["revoke", &kid(0), "--reason", "leaked"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    house.publishes(&[1]).await;
    let line = std::fs::read_to_string(house.folder.path("audit.log")).unwrap();
    assert!(line.contains(r#""by":"alice by certificate on "#), "{line}");
    assert!(line.contains(r#""via":"mutual TLS from 127.0.0.1:"#), "{line}");

    // A server that is not of the named CA is told nothing.
    let wrong = house.folder.text("clients.crt");
    let (cert, key) = &alice;
    let way = [
        "--control",
        &url,
        "--ca-file",
        &wrong,
        "--cert-file",
        cert,
        "--key-file",
        key,
    ];
    let output = run(&[&["keys", "list"][..], &way].concat());
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("is not the right one"),
        "{}",
        output.stderr
    );
    // Half an identity is wrong usage.
    assert_eq!(run(&["keys", "list", "--control", &url]).code, Some(64));

    let mallory = Clients::new().operator(&house.folder, "mallory");
    let output = ask(&mallory, &["unrevoke", &kid(0)]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("refuses the certificate"),
        "{}",
        output.stderr
    );
    // Nobody without one gets as far as an answer.
    let http = Http::trusting(&std::fs::read_to_string(ca).unwrap());
    let nobody = format!("{url}/v1/keys");
    let asked = http.send(reqwest::Method::GET, &nobody, None, None);
    assert!(asked.await.is_err());
    service
        .logged("who was refused", |line| {
            line["level"] == "WARN" && line.to_string().contains("control listener was refused")
        })
        .await;
    // Whoever goes on knocking does not fill the log.
    service
        .logged("the next one, in less than a warning", |line| {
            line["level"] == "DEBUG"
                && line
                    .to_string()
                    .contains("another connection to the control listener")
        })
        .await;
    house.publishes(&[1]).await;

    // Strangers who say nothing keep nobody from the socket, nor an operator with a certificate from the address.
    let strangers = silent(port, 300);
    house.done(&["list"]);
    let output = ask(&alice, &["list"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    drop(strangers);

    // Another CA takes effect with the next connection.
    let others = Clients::new();
    house.folder.write("clients.crt", &others.pem());
    let output = ask(&alice, &["list"]);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let bob = others.operator(&house.folder, "bob");
    assert_eq!(ask(&bob, &["unrevoke", &kid(0)]).code, Some(0));
    house.publishes(&[0, 1]).await;
    // What cannot be used is not taken over.
    house.folder.write("clients.crt", "nothing");
    assert_eq!(ask(&bob, &["list"]).code, Some(0));
}

/// The commands of the documentation, for this name of the listener.
fn recipe(folder: &Path, name: &str) {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    let recipe = page
        .split("```sh\n")
        .find(|block| block.contains("operators-ca.key"))
        .unwrap();
    let recipe = recipe
        .split("```")
        .next()
        .unwrap()
        .replace("control.example.com", name);
    let done = std::process::Command::new("bash")
        .args(["-e", "-c", &recipe])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn the_documented_recipe_makes_certificates_that_work_and_version_1_is_named() {
    let house = House::new();
    let folder = house.folder.path("tls");
    std::fs::create_dir(&folder).unwrap();
    recipe(&folder, "localhost");
    let port = free_port();
    let control = format!(
        "control:\n  address: 127.0.0.1:{port}\n  tls: {{certFile: tls/control.crt, keyFile: tls/control.key}}\n  \
         clientCaFile: tls/operators-ca.crt\n"
    );
    let service = house.serve(&control).await;
    house.publishes(&[0, 1]).await;
    let url = format!("https://localhost:{port}");
    let file = |name: &str| folder.join(name).display().to_string();
    let list = |cert: &str, key: &str| {
        let (ca, cert, key) = (file("operators-ca.crt"), file(cert), file(key));
        run(&[
            "keys",
            "list",
            "--control",
            &url,
            "--ca-file",
            &ca,
            "--cert-file",
            &cert,
            "--key-file",
            &key,
        ])
    };
    let output = list("alice.crt", "alice.key");
    assert_eq!(output.code, Some(0), "{}", output.stderr);

    let signed = std::process::Command::new("openssl")
        .args([
            "x509",
            "-req",
            "-in",
            "alice.csr",
            "-CA",
            "operators-ca.crt",
            "-CAkey",
            "operators-ca.key",
        ])
        .args(["-CAcreateserial", "-days", "7", "-out", "old.crt"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let text = std::process::Command::new("openssl")
        .args(["x509", "-in", "old.crt", "-noout", "-text"])
        .current_dir(&folder)
        .output()
        .unwrap();
    if !String::from_utf8_lossy(&text.stdout).contains("Version: 1") {
        return; // A newer OpenSSL makes version 3 in any case.
    }
    let output = list("old.crt", "alice.key");
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("version 1"), "{}", output.stderr);
    // A client that does not look itself.
    let mut asked = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-cert",
            "old.crt",
            "-key",
            "alice.key",
        ])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .current_dir(&folder)
        .spawn()
        .unwrap();
    service
        .logged("what is wrong with the certificate", |line| {
            let line = line.to_string();
            line.contains("version 1") && line.contains("-extfile") && !line.contains("OtherError")
        })
        .await;
    let _ = asked.wait();
}

#[test]
fn an_address_without_a_client_ca_is_refused() {
    let house = House::new();
    let config = house.config("control: {address: '127.0.0.1:0', tls: {certFile: a, keyFile: b}}\n");
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.code, Some(64));
    assert!(
        output.stderr.contains("control: has no `clientCaFile`"),
        "{}",
        output.stderr
    );
}
