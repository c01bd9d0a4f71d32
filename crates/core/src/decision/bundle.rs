//! Which governance bundle judged.

use std::fmt;

use crate::Digest;

/// A governance bundle: what it contains, and what its authors call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BundleId {
    /// SHA-256 of the whole bundle.
    pub digest: Digest,
    /// What its registry says under `revision`. A bundle with a lower one than was in force before is refused.
    pub revision: Option<u64>,
}

impl BundleId {
    /// Whether this one may follow another. One without a revision follows only others without.
    #[must_use]
    pub fn may_follow(self, before: Self) -> bool {
        self.revision >= before.revision
    }
}

impl From<Digest> for BundleId {
    /// A bundle whose registry names no revision.
    fn from(digest: Digest) -> Self {
        Self { digest, revision: None }
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)?;
        self.revision.map_or(Ok(()), |revision| write!(f, " (revision {revision})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_revision_that_is_not_lower_may_follow() {
        let of = |revision| BundleId { digest: Digest([7; 32]), revision };
        for (now, before, may) in [
            (None, None, true),
            (Some(0), None, true),
            (Some(2), Some(2), true),
            (Some(3), Some(2), true),
            (Some(1), Some(2), false),
            (None, Some(0), false),
        ] {
            assert_eq!(of(now).may_follow(of(before)), may, "{now:?} after {before:?}");
        }
        assert_eq!(of(Some(12)).to_string(), format!("{} (revision 12)", "07".repeat(32)));
        assert_eq!(of(None).to_string(), "07".repeat(32));
    }
}
