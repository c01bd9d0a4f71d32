//! What one mapping of the registry holds, and what is wrong with it.

use std::sync::Arc;

use crate::error::{BundleError, BundleWarning, Place};
use crate::yaml::{Entry, Node, Position, Value};

/// Everything found so far. Reading goes on after an error, so that a person sees all of them at once.
pub(super) struct Findings {
    file: Arc<str>,
    pub(super) errors: Vec<BundleError>,
    pub(super) warnings: Vec<BundleWarning>,
}

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.into(), errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn error(&mut self, at: Position, what: impl Into<String>) {
        self.errors.push(BundleError::Registry { place: self.place(at), what: what.into() });
    }

    pub(super) fn warn(&mut self, at: Position, what: impl Into<String>) {
        self.warnings.push(BundleWarning { place: self.place(at), what: what.into() });
    }

    fn place(&self, at: Position) -> Place {
        Place { file: self.file.clone(), line: at.line, column: at.column }
    }
}

/// A mapping whose keys are known words.
pub(super) struct Fields<'n> {
    pub(super) at: Position,
    /// What the mapping describes, for messages: "wallet `main`".
    pub(super) subject: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Opens a mapping and reports every key that is not in `known`.
    pub(super) fn open(
        node: &'n Node,
        at: Position,
        subject: String,
        known: &[&str],
        findings: &mut Findings,
    ) -> Option<Self> {
        let entries = entries(node, at, &subject, findings)?;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let what = format!("{subject}: unknown key `{}`: use {}", entry.key, words(known));
            findings.error(entry.at, what);
        }
        Some(Self { at, subject, entries })
    }

    /// The field, when it is there and not empty.
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'_>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let given = !matches!(entry.value.value, Value::Null);
        given.then_some(Field { key, subject: &self.subject, node: &entry.value })
    }

    /// The field, or an error that says `why` it is needed.
    pub(super) fn require(&self, key: &'static str, why: &str, findings: &mut Findings) -> Option<Field<'_>> {
        let field = self.get(key);
        if field.is_none() {
            findings.error(self.at, format!("{}: `{key}` is missing: {why}", self.subject));
        }
        field
    }
}

/// A value and what it is called, for messages.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    pub(super) key: &'static str,
    pub(super) subject: &'n str,
    pub(super) node: &'n Node,
}

impl<'n> Field<'n> {
    pub(super) fn error(&self, findings: &mut Findings, what: impl std::fmt::Display) {
        self.error_at(self.node.at, findings, what);
    }

    pub(super) fn error_at(&self, at: Position, findings: &mut Findings, what: impl std::fmt::Display) {
        findings.error(at, format!("{}: `{}`: {what}", self.subject, self.key));
    }

    /// The same field, pointing at one item of its list.
    pub(super) fn item(&self, node: &'n Node) -> Self {
        Self { node, ..*self }
    }

    /// The items of a list.
    pub(super) fn items(&self, findings: &mut Findings) -> Option<&'n [Node]> {
        match &self.node.value {
            Value::List(items) => Some(items),
            Value::Null | Value::Plain(_) | Value::Quoted(_) | Value::Map(_) => {
                self.error(findings, "write a list: `[one, two]`");
                None
            }
        }
    }

    /// The items of a list that may not be empty; `why` says what they are for.
    pub(super) fn some_items(&self, why: &str, findings: &mut Findings) -> Option<&'n [Node]> {
        let items = self.items(findings)?;
        if items.is_empty() {
            self.error(findings, format!("the list is empty: {why}"));
        }
        Some(items)
    }
}

/// The entries of a mapping; nothing behind the key is an empty one.
pub(super) fn entries<'n>(
    node: &'n Node,
    at: Position,
    subject: &str,
    findings: &mut Findings,
) -> Option<&'n [Entry]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Null => Some(&[]),
        Value::Plain(_) | Value::Quoted(_) | Value::List(_) => {
            findings.error(at, format!("{subject}: write `key: value` lines here"));
            None
        }
    }
}

/// "`a`, `b` or `c`".
pub(super) fn words(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
