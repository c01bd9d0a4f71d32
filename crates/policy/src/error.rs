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
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What a complaint says, on one line of its own: it quotes a file, which must not forge another line, move the cursor or
/// turn the reading direction.
struct OneLine<'t>(&'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns =
            |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        self.0.chars().try_for_each(|c| {
            if c.is_control() || turns(c) { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
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
