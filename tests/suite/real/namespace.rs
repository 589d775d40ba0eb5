//! A network of a test's own, with addresses that are not loopback: `kube-apiserver` tells others no other.
//!
//! The test starts its own binary once more, for itself alone, in a network namespace and a process namespace:
//! when it ends, however it ends, the kernel ends all that it started.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::programs::{Programs, skip};

/// Set in the process that has the network: the test that it is there for.
const MARK: &str = "OIDC_ISSUER_TESTS_NAMESPACE";

/// The programs that make such a network.
const PROGRAMS: &[&str] = &["ip", "unshare"];

/// Runs `story` where these addresses are this machine's and nobody else's, with the programs that it needs.
///
/// It must be a closure in the test itself: the test's name is read off its type.
///
/// # Panics
///
/// If the story fails.
pub(crate) fn alone<Story, Future>(needs: &[&str], addresses: &[&str], story: Story)
where
    Story: FnOnce(Programs) -> Future,
    Future: std::future::Future<Output = ()>,
{
    let Some(programs) = Programs::find(&[needs, PROGRAMS].concat()) else {
        return;
    };
    let name = name_of::<Story>();
    if std::env::var(MARK).as_deref() == Ok(name) {
        inside(&programs, addresses);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(story(programs));
    } else if let Some(mut unshare) = unshare(&programs) {
        let test = std::env::current_exe().expect("this binary");
        run(unshare
            .arg(test)
            .args(["--exact", name, "--nocapture", "--include-ignored"])
            .env(MARK, name));
    }
}

/// `suite::real::soak::the_test::{{closure}}` without its ends: what the test is called on the command line.
fn name_of<Story>() -> &'static str {
    let name = std::any::type_name::<Story>();
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    name.trim_end_matches("::{{closure}}")
}

/// The command that makes the namespaces: as root, or as a user where the kernel lets users do it.
fn unshare(programs: &Programs) -> Option<Command> {
    let flags = ["--net", "--pid", "--fork", "--kill-child"];
    for user in [&[][..], &["--user", "--map-root-user"][..]] {
        let command = || {
            let mut command = programs.command("unshare");
            command.args(user).args(flags);
            command
        };
        let tried = command().arg("true").stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) {
            return Some(command());
        }
    }
    skip("it needs a network namespace: run it as root, or let users make user namespaces");
    None
}

fn inside(programs: &Programs, addresses: &[&str]) {
    let ip = |arguments: &[&str]| {
        let status = programs.command("ip").args(arguments).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "ip {}",
            arguments.join(" ")
        );
    };
    ip(&["link", "set", "lo", "up"]);
    for address in addresses {
        ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
    }
}

/// What the test prints there is printed here; what it says on standard error is seen even if it passes.
fn run(command: &mut Command) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the test starts");
    let printed = child.stdout.take().expect("a pipe");
    let mut passed = false;
    for line in BufReader::new(printed).lines().map_while(Result::ok) {
        passed |= line.starts_with("test result: ok. 1 passed");
        // Not at the start of a line: the results there are counted.
        println!("| {line}");
    }
    let status = child.wait().expect("a child to wait for");
    assert!(status.success() && passed, "in a network of its own: {status}");
}
