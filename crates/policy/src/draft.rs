use std::path::Path;

use pursekeeper_core::Digest;

use crate::bundle::digest;
use crate::error::{BundleErrors, BundleWarning};
use crate::files::{self, Files, Stamp};

/// The files of a bundle as they stood on disk at one time, all of them; whether they make a bundle is not known yet.
pub struct Draft {
    files: Files,
}

/// What the files look like from outside. Whoever follows a directory compares it, and reads only what may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftStamp(Stamp);

impl DraftStamp {
    /// Looks at a directory.
    ///
    /// # Errors
    /// Why it cannot be looked at.
    pub fn of(dir: &Path) -> Result<Self, BundleErrors> {
        files::stamp(dir).map(Self)
    }

    /// Whether the files are replaced all at once, as Kubernetes does it. Otherwise somebody may still be writing.
    #[must_use]
    pub fn is_swapped_whole(dir: &Path) -> bool {
        files::is_swapped_whole(dir)
    }
}

impl Draft {
    /// Reads `registry.yaml` and every `*.cedar` through one resolved path.
    ///
    /// # Errors
    /// Every file that cannot be read, and a directory that keeps changing.
    pub fn read(dir: &Path) -> Result<Self, BundleErrors> {
        files::read(dir).map(|files| Self { files })
    }

    /// The digest of the bundle that these files would make.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(self.registry(), &self.policies())
    }

    pub(crate) fn registry(&self) -> &str {
        &self.files.registry
    }

    /// Names and texts, sorted by name.
    pub(crate) fn policies(&self) -> Vec<(&str, &str)> {
        self.files.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }

    pub(crate) fn warnings(&self) -> &[BundleWarning] {
        &self.files.warnings
    }
}
