//! Changing a tree as if the file had said it.

use super::Said;
use crate::config::tree::{Node, Origin, Value};

pub(super) type Entries = Vec<(String, Node)>;

pub(super) fn text(said: &Said) -> Node {
    Node::named(&said.by, Value::Text(said.value.clone()))
}

pub(super) fn list(by: &str, nodes: Vec<Node>) -> Node {
    Node::named(by, Value::List(nodes))
}

pub(super) fn https(address: &Said, tls: Node) -> Node {
    let fields = vec![("address".to_owned(), text(address)), ("tls".to_owned(), tls)];
    Node::named(&address.by, Value::Map(fields))
}

pub(super) fn self_signed(by: &str) -> Node {
    let fields = vec![("selfSigned".to_owned(), Node::named(by, Value::Null))];
    Node::named(by, Value::Map(fields))
}

pub(super) fn files_by(node: &Node) -> String {
    match &node.origin {
        Origin::Named(by) => by.clone(),
        Origin::Line(_) => "--tls-cert".to_owned(),
    }
}

pub(super) fn find<'a>(entries: &'a Entries, name: &str) -> Option<&'a Node> {
    entries
        .iter()
        .find(|(entry, _)| entry == name)
        .map(|(_, node)| node)
}

pub(super) fn set(entries: &mut Entries, name: &str, node: Node) {
    match entries.iter_mut().find(|(entry, _)| entry == name) {
        Some((_, old)) => *old = node,
        None => entries.push((name.to_owned(), node)),
    }
}

/// Sets a field of a mapping that may not be there yet.
pub(super) fn set_in(entries: &mut Entries, outer: &str, name: &str, node: Node) {
    if let Some((
        _,
        Node {
            value: Value::Map(inner),
            ..
        },
    )) = entries.iter_mut().find(|(entry, _)| entry == outer)
    {
        set(inner, name, node);
        return;
    }
    let Origin::Named(by) = node.origin.clone() else {
        return;
    };
    let inner = Value::Map(vec![(name.to_owned(), node)]);
    set(entries, outer, Node::named(&by, inner));
}
