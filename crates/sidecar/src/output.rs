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
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
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
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            let title = heading.get(column).map_or(0, |title| title.chars().count());
            cells.max().unwrap_or(0).max(title)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let title = line(&mut heading.iter().copied());
        self.line(&self.paint(Tone::Strong, &title))?;
        for row in rows {
            self.line(&line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
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
