//! The governance bundle, followed.

use std::path::PathBuf;
use std::sync::Arc;

use pursekeeper_core::ReloadKind;
use pursekeeper_policy::{BundleErrors, Draft, DraftStamp};
use tokio::task::block_in_place;
use tracing::warn;

use super::super::governance::{BundleRefused, GovernanceService, NotInForce};
use super::{Followed, Look};

/// The directory of the bundle.
pub(in super::super) struct FollowedBundle {
    governance: Arc<GovernanceService>,
    dir: PathBuf,
    /// What was judged last looked like this from outside; nothing when it must be read in any case.
    seen: Option<DraftStamp>,
    /// What was read last where somebody may still be writing.
    settling: Option<String>,
    /// Whether the last one came into force only in part: what follows from it could not be recorded.
    unfinished: bool,
}

impl FollowedBundle {
    pub(in super::super) fn new(governance: Arc<GovernanceService>, dir: PathBuf) -> Self {
        Self { governance, dir, seen: None, settling: None, unfinished: false }
    }

    fn refused(content: String, errors: &BundleErrors) -> Look {
        Look::Refused { content, reason: errors.to_string() }
    }
}

#[tonic::async_trait]
impl Followed for FollowedBundle {
    fn kind(&self) -> ReloadKind {
        ReloadKind::Bundle
    }

    fn dirs(&self) -> Vec<PathBuf> {
        vec![self.dir.clone()]
    }

    async fn look(&mut self) -> Look {
        let stamp = block_in_place(|| DraftStamp::of(&self.dir)).ok();
        if stamp.is_some() && self.seen == stamp {
            return Look::Nothing;
        }
        let read = block_in_place(|| Draft::read(&self.dir));
        let content = match &read {
            Ok(draft) => draft.digest().to_string(),
            Err(errors) => errors.to_string(),
        };
        let in_force = read.as_ref().is_ok_and(|draft| draft.digest() == self.governance.bundle());
        if in_force && !self.unfinished {
            (self.seen, self.settling) = (stamp, None);
            return Look::Unchanged;
        }
        // A file written in place, or a directory filled file by file, is whole when it stays as it is.
        if !DraftStamp::is_swapped_whole(&self.dir) && self.settling.as_ref() != Some(&content) {
            self.settling = Some(content);
            return Look::Unsettled;
        }
        let draft = match read {
            Ok(draft) => draft,
            Err(errors) => {
                self.seen = stamp;
                return Self::refused(content, &errors);
            }
        };
        match self.governance.follow(&draft).await {
            Ok(in_force) => {
                (self.seen, self.settling, self.unfinished) = (stamp, None, false);
                Look::Applied(in_force.in_words())
            }
            Err(NotInForce::Refused(BundleRefused::Invalid(errors))) => {
                self.seen = stamp;
                Self::refused(content, &errors)
            }
            // Keys, holds and the journal may be put right without another bundle.
            Err(NotInForce::Refused(refused)) => Look::Refused { content, reason: refused.to_string() },
            Err(NotInForce::Fault(status)) => {
                self.unfinished = true;
                warn!(status = status.message(), "what follows from the bundle is not recorded yet");
                Look::Unsettled
            }
        }
    }
}
