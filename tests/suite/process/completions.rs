//! Completion scripts, driven by the shells that they are for.

use std::process::Command;

use super::Folder;
use crate::real::programs::Programs;
use crate::real::service::run;

/// What bash completes behind these words, the last of which is begun.
fn bash(folder: &Folder, words: &[&str]) -> Vec<String> {
    folder.write("completion.bash", &run(&["completions", "bash"]).stdout);
    let script = r#"
        source completion.bash
        shopt -s extglob
        words=("$@")
        function=$(complete -p oidc-issuer | sed 's/.*-F \([^ ]*\) .*/\1/')
        COMP_WORDS=("${words[@]}")
        COMP_CWORD=$(( ${#words[@]} - 1 ))
        COMP_LINE="${words[*]}"
        COMP_POINT=${#COMP_LINE}
        "$function" oidc-issuer "${words[COMP_CWORD]}" "${words[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash", "oidc-issuer"])
        .args(words)
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.is_empty(), "{words:?}: {told}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn bash_completes_commands_flags_values_and_files_at_every_depth() {
    let folder = Folder::new();
    folder.write("sa.pub", "");
    folder.write("with space.pub", "");
    std::fs::create_dir(folder.path("state")).unwrap();
    let is = |words: &[&str], expected: &[&str]| assert_eq!(bash(&folder, words), expected, "{words:?}");
    is(&["co"], &["config", "completions"]);
    is(&["keys", "re"], &["revoke"]);
    is(&["keys", "revoke", "--rea"], &["--reason"]);
    is(&["keys", "list", "--output", ""], &["table", "json"]);
    is(&["keys", "list", "--output", "j"], &["json"]);
    is(&["keys", "list", "--output=j"], &["--output=json"]);
    is(&["keys", "list", "--output", "=", "j"], &["json"]);
    is(&["config", "c"], &["check"]);
    is(&["serve", "--iss"], &["--issuer"]);
    is(&["serve", "--allow"], &["--allow-exec"]);
    is(&["serve", "--log-level", "d"], &["debug"]);
    is(&["--log-format", "h"], &["human"]);
    is(&["--log-level", "info", "serve", "--listen-"], &["--listen-http"]);
    is(&["serve", "--keys", "sa"], &["sa.pub"]);
    is(&["serve", "--keys", "with"], &["with space.pub"]);
    is(&["serve", "--state-dir", "s"], &["state"]);
    is(&["inspect", "sa"], &["sa.pub"]);
    is(&["inspect", "with"], &["with space.pub"]);
    is(&["completions", "ba"], &["bash"]);
    for words in [
        &["keys", ""][..],
        &["inspect", ""],
        &["keys", "revoke", ""],
        &["keys", "approve", ""],
    ] {
        let completed = bash(&folder, words);
        assert!(!completed.is_empty(), "{words:?}");
        assert!(
            completed.iter().all(|word| !word.starts_with(['<', '['])),
            "{completed:?}"
        );
    }
}

#[test]
fn each_script_is_one_that_its_shell_can_read() {
    let folder = Folder::new();
    for (shell, arguments) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{}", script.stderr);
        let file = folder.write("script", &script.stdout);
        // Every Debian has bash; what it lacks of the others is said.
        let mut command = match shell {
            "bash" => Command::new("bash"),
            shell => match Programs::find(&[shell]) {
                Some(programs) => programs.command(shell),
                None => continue,
            },
        };
        let output = command.args([arguments, &file]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shell}: {error}");
    }
    for shell in ["elvish", "powershell"] {
        assert!(run(&["completions", shell]).stdout.contains("oidc-issuer"));
    }
}
