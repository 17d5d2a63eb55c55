//! A TOML text as a flat list of keys with their lines. Knows which keys there are, not what they
//! mean.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, KEYS};

/// The keys of a member.
pub(super) const MEMBER_KEYS: [&str; 3] = ["name", "client", "peer"];

/// The name under which members stand.
const MEMBERS: &str = "cluster.members";

/// What stands in a file.
pub(super) struct Document {
    pub file: String,
    pub settings: Vec<Found>,
    pub members: Vec<FoundMember>,
}

/// One `[[cluster.members]]`.
pub(super) struct FoundMember {
    pub line: usize,
    pub fields: Vec<Found>,
}

/// One key.
pub(super) struct Found {
    pub name: String,
    pub value: Value,
    pub line: usize,
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// A flag's or a variable's value: text that may stand for a number.
    Given(String),
    /// Something else, as it stands in the file.
    Source(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Given(text) => f.write_str(&quoted(text)),
            Value::Integer(number) => number.fmt(f),
            Value::Source(text) => f.write_str(text),
        }
    }
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Reads a text; the first mistake of its form, or the first key that is none, ends it.
pub(super) fn parse(file: &str, text: &str) -> Result<Document, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        ConfigError::new(format!("{file}:{line}"), format!("not TOML: {}", error.message()))
    })?;
    let mut walk = Walk {
        text,
        unknown: Vec::new(),
        document: Document { file: file.into(), settings: Vec::new(), members: Vec::new() },
    };
    walk.table(table.get_ref(), "");
    match walk.unknown.into_iter().min_by_key(|(at, _)| *at) {
        Some((at, text_of_error)) => {
            Err(ConfigError::new(format!("{file}:{}", line_of(text, at)), text_of_error))
        }
        None => Ok(walk.document),
    }
}

/// A way through the tables. They are sorted by key, so what is unknown is kept with its place: the
/// first in the file is reported.
struct Walk<'t> {
    text: &'t str,
    unknown: Vec<(usize, String)>,
    document: Document,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable, prefix: &str) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            if name == MEMBERS {
                self.members(value);
            } else if KEYS.iter().any(|known| known.name == name) {
                let found = self.found(name, key.span(), value);
                self.document.settings.push(found);
            } else if let (DeValue::Table(inner), true) = (value.get_ref(), is_section(&name)) {
                self.table(inner, &format!("{name}."));
            } else if is_section(&name) {
                let text = format!("{name}: expected a section, which begins with [{name}]");
                self.unknown.push((key.span().start, text));
            } else {
                self.unknown.push((key.span().start, unknown(&name, value.get_ref())));
            }
        }
    }

    fn members(&mut self, value: &Spanned<DeValue>) {
        let tables: Option<Vec<(&DeTable, usize)>> = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| Some((item.get_ref().as_table()?, item.span().start)))
                .collect(),
            _ => None,
        };
        let Some(tables) = tables else {
            let text = "cluster.members: expected one [[cluster.members]] for each node";
            self.unknown.push((value.span().start, text.into()));
            return;
        };
        for (table, at) in tables {
            let mut member = FoundMember { line: line_of(self.text, at), fields: Vec::new() };
            for (key, value) in table {
                if MEMBER_KEYS.contains(&key.get_ref().as_ref()) {
                    member.fields.push(self.found(key.to_string(), key.span(), value));
                } else {
                    let nearest = nearest(key.get_ref(), MEMBER_KEYS.into_iter());
                    let text = format!(
                        "unknown key {} of a member; the nearest known key is {nearest}",
                        key.get_ref()
                    );
                    self.unknown.push((key.span().start, text));
                }
            }
            self.document.members.push(member);
        }
    }

    fn found(&self, name: String, key: Range<usize>, value: &Spanned<DeValue>) -> Found {
        let line = line_of(self.text, key.start);
        let source = || Value::Source(first_line(&self.text[value.span()]));
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str();
                i64::from_str_radix(digits, number.radix())
                    .map_or_else(|_| source(), Value::Integer)
            }
            _ => source(),
        };
        Found { name, value, line }
    }
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.section())
}

fn unknown(name: &str, value: &DeValue) -> String {
    if value.is_table() && !name.contains('.') {
        let nearest = nearest(name, sections());
        return format!("unknown section [{name}]; the nearest known section is [{nearest}]");
    }
    let nearest = nearest(name, KEYS.iter().map(|key| key.name));
    format!("unknown key {name}; the nearest known key is {nearest}")
}

/// The known name most like `name`: as a whole, or in its last word.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> &'k str {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &&str| {
        let whole = strsim::damerau_levenshtein(name, known);
        whole.min(strsim::damerau_levenshtein(&last(name), &last(known)) + 1)
    };
    known.min_by_key(distance).unwrap_or_default()
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn first_line(source: &str) -> String {
    let line = source.lines().next().unwrap_or_default();
    let short: String = line.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < source.len() { format!("{short}...") } else { short }
}
