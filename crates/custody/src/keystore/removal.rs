//! How a key leaves the keystore.

use std::fs;
use std::io;
use std::path::Path;

use pursekeeper_core::Address;

use super::Keystore;
use crate::{CustodyError, file};

/// What became of the files of a key that is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They are gone, durably.
    Removed,
    /// There was none.
    Absent,
    /// There is one, and the file system does not let us remove it: who provides it, such as a Kubernetes Secret, must.
    ReadOnly,
}

impl Keystore {
    /// Removes every file that states `address`, and whatever a crash left of a file that was being written. To ask
    /// again changes nothing.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the directory or one of its files does not read, since it could be the one; when another
    /// process is writing; or when a file cannot be removed for another reason than that it is read-only.
    pub fn destroy(&self, address: Address) -> Result<Removal, CustodyError> {
        let _lock = self.lock()?;
        let mut removal = Removal::Absent;
        for kept in self.key_files()?.iter().filter(|kept| kept.address == address) {
            removal = removal.and(remove(kept.file.path())?);
        }
        // Such a leftover can be another copy of the key, and nobody has the lock to be writing it. One that cannot be
        // removed counts too: it is not known whose key is in it.
        for path in self.leftovers()? {
            if remove(&path)? == Removal::ReadOnly {
                removal = Removal::ReadOnly;
            }
        }
        match removal {
            Removal::ReadOnly => {}
            // When there is none, the last call may have been cut off just before it came here.
            Removal::Removed | Removal::Absent => file::sync_dir(&self.dir)?,
        }
        Ok(removal)
    }
}

impl Removal {
    /// What became of two files, or of more.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::ReadOnly, _) | (_, Self::ReadOnly) => Self::ReadOnly,
            (Self::Removed, _) | (_, Self::Removed) => Self::Removed,
            (Self::Absent, Self::Absent) => Self::Absent,
        }
    }

    /// What it means that removing a file failed; none when only a person can tell.
    fn of_failure(error: &io::Error) -> Option<Self> {
        match error.raw_os_error() {
            Some(libc::ENOENT) => Some(Self::Absent),
            // A read-only file system, a directory that is not ours, an immutable file, a file that is mounted.
            Some(libc::EROFS | libc::EACCES | libc::EPERM | libc::EBUSY) => Some(Self::ReadOnly),
            Some(_) | None => None,
        }
    }
}

fn remove(path: &Path) -> Result<Removal, CustodyError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(Removal::Removed),
        Err(error) => match Removal::of_failure(&error) {
            Some(removal) => Ok(removal),
            None => Err(CustodyError::io("remove", path)(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_to_change_anything_is_read_only() {
        let check = |errno, expected| {
            assert_eq!(Removal::of_failure(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
        };
        for errno in [libc::EIO, libc::EISDIR, libc::ENOSPC, libc::ENOTDIR, libc::ELOOP] {
            check(errno, None);
        }
        for errno in [libc::EROFS, libc::EACCES, libc::EPERM, libc::EBUSY] {
            check(errno, Some(Removal::ReadOnly));
        }
        check(libc::ENOENT, Some(Removal::Absent));
        assert_eq!(Removal::of_failure(&io::Error::other("anything")), None);
    }

    #[test]
    fn one_file_that_stays_means_that_the_key_stays() {
        let all = [Removal::Removed, Removal::Absent, Removal::ReadOnly];
        for other in all {
            assert_eq!(other.and(Removal::ReadOnly), Removal::ReadOnly);
            assert_eq!(Removal::ReadOnly.and(other), Removal::ReadOnly);
            assert_eq!(other.and(Removal::Absent), other);
        }
        assert_eq!(Removal::Absent.and(Removal::Removed), Removal::Removed);
    }
}
