//! The text of `--help`, as a whole.

use crate::real::service::run;

#[test]
fn help_is_as_reviewed() {
    for command in [
        "",
        "serve",
        "token",
        "inspect",
        "keys",
        "keys list",
        "keys revoke",
        "keys unrevoke",
        "keys approve",
        "keys import",
        "config check",
        "health",
        "completions",
    ] {
        let mut arguments: Vec<_> = command.split_whitespace().collect();
        arguments.push("--help");
        let name = if command.is_empty() {
            "oidc-issuer"
        } else {
            command
        }
        .replace(' ', "_");
        insta::assert_snapshot!(format!("help_{name}"), run(&arguments).stdout);
    }
}

/// Every variable of the documentation is named beside its flag, and the other way around.
#[test]
fn every_variable_is_named_in_help_and_in_the_documentation() {
    let variables = |text: &str| {
        let mut found: Vec<_> = text
            .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .filter(|word| word.starts_with("OIDC_ISSUER_"))
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let told = variables(&run(&["serve", "--help"]).stdout);
    assert_eq!(told.len(), 18);
    assert_eq!(told, variables(include_str!("../../../docs/configuration.md")));
}
