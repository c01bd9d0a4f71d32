//! The governance bundle, followed.

use std::path::PathBuf;
use std::sync::Arc;

use pursekeeper_core::ReloadKind;
use tracing::warn;

use super::super::governance::{BundleRefused, GovernanceService, NotInForce};
use super::draft::DraftOnDisk;
use super::{Followed, Look};

/// The directory of the bundle.
pub(in super::super) struct FollowedBundle {
    governance: Arc<GovernanceService>,
    on_disk: DraftOnDisk,
    /// Whether the last one came into force only in part: what follows from it could not be recorded.
    unfinished: bool,
}

impl FollowedBundle {
    pub(in super::super) fn new(governance: Arc<GovernanceService>, dir: PathBuf) -> Self {
        Self { governance, on_disk: DraftOnDisk::new(dir), unfinished: false }
    }
}

#[tonic::async_trait]
impl Followed for FollowedBundle {
    fn kind(&self) -> ReloadKind {
        ReloadKind::Bundle
    }

    fn dirs(&self) -> Vec<PathBuf> {
        vec![self.on_disk.dir().clone()]
    }

    async fn look(&mut self) -> Look {
        let in_force = (!self.unfinished).then(|| self.governance.bundle());
        let new = match self.on_disk.look(in_force) {
            Ok(new) => new,
            Err(look) => return look,
        };
        match self.governance.follow(&new.draft).await {
            Ok(in_force) => {
                self.on_disk.applied(new);
                self.unfinished = false;
                Look::Applied(in_force.in_words())
            }
            Err(NotInForce::Refused(BundleRefused::Invalid(errors))) => self.on_disk.invalid(new, &errors),
            // Keys, holds and the journal may be put right without another bundle.
            Err(NotInForce::Refused(refused)) => {
                Look::Refused { content: new.content, reason: refused.to_string() }
            }
            Err(NotInForce::Fault(status)) => {
                self.unfinished = true;
                warn!(status = status.message(), "what follows from the bundle is not recorded yet");
                Look::Unsettled
            }
        }
    }
}
