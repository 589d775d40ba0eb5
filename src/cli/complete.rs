//! `completions`: what a shell completes.

use std::process::ExitCode;

use clap::{Arg, Args, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use super::{Cli, Failure, output};

/// Print a completion script for a shell
///
/// For example: oidc-issuer completions bash > /etc/bash_completion.d/oidc-issuer
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    let mut command = hinted(Cli::command());
    clap_complete::generate(args.shell, &mut command, "oidc-issuer", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        script = for_bash(&script);
    }
    output::say(script).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// What a value is follows from its name in the help.
fn hinted(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let hint = hint(&arg);
        arg.value_hint(hint)
    });
    command.mut_subcommands(hinted)
}

fn hint(arg: &Arg) -> ValueHint {
    let names = arg.get_value_names().unwrap_or_default();
    let is = |kind: &str| names.iter().any(|name| name.split('|').any(|part| part == kind));
    if is("FILE") || is("GLOB") {
        ValueHint::FilePath
    } else if is("DIR") {
        ValueHint::DirPath
    } else if arg.get_possible_values().is_empty() {
        ValueHint::Other
    } else {
        ValueHint::Unknown
    }
}

/// Repairs what `clap_complete` writes for bash: names of functions and states are not the same where the name of the
/// program has a hyphen, placeholders (`[FILE]`) are completed as if they were words, and a value is not found behind
/// `--flag=`. What is no flag and no command is a file.
fn for_bash(script: &str) -> String {
    let script = script.replace("oidc__subcmd__issuer", "oidc__issuer");
    let lines = script
        .lines()
        .map(|line| match line.trim_start().strip_prefix("opts=\"") {
            Some(words) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                let words = words.trim_end_matches('"').split(' ');
                let words: Vec<_> = words.filter(|word| !word.starts_with(['<', '['])).collect();
                format!("{indent}opts=\"{}\"\n", words.join(" "))
            }
            // As candidates, so that files are not taken where there is a folder.
            None if line.trim_start() == "compopt -o plusdirs" => FOLDERS.to_owned(),
            // Outside of a completion it only complains.
            None if line.trim_start().starts_with("compopt ") => format!("{line} 2>/dev/null\n"),
            None if line.trim_start().starts_with("complete -F ") => {
                line.replace("_oidc__issuer", "_oidc_issuer") + "\n"
            }
            None => format!("{line}\n"),
        });
    let script: String = lines.collect();
    match script.rfind("\nif [[") {
        Some(end) => format!("{}{WRAPPER}{}", &script[..end], &script[end..]),
        None => script,
    }
}

const FOLDERS: &str = r#"
    local IFS=$'\n'
    COMPREPLY=($(compgen -d -- "${cur}"))
    compopt -o filenames 2>/dev/null
"#;

const WRAPPER: &str = r#"
_oidc_issuer() {
    local word="${2}" before="${3}" flag=""
    if [[ "${before}" == "=" ]]; then
        # `=` stands between two words, as bash divides them.
        before="${COMP_WORDS[COMP_CWORD-2]}"
    elif [[ "${word}" == "=" ]]; then
        word=""
    elif [[ "${word}" == --*=* ]]; then
        flag="${word%%=*}="
        before="${word%%=*}"
        word="${word#*=}"
        local COMP_WORDS=("${COMP_WORDS[@]:0:COMP_CWORD}" "${before}" "${word}")
        local COMP_CWORD=$((COMP_CWORD + 1))
    fi
    _oidc__issuer "${1}" "${word}" "${before}"
    if [[ ${#COMPREPLY[@]} -eq 0 && "${word}" != -* ]]; then
        local IFS=$'\n'
        COMPREPLY=($(compgen -f -- "${word}"))
        compopt -o filenames 2>/dev/null
    fi
    if [[ -n "${flag}" ]]; then
        COMPREPLY=("${COMPREPLY[@]/#/${flag}}")
    fi
}
"#;
