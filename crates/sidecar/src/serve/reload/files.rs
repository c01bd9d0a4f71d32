//! Certificates, authorities and keys, followed: each file, or pair of files, is in force as it was last good.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pursekeeper_core::ReloadKind;
use tokio::task::block_in_place;

use super::{Followed, Look};
use crate::identity::OnDisk;

/// Files of one kind.
pub(in super::super) struct FollowedFiles {
    kind: ReloadKind,
    files: Vec<Arc<dyn OnDisk>>,
    /// What was found bad once: it may not have been whole.
    unsettled: BTreeMap<usize, String>,
    /// What stayed bad.
    refused: BTreeMap<usize, String>,
}

impl FollowedFiles {
    /// Follows these; nothing when there are none.
    pub(in super::super) fn new(kind: ReloadKind, files: Vec<Arc<dyn OnDisk>>) -> Option<Self> {
        let (unsettled, refused) = (BTreeMap::new(), BTreeMap::new());
        (!files.is_empty()).then_some(Self { kind, files, unsettled, refused })
    }

    fn look_at_all(&mut self) -> Look {
        let (mut applied, mut unsettled) = (Vec::new(), BTreeMap::new());
        for (position, file) in self.files.iter().enumerate() {
            match file.look() {
                Ok(true) => {
                    self.refused.remove(&position);
                    applied.extend(file.paths().first().map(|path| format!("`{}`", path.display())));
                }
                Ok(false) => {
                    // It was read once more and is what it was: nobody is writing it any more.
                    if let Some(reason) = self.unsettled.remove(&position) {
                        self.refused.insert(position, reason);
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    if self.unsettled.get(&position) == Some(&reason) {
                        self.refused.insert(position, reason);
                    } else if self.refused.get(&position) != Some(&reason) {
                        unsettled.insert(position, reason);
                    }
                }
            }
        }
        self.unsettled = unsettled;
        if !applied.is_empty() {
            return Look::Applied(format!("{} is in force as it is on disk", applied.join(", ")));
        }
        if !self.unsettled.is_empty() {
            return Look::Unsettled;
        }
        if self.refused.is_empty() {
            return Look::Nothing;
        }
        let reason = self.refused.values().cloned().collect::<Vec<_>>().join("; ");
        Look::Refused { content: reason.clone(), reason }
    }
}

#[tonic::async_trait]
impl Followed for FollowedFiles {
    fn kind(&self) -> ReloadKind {
        self.kind
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let parent = |path: &PathBuf| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).to_owned()
        };
        self.files.iter().flat_map(|file| file.paths()).map(parent).collect()
    }

    async fn look(&mut self) -> Look {
        block_in_place(|| self.look_at_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Kept;

    #[test]
    fn what_stays_bad_is_refused_and_what_is_good_is_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        let put = |at: usize, text: &str| std::fs::write(&paths[at], text).unwrap();
        let number = |files: &[Vec<u8>]| {
            String::from_utf8_lossy(&files[0]).parse::<u32>().map_err(|error| error.to_string())
        };
        [0, 1].into_iter().for_each(|at| put(at, "1"));
        let files =
            paths.clone().map(|path| Arc::new(Kept::read(vec![path], number).unwrap()) as Arc<dyn OnDisk>);
        let mut followed = FollowedFiles::new(ReloadKind::Tls, files.into()).unwrap();
        assert_eq!(followed.dirs(), [dir.path(), dir.path()]);
        let mut check = |expected: &str| {
            let word = match followed.look_at_all() {
                Look::Nothing => "nothing".to_owned(),
                Look::Unsettled => "unsettled".to_owned(),
                Look::Unchanged => "unchanged".to_owned(),
                Look::Applied(what) => format!("applied {what}"),
                Look::Refused { content: _, reason } => format!("refused {reason}"),
            };
            assert!(word.contains(expected), "{word} is not {expected}");
        };
        check("nothing");
        put(0, "2");
        check("applied");
        put(0, "half of 3");
        check("unsettled");
        put(0, "3");
        check("applied");
        put(1, "x");
        check("unsettled");
        check("refused");
        check("refused");
        put(0, "4");
        check("applied");
        check("refused");
        std::fs::remove_file(&paths[1]).unwrap();
        check("unsettled");
        check("cannot be read");
        put(1, "5");
        check("applied");
        check("nothing");
        assert!(FollowedFiles::new(ReloadKind::Jwks, Vec::new()).is_none());
    }
}
