//! `issuers[].discovery`: further members of the discovery document.

use std::collections::HashMap;

use serde_json::{Map, Number, Value as Json};

use crate::config::fields::{Field, Setting};
use crate::config::problem::Place;
use crate::config::tree::{Node, Value};
use crate::display::is_hidden;
use crate::publication::{folded, reserved};

/// Reads them; every one that some reader of the document would stumble over is refused.
pub(super) fn read(field: &Field<'_>) -> Setting<Map<String, Json>> {
    let Value::Map(entries) = &field.node.value else {
        return field.refuse("should be a mapping of further members of the discovery document");
    };
    for (name, node) in entries {
        let path = format!("{}.{name}", field.place.path);
        if let Some(member) = reserved(name) {
            let from = comes_from(member);
            let spelling = if member == name {
                String::new()
            } else {
                format!(" (readers that match names without case take it for `{member}`)")
            };
            field.report.add(
                &Place::of(path, node),
                format!(
                    "is a member that the service writes itself, from {from}{spelling}: leave it out here"
                ),
            );
        } else if let Some(fault) = wrong_type(name, &node.value) {
            field.report.add(&Place::of(path, node), fault);
        }
    }
    check(field, &field.place.path, field.node);
    let members = entries
        .iter()
        .map(|(name, node)| (name.clone(), json(&node.value)));
    Setting::Given(members.collect())
}

/// Where a member that the service writes itself comes from.
fn comes_from(member: &str) -> &'static str {
    match member {
        "issuer" => "`issuer`",
        "jwks_uri" => "`jwksUri`",
        "id_token_signing_alg_values_supported" => "the published keys and `announcedAlgorithms`",
        _ => "what Kubernetes does",
    }
}

/// Members whose type follows from their name (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2): a reader
/// that decodes into a structure refuses the whole document for another type.
fn wrong_type(name: &str, value: &Value) -> Option<&'static str> {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    let is_named = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match value {
        // Refused with a reason of its own.
        Value::Null => None,
        value if is_named(&["_endpoint", "_uri"]) && !is_text(value) => Some("should be a string"),
        Value::Bool(_) => None,
        Value::List(items) if items.iter().all(|item| is_text(&item.value)) => None,
        _ if is_named(&["_supported"]) => Some("should be a list of strings, `true` or `false`"),
        _ => None,
    }
}

/// What no reader should meet, at every depth.
fn check(field: &Field<'_>, path: &str, node: &Node) {
    let refuse = |path: &str, node: &Node, message: String| {
        field.report.add(&Place::of(path.to_owned(), node), message);
    };
    match &node.value {
        Value::Null => refuse(path, node, "is null: leave it out, or give it a value".into()),
        Value::Text(text) if text.is_empty() => {
            refuse(path, node, "is empty: leave it out, or give it a value".into());
        }
        Value::List(items) if items.is_empty() => refuse(
            path,
            node,
            "is an empty list: leave it out (OpenID Connect Discovery 1.0 section 4.2)".into(),
        ),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                check(field, &format!("{path}[{index}]"), item);
            }
        }
        Value::Map(entries) => {
            let mut known = HashMap::new();
            for (name, member) in entries {
                let path = format!("{path}.{name}");
                if name.is_empty() {
                    refuse(
                        &path,
                        member,
                        "has no name: name the member, or leave it out".into(),
                    );
                }
                if is_unseen(name) {
                    let message = "has a character in its name that cannot be seen, so that it looks like another one: write \
                                   the name anew";
                    refuse(&path, member, message.into());
                }
                match known.insert(folded(name), name) {
                    Some(before) if before == name => {
                        refuse(&path, member, "is given twice: keep one".into());
                    }
                    Some(before) => refuse(
                        &path,
                        member,
                        format!(
                            "differs from `{before}` only by case, and some readers take them for one: keep one"
                        ),
                    ),
                    None => {}
                }
                check(field, &path, member);
            }
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
    }
}

/// Whether a name has what nobody sees: hidden characters, white space but a blank between words.
fn is_unseen(name: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() && c != ' ';
    name.contains(|c| is_hidden(c) || is_blank(c)) || name.trim() != name
}

fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Number::from_i128(*value).map_or(Json::Null, Json::Number),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(|item| json(&item.value)).collect()),
        Value::Map(entries) => {
            let members = entries
                .iter()
                .map(|(name, node)| (name.clone(), json(&node.value)));
            Json::Object(members.collect())
        }
    }
}
