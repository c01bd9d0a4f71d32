//! `registry.yaml` as a tree that remembers where everything stands.
//!
//! A subset of YAML 1.2, so that a file means what it seems to mean: one document, no anchors, aliases or tags, no
//! duplicate keys, and a scalar keeps its spelling until the field that reads it says what it must be.

use std::collections::HashMap;
use std::iter::Peekable;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

/// Deepest nesting of lists and mappings.
const DEPTH_MAX: usize = 16;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `key:` with nothing behind it, `~` or `null`.
    Null,
    /// A scalar as written.
    Plain(String),
    /// A scalar in quotes or a block: certainly text.
    Quoted(String),
    /// `[…]` or lines with `-`.
    List(Vec<Node>),
    /// `{…}` or lines with `key:`.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

/// Something that is not in our subset of YAML.
#[derive(Debug)]
pub(crate) struct YamlFault {
    pub(crate) at: Position,
    pub(crate) what: String,
}

/// Reads one document. Duplicate keys are reported all at once; a syntax error ends the reading.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<YamlFault>> {
    let mut reader = Reader { events: Parser::new_from_str(text).peekable(), faults: Vec::new() };
    match reader.document() {
        Ok(node) if reader.faults.is_empty() => Ok(node),
        Ok(_) => Err(reader.faults),
        Err(fault) => {
            reader.faults.push(fault);
            Err(reader.faults)
        }
    }
}

struct Reader<'i> {
    events: Peekable<Parser<'i, StrInput<'i>>>,
    faults: Vec<YamlFault>,
}

impl<'i> Reader<'i> {
    fn document(&mut self) -> Result<Node, YamlFault> {
        let (event, span) = self.content()?;
        if event == Event::StreamEnd {
            return Err(fault(&span, "the file is empty: begin with `version: 1`"));
        }
        let node = self.node(event, &span, 0)?;
        match self.content()? {
            (Event::StreamEnd, _) => Ok(node),
            (_, span) => Err(fault(&span, "a second document: keep one, without `---` in between")),
        }
    }

    /// The next event that is not about where documents begin and end.
    fn content(&mut self) -> Result<(Event<'i>, Span), YamlFault> {
        loop {
            let (event, span) = self.next()?;
            let frame = matches!(
                event,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd
            );
            if !frame {
                return Ok((event, span));
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'i>, Span), YamlFault> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'i>, span: &Span, depth: usize) -> Result<Node, YamlFault> {
        if depth > DEPTH_MAX {
            return Err(fault(span, format!("nested more than {DEPTH_MAX} deep")));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain_words(span, anchor, tag.is_some())?;
                scalar(text.into_owned(), style)
            }
            Event::SequenceStart(anchor, tag) => {
                plain_words(span, anchor, tag.is_some())?;
                self.list(depth)?
            }
            Event::MappingStart(anchor, tag) => {
                plain_words(span, anchor, tag.is_some())?;
                self.map(depth)?
            }
            Event::Alias(_) => return Err(fault(span, "an alias (`*…`): write the value out")),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(fault(span, "the file ends too early")),
        };
        Ok(Node { at: position(span), value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, YamlFault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, &span, depth.saturating_add(1))?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, YamlFault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, &span, depth.saturating_add(1))?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth.saturating_add(1))?;
            let at = key.at;
            let text = match key.value {
                Value::Plain(text) | Value::Quoted(text) => text,
                Value::Null | Value::List(_) | Value::Map(_) => {
                    self.faults.push(YamlFault { at, what: "a key must be a word".to_owned() });
                    continue;
                }
            };
            if let Some(first) = seen.get(&text) {
                let what = format!("`{text}` stands here twice, first on line {}: keep one", first.line);
                self.faults.push(YamlFault { at, what });
                continue;
            }
            seen.insert(text.clone(), at);
            entries.push(Entry { key: text, at, value });
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain if matches!(text.as_str(), "" | "~" | "null") => Value::Null,
        ScalarStyle::Plain => Value::Plain(text),
        ScalarStyle::SingleQuoted
        | ScalarStyle::DoubleQuoted
        | ScalarStyle::Literal
        | ScalarStyle::Folded => Value::Quoted(text),
    }
}

/// Anchors and tags let a line change the meaning of another: refused.
fn plain_words(span: &Span, anchor: usize, tagged: bool) -> Result<(), YamlFault> {
    if anchor != 0 {
        return Err(fault(span, "an anchor (`&…`): write the value out where it is used"));
    }
    if tagged { Err(fault(span, "a tag (`!…`): remove it")) } else { Ok(()) }
}

fn fault(span: &Span, what: impl Into<String>) -> YamlFault {
    YamlFault { at: position(span), what: what.into() }
}

fn syntax(error: &ScanError) -> YamlFault {
    let marker = error.marker();
    let at = Position { line: marker.line().max(1), column: marker.col().saturating_add(1) };
    YamlFault { at, what: format!("not YAML: {}", error.info()) }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col().saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_mean_two_things_is_refused_with_its_place() {
        let deep = format!("{}{}", "[".repeat(20), "]".repeat(20));
        let table = [
            ("", 1, "empty"),
            ("# only a comment\n", 1, "empty"),
            ("a: 1\nb: 2\na: 3\n", 3, "twice, first on line 1"),
            ("a: &x 1\n", 1, "anchor"),
            ("a: 1\nb: *x\n", 2, ""),
            ("a: !!str 1\n", 1, "tag"),
            ("a: 1\n---\nb: 1\n", 3, "second document"),
            ("a: [1\nb: 2", 2, ""),
            ("[a]: 1\n", 1, "a key must be a word"),
            (deep.as_str(), 1, "nested"),
        ];
        for (text, line, what) in table {
            let faults = parse(text).expect_err(text);
            let first = faults.first().unwrap();
            assert!(first.what.contains(what), "{text:?}: {first:?}");
            if !text.trim_start_matches("# only a comment\n").is_empty() {
                assert_eq!(first.at.line, line, "{text:?}: {first:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn parse_never_panics(text in "[-a-z0-9:{}\\[\\],&*!|>'\"#\\n ]{0,80}") {
            let _ = parse(&text);
        }
    }
}
