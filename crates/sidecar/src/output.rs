//! How results are shown: tables and colours for people, JSON for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde_json::Value;

/// The form of results on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    colour: bool,
}

/// A meaning that has a colour on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It was refused or is wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Output {
    /// In this format; colours only on a terminal, and not when `NO_COLOR` is set.
    #[must_use]
    pub(crate) fn new(format: Format) -> Self {
        let colour = colours(&io::stdout());
        Self { format, colour }
    }

    /// Whether a program reads this.
    #[must_use]
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Text in the colour of its meaning.
    #[must_use]
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One JSON value on a line of its own.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn json(self, value: &Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    /// A line for a person.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// A table with a heading, columns as wide as they need to be.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn table(self, heading: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let lines = lay_out(heading, rows);
        let (title, rest) = lines.split_first().map_or(("", &[][..]), |(title, rest)| (title.as_str(), rest));
        self.line(&self.paint(Tone::Strong, title))?;
        rest.iter().try_for_each(|line| self.line(line))
    }

    /// An error with its causes, on standard error.
    pub(crate) fn error(self, error: &anyhow::Error) {
        let mut message = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Many of our errors already say what they were caused by.
            if !message.contains(&cause) {
                message = format!("{message}: {cause}");
            }
        }
        let word = if colours(&io::stderr()) { "\x1b[31merror\x1b[0m" } else { "error" };
        // Standard error may be closed; then nobody is listening.
        let _ = writeln!(io::stderr().lock(), "{word}: {message}");
    }
}

/// Whether a stream shows colours: only a terminal, and not when `NO_COLOR` is set.
pub(crate) fn colours(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The lines of a table, the heading first.
fn lay_out(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
        cells.chain(heading.get(column).map(|title| width(title))).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width_of).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells
            .zip(&widths)
            .map(|(cell, column)| format!("{cell}{}", " ".repeat(column.saturating_sub(width(cell)))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let title = line(&mut heading.iter().copied());
    let rows = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(title).chain(rows).collect()
}

/// How many characters take room: what sets a colour takes none.
fn width(cell: &str) -> usize {
    let mut width = 0_usize;
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            let _end = chars.find(|c| *c == 'm');
        } else {
            width = width.saturating_add(1);
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_seen_in_them() {
        let coloured = Output { format: Format::Text, colour: true };
        let row = |status: String| vec!["treasury".to_owned(), status, "last".to_owned()];
        let rows = [
            row(coloured.paint(Tone::Good, "active")),
            row("suspended".to_owned()),
            row(coloured.paint(Tone::Faint, "")),
        ];
        let lines = lay_out(&["WALLET", "STATUS", "END"], &rows);
        assert_eq!(
            lines,
            [
                "WALLET    STATUS     END",
                "treasury  \x1b[32mactive\x1b[0m     last",
                "treasury  suspended  last",
                "treasury             last",
            ]
        );
        assert_eq!(lay_out(&["ONLY", "HEADING"], &[]), ["ONLY  HEADING"]);
    }

    #[test]
    fn colours_are_left_out_where_nobody_sees_them() {
        let plain = Output { format: Format::Text, colour: false };
        assert_eq!(plain.paint(Tone::Bad, "revoked"), "revoked");
    }
}
