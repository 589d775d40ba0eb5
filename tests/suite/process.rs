//! The real binary as a process: how it starts, reloads and ends, and what its commands answer.

mod advice;
mod commands;
mod completions;
mod confirmation;
mod credentials;
mod disk;
mod help;
mod keys;
mod kill;
mod ledgers;
mod log;
mod reload;
mod shown;
mod signals;
mod start;
mod stop;
mod warnings;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::real::http::{Answer, Http};
use crate::real::program::{eventually, free_port};
use crate::real::service::OidcIssuer;

/// The public keys of the vectors, RSA at 0 and P-256 at 1.
fn key(place: usize) -> String {
    let file: Value = serde_json::from_str(include_str!("../vectors/kid.json")).unwrap();
    file["vectors"][place]["pem"].as_str().unwrap().to_owned()
}

/// The `kid` of one of them.
fn kid(place: usize) -> String {
    let file: Value = serde_json::from_str(include_str!("../vectors/kid.json")).unwrap();
    file["vectors"][place]["jwk"]["kid"].as_str().unwrap().to_owned()
}

/// A folder with key files and a configuration.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        write(&self.path(name), content);
        self.text(name)
    }
}

fn write(path: &Path, content: &str) {
    // As an editor does it: never half a file.
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

/// A service on a port of its own, with the RSA key of the vectors as a file.
struct Served {
    folder: Folder,
    service: OidcIssuer,
    issuer: String,
}

impl Served {
    async fn with(more: &[&str]) -> Self {
        let folder = Folder::new();
        let keys = folder.write("sa.pub", &key(0));
        let port = free_port();
        let (issuer, listen) = (format!("https://localhost:{port}"), format!("127.0.0.1:{port}"));
        let mut arguments = vec!["--issuer", &issuer, "--keys", &keys, "--listen", &listen];
        arguments.extend(more);
        let service = OidcIssuer::serve(&arguments).await;
        Self {
            folder,
            service,
            issuer,
        }
    }
}

/// The kids that are published at this JWKS; empty while there is none.
async fn kids(http: &Http, jwks: &str) -> Vec<String> {
    let answer = http.get(jwks).await;
    if answer.status != 200 {
        return Vec::new();
    }
    kids_of(&answer)
}

fn kids_of(answer: &Answer) -> Vec<String> {
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until this URL answers with this status.
async fn answers(http: &Http, url: &str, status: u16) {
    eventually(&format!("{url} answers {status}"), async || {
        (http.get(url).await.status == status).then_some(())
    })
    .await;
}
