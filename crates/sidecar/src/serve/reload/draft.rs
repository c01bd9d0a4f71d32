//! A directory of a bundle, looked at again and again.

use std::path::PathBuf;

use pursekeeper_core::Digest;
use pursekeeper_policy::{BundleErrors, Draft, DraftStamp};
use tokio::task::block_in_place;

use super::Look;

/// What is known of a directory from the looks before.
pub(super) struct DraftOnDisk {
    dir: PathBuf,
    /// What was judged last looked like this from outside; nothing when it must be read in any case.
    seen: Option<DraftStamp>,
    /// What was read last where somebody may still be writing.
    settling: Option<String>,
}

/// A bundle that is not in force.
pub(super) struct NewDraft {
    pub(super) draft: Draft,
    /// What tells its content from another.
    pub(super) content: String,
    stamp: Option<DraftStamp>,
}

impl DraftOnDisk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, seen: None, settling: None }
    }

    pub(super) fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Looks whether there is another bundle than the one in force, whole.
    pub(super) fn look(&mut self, in_force: Option<Digest>) -> Result<NewDraft, Look> {
        let stamp = block_in_place(|| DraftStamp::of(&self.dir)).ok();
        if stamp.is_some() && self.seen == stamp {
            return Err(Look::Nothing);
        }
        let read = block_in_place(|| Draft::read(&self.dir));
        let content = match &read {
            Ok(draft) => draft.digest().to_string(),
            Err(errors) => errors.to_string(),
        };
        if read.as_ref().is_ok_and(|draft| Some(draft.digest()) == in_force) {
            (self.seen, self.settling) = (stamp, None);
            return Err(Look::Unchanged);
        }
        // A file written in place, or a directory filled file by file, is whole when it stays as it is.
        if !DraftStamp::is_swapped_whole(&self.dir) && self.settling.as_ref() != Some(&content) {
            self.settling = Some(content);
            return Err(Look::Unsettled);
        }
        match read {
            Ok(draft) => Ok(NewDraft { draft, content, stamp }),
            Err(errors) => {
                self.seen = stamp;
                Err(refused(content, &errors))
            }
        }
    }

    /// It is in force.
    pub(super) fn applied(&mut self, new: NewDraft) {
        (self.seen, self.settling) = (new.stamp, None);
    }

    /// It is invalid, and stays so until it changes.
    pub(super) fn invalid(&mut self, new: NewDraft, errors: &BundleErrors) -> Look {
        self.seen = new.stamp;
        refused(new.content, errors)
    }
}

fn refused(content: String, errors: &BundleErrors) -> Look {
    Look::Refused { content, reason: errors.to_string() }
}
