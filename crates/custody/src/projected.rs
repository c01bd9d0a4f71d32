//! Secrets as Kubernetes mounts them: every file a link to one of a directory that is swapped as a whole, owned by root,
//! on a file system that only kubelet writes.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

/// The link that is swapped.
const CURRENT: &str = "..data";
/// What the group may do with a file that kubelet gave to it: read, and nothing else.
const GROUP_READ: u32 = 0o040;

/// Where a file of such a volume really lies; nothing for any other link. `NAME` leads to `..data/NAME`, and `..data` to a
/// hidden directory beside it: nothing leads out of the volume.
pub(crate) fn real_path(path: &Path) -> Option<PathBuf> {
    let (volume, name) = (path.parent()?, path.file_name()?);
    if fs::read_link(path).ok()? != Path::new(CURRENT).join(name) {
        return None;
    }
    let version = fs::read_link(volume.join(CURRENT)).ok()?;
    let mut components = version.components();
    let (Some(Component::Normal(directory)), None) = (components.next(), components.next()) else {
        return None;
    };
    is_hidden(directory).then(|| volume.join(directory).join(name))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

/// Whether a file belongs to root or to this process, so that nobody else put it where a link leads.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether root put it on a file system that cannot be written from here. What the mode of a directory allows is not
/// possible there, and each file's own mode still counts.
pub(crate) fn is_sealed(path: &Path, metadata: &Metadata) -> bool {
    metadata.uid() == 0 && statvfs(path).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The permission bits of a file that count. A pod whose program is not root can read a Secret only as the pod's group, so
/// kubelet lets that group read whatever mode was asked for; the volume is mounted where it was asked for, and nowhere else.
pub(crate) fn mode_that_counts(path: &Path, metadata: &Metadata) -> u32 {
    let mode = metadata.mode();
    let reads_as_group = mode & 0o070 == GROUP_READ && !rustix::process::geteuid().is_root();
    if reads_as_group && is_sealed(path, metadata) { mode & !GROUP_READ } else { mode }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A volume in which `key` leads to `first`, and `..data` to `second`.
    fn volume(first: &str, second: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..1")).unwrap();
        symlink(second, dir.path().join(CURRENT)).unwrap();
        symlink(first, dir.path().join("key")).unwrap();
        let path = dir.path().join("key");
        (dir, path)
    }

    #[test]
    fn only_links_of_a_projected_volume_are_followed() {
        let (dir, path) = volume("..data/key", "..1");
        assert_eq!(real_path(&path), Some(dir.path().join("..1/key")));
        for (first, second) in [
            ("..data/other", "..1"),
            ("/etc/passwd", "..1"),
            ("..1/key", "..1"),
            ("../key", "..1"),
            ("..data/key", "/etc"),
            ("..data/key", ".."),
            ("..data/key", "../.."),
            ("..data/key", "..1/more"),
            ("..data/key", "plain"),
        ] {
            let (_dir, path) = volume(first, second);
            assert_eq!(real_path(&path), None, "{first} and {second}");
        }
    }

    #[test]
    fn a_plain_directory_is_not_sealed_and_its_modes_count() {
        let (dir, _) = volume("..data/key", "..1");
        let metadata = fs::metadata(dir.path()).unwrap();
        assert!(is_ours(&metadata) && !is_sealed(dir.path(), &metadata));
        assert_eq!(mode_that_counts(dir.path(), &metadata), metadata.mode());
    }
}
