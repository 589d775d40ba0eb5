//! YAML → a tree that keeps the lines, so that everything can be judged before anything is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Error, NonFiniteFloatPolicy, Spanned};

/// The largest configuration that is read, in bytes: a hundred thousand issuers fit, a wrong file does not.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// The most nodes of a document: its keys, values, lists and mappings. What an alias stands for counts each time.
const MAX_NODES: usize = 5_000_000;

/// The deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 32;

/// A YAML node and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Where a node was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the file, at this line.
    Line(u64),
    /// As a flag or an environment variable of this name.
    Named(String),
}

impl Node {
    /// What a flag or a variable says.
    pub(super) fn named(name: &str, value: Value) -> Self {
        Self {
            value,
            origin: Origin::Named(name.to_owned()),
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a key given twice is here twice.
    Map(Vec<(String, Node)>),
}

impl Value {
    /// How a person would call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a document has no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

/// What is said of a file above [`MAX_BYTES`].
pub(super) fn too_large() -> String {
    format!(
        "is larger than {} MiB, the most that a configuration may have: is it the right file? If so, divide its issuers \
         among several services",
        MAX_BYTES >> 20
    )
}

/// Parses one YAML document.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, Unreadable> {
    parse_within(bytes, MAX_NODES)
}

fn parse_within(bytes: &[u8], max_nodes: usize) -> Result<Node, Unreadable> {
    let refuse = |line, message: String| Err(Unreadable { line, message });
    if bytes.len() > MAX_BYTES {
        return refuse(None, too_large());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            return refuse(Some(line_of(good)), "is not UTF-8: save it as UTF-8".to_owned());
        }
    };
    if text
        .lines()
        .all(|line| matches!(line.trim(), "" | "---" | "...") || line.trim().starts_with('#'))
    {
        return refuse(
            None,
            "is empty: name at least one issuer under `issuers`".to_owned(),
        );
    }
    let options = serde_saphyr::options! {
        // Reported by ourselves, all of them.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        strict_booleans: true,
        with_snippet: false,
        emit_comments: false,
        // Nodes are what is bounded, by whatever they came about: all other limits lie above what so many can need.
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: max_nodes,
            max_events: 4 * max_nodes,
            max_aliases: max_nodes,
            max_anchors: max_nodes,
            max_merge_keys: max_nodes,
            enforce_alias_anchor_ratio: false
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4 * max_nodes,
            max_replay_stack_depth: MAX_DEPTH
        },
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).or_else(|error| {
        let line = error
            .location()
            .map(|location| location.line())
            .filter(|line| *line > 0);
        refuse(line, explain(text, line, &error, max_nodes))
    })
}

/// The parser's message, and what a person usually did where that is known.
fn explain(text: &str, line: Option<u64>, error: &serde_saphyr::Error, max_nodes: usize) -> String {
    let starts_with_tab = line
        .and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?))
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    if starts_with_tab {
        return "is indented with a tab: YAML wants spaces".to_owned();
    }
    let cause = match error.without_snippet() {
        Error::AliasError { error, .. } => error.without_snippet(),
        cause => cause,
    };
    match cause {
        Error::MultipleDocuments { .. } => {
            return "holds several YAML documents, with `---` between them: keep one".to_owned();
        }
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => {
            return format!(
                "nests lists and mappings more than {MAX_DEPTH} deep: is it a configuration at all?"
            );
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            return format!(
                "holds more than {max_nodes} keys and values up to here, the most that a configuration may have (what an \
                 alias stands for counts each time): divide its issuers among several services"
            );
        }
        _ => {}
    }
    let message = error.render();
    let message = message.lines().next().unwrap_or("cannot be parsed");
    format!("is not valid YAML: {message}")
}

fn line_of(before: &[u8]) -> u64 {
    before.split(|byte| *byte == b'\n').count() as u64
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            origin: Origin::Line(spanned.referenced.line()),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML node")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry::<String, Node>()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> (Option<u64>, String) {
        let Unreadable { line, message } = parse(bytes).unwrap_err();
        (line, message)
    }

    #[test]
    fn nodes_keep_their_lines_and_types() {
        let Value::Map(map) = parse(b"a: 10s\nb:\n  - 1\n  - true\nc: ~\n").unwrap().value else {
            panic!("no mapping");
        };
        let lines: Vec<_> = map
            .iter()
            .map(|(key, node)| (key.as_str(), node.origin.clone()))
            .collect();
        let at = |name, line| (name, Origin::Line(line));
        assert_eq!(lines, [at("a", 1), at("b", 3), at("c", 5)]);
        assert_eq!(map[0].1.value, Value::Text("10s".to_owned()));
        let Value::List(list) = &map[1].1.value else {
            panic!("no list")
        };
        assert_eq!(
            (&list[0].value, &list[1].value),
            (&Value::Int(1), &Value::Bool(true))
        );
        assert_eq!(map[2].1.value, Value::Null);
    }

    #[test]
    fn a_key_given_twice_is_kept_twice() {
        let Value::Map(map) = parse(b"a: 1\na: 2\n").unwrap().value else {
            panic!("no mapping");
        };
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn yes_and_no_are_text() {
        let Value::Map(map) = parse(b"a: yes\n").unwrap().value else {
            panic!("no mapping");
        };
        assert_eq!(map[0].1.value, Value::Text("yes".to_owned()));
    }

    #[test]
    fn what_has_no_content_is_called_empty() {
        for empty in ["", "\n", "# only a comment\n", "---\n", "\u{feff}"] {
            assert!(refused(empty.as_bytes()).1.starts_with("is empty"), "{empty:?}");
        }
    }

    #[test]
    fn a_tab_is_named_with_its_line() {
        let (line, message) = refused(b"issuers:\n\t- issuer: https://a.example\n");
        assert_eq!(line, Some(2));
        assert!(message.contains("tab"), "{message}");
    }

    #[test]
    fn several_documents_are_refused() {
        let (_, message) = refused(b"a: 1\n---\nb: 1\n");
        assert!(message.starts_with("holds several YAML documents"), "{message}");
    }

    #[test]
    fn other_encodings_are_named_with_the_line() {
        assert_eq!(
            refused(b"a: b\nc: \xff\n"),
            (Some(2), "is not UTF-8: save it as UTF-8".to_owned())
        );
    }

    #[test]
    fn huge_files_and_deep_ones_are_refused() {
        let huge = refused(&vec![b' '; MAX_BYTES + 1]).1;
        assert!(huge.contains("larger than 64 MiB"), "{huge}");
        for deep in [
            "[".repeat(40) + &"]".repeat(40),
            "- ".repeat(10_000),
            "{a: ".repeat(40) + &"}".repeat(40),
        ] {
            let (_, message) = refused(deep.as_bytes());
            assert!(message.contains("more than 32 deep"), "{message}");
        }
        assert!(
            refused("[".repeat(10_000).as_bytes())
                .1
                .starts_with("is not valid YAML")
        );
    }

    #[test]
    fn the_number_of_nodes_is_bounded_in_our_words_and_nothing_else_is_met_before_it() {
        // The mapping, its key and the list are nodes too.
        let of = |entries: usize| format!("a: [{}]\n", vec!["x"; entries].join(","));
        assert!(parse_within(of(997).as_bytes(), 1000).is_ok());
        let told = parse_within(of(998).as_bytes(), 1000).unwrap_err();
        assert_eq!(told.line, Some(1));
        assert!(
            told.message
                .starts_with("holds more than 1000 keys and values up to here"),
            "{}",
            told.message
        );
        // Many containers, anchors, aliases and merge keys, all of few nodes.
        for many in [
            format!("a: [{}]\n", vec!["[]"; 997].join(",")),
            (0..400).fold(String::from("z: &z 1\n"), |text, n| text + &format!("k{n}: *z\n")),
            (0..300).fold(String::new(), |text, n| text + &format!("k{n}: &a{n} 1\n")),
            (0..140).fold(String::from("z: &z {b: 1}\n"), |text, n| {
                text + &format!("k{n}: {{<<: *z}}\n")
            }),
        ] {
            let parsed = parse_within(many.as_bytes(), 1000);
            assert!(parsed.is_ok(), "{parsed:?}");
        }
    }

    #[test]
    fn an_alias_counts_as_often_as_it_is_used() {
        let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
        bomb.extend((1..9).map(|level| {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            format!("a{level}: &a{level} [{items}]")
        }));
        let told = parse_within(bomb.join("\n").as_bytes(), 10_000).unwrap_err();
        assert!(
            told.message.starts_with("holds more than 10000"),
            "{}",
            told.message
        );
    }
}
