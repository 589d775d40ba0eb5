//! What is wrong with a configuration: every problem at once, each with its place and what to do.

use std::cell::RefCell;
use std::fmt;

use super::tree::{Node, Origin};

/// One problem: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field (`issuers[0].sources[1].files.paths`), the flag (`--listen`) or the variable
    /// (`OIDC_ISSUER_LISTEN`); empty for the file as a whole.
    pub place: String,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that was refused: at least one problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, where there is one.
    pub file: Option<String>,
    /// What is wrong with it.
    pub list: Vec<Problem>,
}

impl Problems {
    /// A file that could not be read at all, or is no YAML.
    pub(super) fn of_file(file: &str, line: Option<u64>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            file: Some(file.to_owned()),
            list: vec![Problem {
                place: String::new(),
                line,
                message,
            }],
        }
    }

    /// How many there are, and where.
    pub fn headline(&self) -> String {
        let what = match self.list.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        match &self.file {
            Some(file) => format!("{what} in {file}"),
            None => format!("{what} in the settings"),
        }
    }

    /// All of it for a log, where a line is an event.
    pub fn in_one_line(&self) -> String {
        let list: Vec<_> = self.list.iter().map(ToString::to_string).collect();
        format!("{}: {}", self.headline(), list.join("; "))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for problem in &self.list {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

/// Where a setting was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: Option<u64>,
}

impl Place {
    /// The place of a node: its path and line, or the flag that said it.
    pub(super) fn of(path: String, node: &Node) -> Self {
        match &node.origin {
            Origin::Line(line) => Self {
                path,
                line: Some(*line),
            },
            Origin::Named(name) => Self::named(name.clone()),
        }
    }

    /// A flag or an environment variable.
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            path: name.into(),
            line: None,
        }
    }
}

/// Collects problems while a configuration is read to its end.
#[derive(Debug, Default)]
pub(super) struct Report(RefCell<Vec<Problem>>);

impl Report {
    pub(super) fn add(&self, place: &Place, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem {
            place: place.path.clone(),
            line: place.line,
            message: message.into(),
        });
    }

    /// The value if nothing was reported, otherwise all of it in the order of the lines.
    pub(super) fn finish<T>(self, file: Option<&str>, value: T) -> Result<T, Problems> {
        let mut list = self.0.into_inner();
        if list.is_empty() {
            return Ok(value);
        }
        list.sort_by_key(|problem| problem.line.unwrap_or(0));
        list.dedup();
        Err(Problems {
            file: file.map(str::to_owned),
            list,
        })
    }
}
