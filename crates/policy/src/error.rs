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
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something the bundle may not contain, or too much of it.
    #[error("`{path}`: {what}")]
    Refused {
        /// Which file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// `registry.yaml` says something it cannot mean.
    #[error("{place}: {what}")]
    Registry {
        /// Where.
        place: Place,
        /// What is wrong.
        what: String,
    },
    /// A policy does not parse, does not fit the schema, or names what is not declared.
    #[error("{place}: {what}")]
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
        write!(f, "{}: {}", self.place, self.what)
    }
}
