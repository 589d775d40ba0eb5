//! `docs/walkthrough.md`, command by command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::program::free_port;
use super::programs::Programs;

const PROGRAMS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "bao",
    "envoy",
    "python",
    "verifiers",
    "node",
    "openssl",
    "curl",
];

/// The ports that the document names: each becomes a free one.
const PORTS: &[&str] = &["2379", "2380", "6443", "8443", "9180", "8200", "9901", "10000"];

#[test]
fn every_command_of_the_walkthrough_does_what_it_says() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut document = std::fs::read_to_string(root.join("docs/walkthrough.md")).expect("the walkthrough");
    // Not in one go: a free port may contain the digits of the next one.
    for (index, port) in PORTS.iter().enumerate() {
        document = document.replace(port, &format!("@{index}@"));
    }
    for index in 0..PORTS.len() {
        document = document.replace(&format!("@{index}@"), &free_port().to_string());
    }
    let steps = steps(&document);
    assert!(
        steps.iter().any(|step| !step.printed.is_empty()),
        "the walkthrough shows no output"
    );

    let mut script = String::from("set -eu\ntrap 'kill -KILL $(jobs -p) 2> /dev/null' EXIT\n");
    for step in &steps {
        script.extend(["echo '", MARK, "'\n", &step.commands]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = bash(&programs, &script, root, folder.path());
    let (succeeded, printed) = output;
    let outputs: Vec<&str> = printed.split(&format!("{MARK}\n")).skip(1).collect();
    for (step, output) in steps.iter().zip(&outputs) {
        let mut lines = output.lines();
        for expected in &step.printed {
            assert!(
                lines.any(|line| fits(expected, line)),
                "{}\nprints no {expected}:\n{output}",
                step.commands
            );
        }
    }
    let last = outputs.last().expect("an output");
    assert!(
        succeeded,
        "a command fails: {}\n{last}",
        steps[outputs.len() - 1].commands
    );
    assert_eq!(outputs.len(), steps.len());
}

/// How long all of it may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(5);

/// Between the outputs of two steps.
const MARK: &str = "=== the next step ===";

/// Some commands, and lines of what they print.
#[derive(Debug, Default)]
struct Step {
    commands: String,
    printed: Vec<String>,
}

/// Each `sh` block, with the `text` block after it.
fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block = "";
    for line in document.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), "") => {
                block = if kind.is_empty() { "plain" } else { kind };
                if block == "sh" {
                    steps.push(Step::default());
                }
            }
            (Some(_), _) => block = "",
            (None, "sh") => steps.last_mut().expect("a step").commands.extend([line, "\n"]),
            (None, "text") => steps.last_mut().expect("a step").printed.push(line.to_owned()),
            (None, _) => {}
        }
    }
    steps
}

/// Whether a line is as expected, where `…` stands for anything.
fn fits(expected: &str, mut line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    line = rest;
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return line.is_empty();
    };
    for part in middle {
        let Some((_, rest)) = line.split_once(part) else {
            return false;
        };
        line = rest;
    }
    line.ends_with(last)
}

/// Runs a script with the programs on its path; tells whether it succeeded, and all that it printed.
fn bash(programs: &Programs, script: &str, root: &Path, folder: &Path) -> (bool, String) {
    let file = folder.join("walkthrough.sh");
    std::fs::write(&file, script).expect("a file");
    let binary = Path::new(env!("CARGO_BIN_EXE_oidc-issuer"));
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let usual: Vec<PathBuf> = std::env::split_paths(&usual).collect();
    let folders = PROGRAMS
        .iter()
        .map(|name| programs.path(name))
        .chain([binary])
        .filter_map(Path::parent);
    let folders = folders
        .map(Path::to_path_buf)
        .filter(|folder| !usual.contains(folder));
    let path = std::env::join_paths(folders.chain(usual.clone()));
    let log = folder.join("output");
    let open = || {
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a file")
    };
    // Its loops wait without an end. Whoever walks sees that; here what was started must end too.
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", &PATIENCE.as_secs().to_string(), "bash"])
        .arg(&file)
        .current_dir(root)
        .env("PATH", path.expect("a path"))
        .env("TMPDIR", folder);
    let status = command
        .stdin(Stdio::null())
        .stdout(open())
        .stderr(open())
        .status()
        .expect("bash runs");
    (
        status.success(),
        std::fs::read_to_string(&log).expect("the output"),
    )
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(fits("a…c", "abc"));
    assert!(fits("…", ""));
    assert!(fits("abc", "abc"));
    assert!(!fits("a…c", "abcd"));
    assert!(!fits("abc", "abcd"));
}
