use std::fmt;
use std::sync::Arc;

/// Where in a bundle something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, by its name in the bundle.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing that keeps a bundle from being used. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file or the directory cannot be read.
    #[error("`{}` cannot be read: {source}", OneLine(.path))]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something the bundle may not contain, or too much of it.
    #[error("`{}`: {}", OneLine(.path), OneLine(.what))]
    Refused {
        /// Which file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// `registry.yaml` says something it cannot mean.
    #[error("{place}: {}", OneLine(.what))]
    Registry {
        /// Where.
        place: Place,
        /// What is wrong.
        what: String,
    },
    /// A policy does not parse, does not fit the schema, or names what is not declared.
    #[error("{place}: {}", OneLine(.what))]
    Policy {
        /// Where.
        place: Place,
        /// What is wrong.
        what: String,
    },
    /// The guardrails or the schema of this build are broken; nothing can be judged.
    #[error("the embedded guardrails are broken, use another build: {0}")]
    Embedded(String),
}

/// Everything that keeps a bundle from being used, in the order of the files.
#[derive(Debug)]
pub struct BundleErrors(pub Vec<BundleError>);

/// Something a security team should look at; the bundle is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleWarning {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

impl BundleError {
    /// Where it stands, when that is inside a file.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Registry { place, .. } | Self::Policy { place, .. } => Some(place),
            Self::Unreadable { .. } | Self::Refused { .. } | Self::Embedded(_) => None,
        }
    }
}

impl fmt::Display for Place {
    /// `file:line:column`, as editors and compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", OneLine(&self.file), self.line, self.column)
    }
}

/// Longest text of a complaint as it is shown, in bytes: it travels in gRPC trailers and log lines.
const SHOWN_LEN_MAX: usize = 960;
/// How much of a longer one is its end, in bytes: what to do about it stands there.
const SHOWN_END_LEN: usize = 320;
/// How much of it is its beginning, in bytes.
const SHOWN_BEGIN_LEN: usize = SHOWN_LEN_MAX - SHOWN_END_LEN - LEFT_OUT.len();
const LEFT_OUT: &str = "…";

/// What a complaint says, on one line of its own: it quotes a file, which must not forge another line, move the cursor,
/// turn the reading direction or go on without end.
struct OneLine<'t>(&'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns =
            |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let mut shown = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if c.is_control() || turns(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
        }
        if shown.len() > SHOWN_LEN_MAX {
            let begin = shown.floor_char_boundary(SHOWN_BEGIN_LEN);
            let end = shown.ceil_char_boundary(shown.len().saturating_sub(SHOWN_END_LEN));
            shown.replace_range(begin..end, LEFT_OUT);
        }
        f.write_str(&shown)
    }
}

impl fmt::Display for BundleErrors {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let line_end = if at == 0 { "" } else { "\n" };
            write!(f, "{line_end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BundleErrors {}

impl From<BundleError> for BundleErrors {
    fn from(error: BundleError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for BundleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, OneLine(&self.what))
    }
}
