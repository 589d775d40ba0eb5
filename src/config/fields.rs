//! Reads fields out of the tree; whatever does not fit is reported and reading goes on.

use jiff::SignedDuration;

use super::duration;
use super::problem::{Place, Report};
use super::schema::{self, Table};
use super::tree::{Node, Origin, Value};

/// A setting, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// Not written: the default holds.
    Absent,
    /// Written and reported as wrong: nothing may be concluded from it.
    Invalid,
    /// Written.
    Given(T),
}

impl<T> Setting<T> {
    /// The value as written.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// The value that holds; `None` where what was written is wrong.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent => Some(default),
            Self::Invalid => None,
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Setting<U> {
        match self {
            Self::Given(value) => Setting::Given(f(value)),
            Self::Absent => Setting::Absent,
            Self::Invalid => Setting::Invalid,
        }
    }
}

/// One node in its place.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) place: Place,
    pub(super) node: &'a Node,
    pub(super) report: &'a Report,
}

impl<'a> Field<'a> {
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self {
            place: Place::default(),
            node,
            report,
        }
    }

    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Setting<T> {
        self.report.add(&self.place, message);
        Setting::Invalid
    }

    fn refuse_kind<T>(&self, wanted: &str) -> Setting<T> {
        match self.node.value {
            Value::Null => self.refuse(format!(
                "has no value: write {wanted}, or leave the line out for the default"
            )),
            ref value => self.refuse(format!("is {}, but should be {wanted}", value.kind())),
        }
    }

    /// Text, not empty.
    pub(super) fn text(&self) -> Setting<String> {
        match &self.node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.refuse("is empty: write a value, or leave the line out for the default")
            }
            Value::Text(text) => Setting::Given(text.trim().to_owned()),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => self.refuse_kind("text: put it in quotes"),
            _ => self.refuse_kind("text"),
        }
    }

    pub(super) fn flag(&self) -> Setting<bool> {
        let is_said = matches!(self.node.origin, Origin::Named(_));
        match &self.node.value {
            Value::Bool(value) => Setting::Given(*value),
            // A flag or a variable has no other form.
            Value::Text(text) if is_said && text == "true" => Setting::Given(true),
            Value::Text(text) if is_said && text == "false" => Setting::Given(false),
            _ => self.refuse_kind("true or false"),
        }
    }

    /// A whole number in `range`.
    pub(super) fn number(&self, range: std::ops::RangeInclusive<u32>) -> Setting<u32> {
        let Value::Int(value) = self.node.value else {
            return self.refuse_kind("a whole number");
        };
        match u32::try_from(value) {
            Ok(value) if range.contains(&value) => Setting::Given(value),
            _ => self.refuse(format!(
                "is {value}, but should be from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    pub(super) fn duration(&self) -> Setting<SignedDuration> {
        match &self.node.value {
            Value::Text(text) => match duration::parse(text) {
                Some(duration) => Setting::Given(duration),
                None => self.refuse(format!("`{text}` is no duration: {}", duration::SHAPE)),
            },
            Value::Int(number) => self.refuse(format!(
                "has no unit: write {number}s for seconds ({})",
                duration::SHAPE
            )),
            _ => self.refuse_kind(&format!("a duration ({})", duration::SHAPE)),
        }
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Setting<T> {
        self.text_map(|text| schema::word(text, words))
    }

    /// Text with a meaning of its own.
    pub(super) fn text_map<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Setting<T> {
        match self.text() {
            Setting::Given(text) => match parse(&text) {
                Ok(value) => Setting::Given(value),
                Err(message) => self.refuse(message),
            },
            Setting::Absent => Setting::Absent,
            Setting::Invalid => Setting::Invalid,
        }
    }

    /// The entries of a list, each in its place.
    pub(super) fn list(&self) -> Setting<Vec<Field<'a>>> {
        let Value::List(items) = &self.node.value else {
            return self.refuse_kind("a list (lines that begin with `- `)");
        };
        let fields = items.iter().enumerate().map(|(index, node)| Field {
            place: Place::of(format!("{}[{index}]", self.place.path), node),
            node,
            report: self.report,
        });
        Setting::Given(fields.collect())
    }

    /// A list of texts, at least one.
    pub(super) fn texts(&self) -> Setting<Vec<String>> {
        let items = match self.list() {
            Setting::Given(items) => items,
            Setting::Absent | Setting::Invalid => return Setting::Invalid,
        };
        if items.is_empty() {
            return self.refuse("is an empty list: write at least one entry");
        }
        let texts: Vec<_> = items.iter().map(Field::text).collect();
        let wanted = texts.len();
        let texts: Vec<_> = texts.into_iter().filter_map(Setting::given).collect();
        if texts.len() < wanted {
            return Setting::Invalid;
        }
        Setting::Given(texts)
    }

    /// A mapping with the fields of `table`; all others are reported. Nothing counts as `{}`.
    pub(super) fn mapping(&self, table: &'static Table) -> Setting<Mapping<'a>> {
        static NOTHING: Vec<(String, Node)> = Vec::new();
        let entries = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Null => &NOTHING,
            _ => {
                let fields = table.fields.join(", ");
                return self.refuse_kind(&match fields.as_str() {
                    "" => "an empty mapping: `{}`".to_owned(),
                    fields => format!("a mapping (fields: {fields})"),
                });
            }
        };
        let mapping = Mapping {
            place: self.place.clone(),
            entries,
            table,
            report: self.report,
        };
        mapping.report_unknown();
        Setting::Given(mapping)
    }
}

/// A mapping of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Mapping<'a> {
    pub(super) place: Place,
    pub(super) entries: &'a [(String, Node)],
    table: &'static Table,
    pub(super) report: &'a Report,
}

impl<'a> Mapping<'a> {
    fn place_of(&self, name: &str, node: &Node) -> Place {
        let path = match self.place.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Place::of(path, node)
    }

    fn report_unknown(&self) {
        // No more than there are fields, however long the mapping is.
        let mut earlier = Vec::new();
        for (name, node) in self.entries {
            let name = name.as_str();
            let message = if !self.table.fields.contains(&name) {
                let known = not_in_this_release(self.table.path, name);
                known.map_or_else(|| schema::unknown_field(name, self.table), str::to_owned)
            } else if earlier.contains(&name) {
                "is given twice: keep one".to_owned()
            } else {
                earlier.push(name);
                continue;
            };
            self.report.add(&self.place_of(name, node), message);
        }
    }

    /// The field, where it is written.
    pub(super) fn get(&self, name: &'static str) -> Option<Field<'a>> {
        debug_assert!(
            self.table.fields.contains(&name),
            "{name} is not in the schema of {}",
            self.table.path
        );
        let (_, node) = self.entries.iter().find(|(entry, _)| entry == name)?;
        Some(Field {
            place: self.place_of(name, node),
            node,
            report: self.report,
        })
    }

    /// Reads the field, where it is written.
    pub(super) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Setting<T>,
    ) -> Setting<T> {
        self.get(name).map_or(Setting::Absent, |field| read(&field))
    }

    /// Reports that a field is missing.
    pub(super) fn missing(&self, name: &str, message: &str) {
        let message = match self.place.path.as_str() {
            "" => format!("`{name}` is missing: {message}"),
            _ => format!("has no `{name}`: {message}"),
        };
        self.report.add(&self.place, message);
    }
}

/// Names that later releases have: refused, and said so.
fn not_in_this_release(table: &str, name: &str) -> Option<&'static str> {
    match (table, name) {
        ("issuers[].sources[]", "secret") => Some(
            "is not in this release: mount the Secret and name its files under `files`, or use `apiServer` or `jwks`",
        ),
        _ => None,
    }
}
