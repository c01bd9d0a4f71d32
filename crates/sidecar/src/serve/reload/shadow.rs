//! The shadow bundle, followed.

use std::path::PathBuf;
use std::sync::Arc;

use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{BundleId, ReloadKind};
use pursekeeper_policy::{Bundle, BundleErrors, BundleOptions, Draft};
use tokio::task::block_in_place;

use super::super::Gatehouse;
use super::draft::DraftOnDisk;
use super::{Followed, Look};

/// The directory of the shadow bundle.
pub(in super::super) struct FollowedShadow {
    gatehouse: Arc<Gatehouse>,
    options: BundleOptions,
    on_disk: DraftOnDisk,
}

impl FollowedShadow {
    pub(in super::super) fn new(gatehouse: Arc<Gatehouse>, options: BundleOptions, dir: PathBuf) -> Self {
        Self { gatehouse, options, on_disk: DraftOnDisk::new(dir) }
    }
}

/// Judges beside the bundle in force from now on, if it can judge. Says which bundle that is, and whether it was the one
/// before.
pub(in super::super) fn cast(
    gatehouse: &Gatehouse,
    draft: &Draft,
    options: BundleOptions,
) -> Result<(BundleId, bool), BundleErrors> {
    let before = gatehouse.shadow().map(|shadow| shadow.digest());
    let shadow = Bundle::from_draft(draft, options)?;
    let cast = shadow.bundle();
    gatehouse.set_shadow(Arc::new(shadow));
    Ok((cast, before == Some(cast.digest)))
}

#[tonic::async_trait]
impl Followed for FollowedShadow {
    fn kind(&self) -> ReloadKind {
        ReloadKind::Shadow
    }

    fn dirs(&self) -> Vec<PathBuf> {
        vec![self.on_disk.dir().clone()]
    }

    async fn look(&mut self) -> Look {
        let shadow = self.gatehouse.shadow().map(|shadow| shadow.digest());
        let new = match self.on_disk.look(shadow) {
            Ok(new) => new,
            Err(look) => return look,
        };
        match block_in_place(|| cast(&self.gatehouse, &new.draft, self.options)) {
            Ok((shadow, _)) => {
                self.on_disk.applied(new);
                Look::Applied(format!("the shadow bundle is {shadow}"))
            }
            Err(errors) => self.on_disk.invalid(new, &errors),
        }
    }
}
