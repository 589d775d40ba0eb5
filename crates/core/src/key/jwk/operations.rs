//! The member `key_ops` of a JWK (RFC 7517 section 4.3): what the key may be used for.

use std::collections::BTreeSet;

use super::shown;
use crate::key::json::{Kind, Reader};
use crate::key::{MemberFault, ParseError, Reason};

const MEMBER: &str = "key_ops";

/// The operations that a reason quotes at most.
const MAX_SHOWN: usize = 8;

/// What `key_ops` says; `null` counts as left out.
#[derive(Default)]
pub(super) enum Operations {
    #[default]
    Missing,
    These(BTreeSet<String>),
    Faulty(MemberFault),
}

impl Operations {
    /// Reads the value that comes next. The error is that of the whole document.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        match reader.kind()? {
            Kind::Array => {}
            Kind::Null => {
                reader.skip()?;
                return Ok(Self::Missing);
            }
            _ => {
                let found = reader.skip()?.as_str();
                return Ok(Self::Faulty(MemberFault::NotAnArray { found }));
            }
        }
        let (mut operations, mut fault) = (BTreeSet::new(), None);
        reader.array(|reader| {
            if reader.kind()? != Kind::Text {
                let found = reader.skip()?.as_str();
                fault.get_or_insert(MemberFault::NotOnlyStrings { found });
                return Ok(());
            }
            match reader.text()?.decode() {
                None => drop(fault.get_or_insert(MemberFault::NotUnicode)),
                Some(operation) => {
                    if !operations.insert(operation.into_owned()) {
                        fault.get_or_insert(MemberFault::ValueTwice);
                    }
                }
            }
            Ok(())
        })?;
        Ok(fault.map_or(Self::These(operations), Self::Faulty))
    }

    /// Refuses a key that is not for verifying signatures, or one whose `use` says signatures and nothing else
    /// while `key_ops` allows more.
    pub(super) fn check(&self, has_use: bool) -> Result<(), Reason> {
        let operations = match self {
            Self::Missing => return Ok(()),
            Self::Faulty(fault) => {
                let (member, fault) = (MEMBER, *fault);
                return Err(Reason::Member { member, fault });
            }
            Self::These(operations) => operations,
        };
        if !operations.contains("verify") {
            let found = quoted(operations);
            return Err(Reason::KeyOps { found });
        }
        let is_for_signatures = |operation: &String| operation == "verify" || operation == "sign";
        if has_use && !operations.iter().all(is_for_signatures) {
            let found = quoted(operations);
            return Err(Reason::UseAndKeyOps { found });
        }
        Ok(())
    }
}

fn quoted(operations: &BTreeSet<String>) -> String {
    let mut names: Vec<_> = operations
        .iter()
        .take(MAX_SHOWN)
        .map(|operation| match shown(operation) {
            Some(operation) => format!("\"{operation}\""),
            None => "one of an unknown name".to_owned(),
        })
        .collect();
    if operations.len() > MAX_SHOWN {
        names.push("…".to_owned());
    }
    format!("[{}]", names.join(", "))
}
