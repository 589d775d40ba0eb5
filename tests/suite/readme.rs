//! What the documents say of the project holds: links lead somewhere, the README shows what happens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::real::program::free_port;
use crate::real::service::{OidcIssuer, run};

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = prose(&read(&document));
        for target in links(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let is_there = path.exists() && (anchor.is_empty() || anchors(&read(&path)).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test]
async fn the_readme_shows_what_the_embedded_default_prints_and_serves() {
    let readme = read(&root().join("README.md"));
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (state, listen) = (folder.path().join("state"), format!("127.0.0.1:{port}"));
    let mut service = OidcIssuer::serve_in(&state, &["--listen", &listen]).await;
    let state = state.to_str().unwrap();

    let printed = service.program().printed();
    assert!(printed.contains("curl"), "{printed}");
    // As if nothing had been said by flags.
    let printed = printed
        .replace(&format!(" --listen {listen} --state-dir {state}"), "")
        .replace(state, "/home/you/.local/state/oidc-issuer")
        .replace(&port.to_string(), "8443");
    for line in printed.lines() {
        // How the program was started stands before the name of its command.
        let line = line
            .rsplit_once("oidc-issuer token")
            .map_or(line, |(_, rest)| rest);
        assert!(readme.contains(line.trim()), "not in the README: {line}");
    }
    let admin = service.admin("").replace("http://", "");
    let mut last = 0;
    for line in service.log().iter().filter(|line| line["level"] != "DEBUG") {
        let message = line["message"].as_str().unwrap();
        let message = message
            .replace(state, "/home/you/.local/state/oidc-issuer")
            .replace(&admin, "127.0.0.1:9180")
            .replace(&port.to_string(), "8443");
        // How many connections, and why so many, depends on the memory and open files of the machine.
        let message = match message.split_once(" connections at once: ") {
            Some(_) => " connections at once: ".to_owned(),
            None => message,
        };
        let place = readme.find(&message);
        let place = place.unwrap_or_else(|| panic!("not in the README: {message}"));
        // What the tasks of issuers say may come at any time.
        if line["target"] == "oidc_issuer::cli::serve" {
            assert!(place > last, "the README shows it earlier: {message}");
            last = place;
        }
    }

    let issuer = format!("https://localhost:{port}");
    let http = service.http();
    let discovery = http
        .get(&format!("{issuer}/.well-known/openid-configuration"))
        .await;
    let shown = discovery.body.replace(&port.to_string(), "8443");
    assert!(readme.contains(&shown), "not in the README: {shown}");
    let jwks = http.get(&format!("{issuer}/jwks")).await;
    for (name, value) in &jwks.headers {
        if !["date", "etag", "content-length"].contains(&name.as_str()) {
            let line = format!("{name}: {}\n", value.to_str().unwrap());
            assert!(readme.contains(&line), "not in the README: {line}");
        }
    }
}

#[test]
fn the_configuration_in_the_readme_is_valid() {
    let readme = read(&root().join("README.md"));
    let blocks: Vec<&str> = blocks(&readme, "yaml");
    assert_eq!(blocks.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, blocks[0]).unwrap();
    let checked = run(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

#[test]
fn the_commands_of_the_readme_have_the_flags_that_it_names() {
    let readme = read(&root().join("README.md"));
    let commands = blocks(&readme, "sh").join("\n");
    let mut seen = 0;
    for command in commands
        .lines()
        .filter_map(|line| line.strip_prefix("oidc-issuer "))
    {
        let words: Vec<&str> = command.split_whitespace().collect();
        let help = run(&[words[0], "--help"]).stdout;
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{flag} ")), "{}: no {flag}", words[0]);
            seen += 1;
        }
    }
    assert!(seen > 5, "the README names flags");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents for people.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docker", "deploy/kubernetes", "deploy/prometheus"];
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let mut documents: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    assert!(documents.len() > 8, "{documents:?}");
    documents
}

/// A document without its code.
fn prose(document: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            // Every other part between back quotes is code.
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// The targets of its links within the project.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
}

/// What its headings are called in links.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The fenced blocks of a kind.
fn blocks<'a>(document: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let starts = document.split(fence.as_str()).skip(1);
    starts
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}
