//! Reading and writing files that only their owner may touch.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::{CustodyError, projected};

/// Permission bits that a file with a plain secret must not have.
pub(crate) const GROUP_AND_OTHERS: u32 = 0o077;
/// Permission bits that a file with an encrypted secret must not have. The group is let in because Kubernetes gives
/// it access to every file of a volume with an `fsGroup` each time the volume is mounted.
pub(crate) const OTHERS: u32 = 0o007;

/// Extension of a file that is being written. After a crash one may remain; nothing ever reads it.
pub(crate) const TEMPORARY: &str = "tmp";

/// Reads a regular file of at most `len_max` bytes that has none of the permission bits `refused`. The only links that
/// are followed are those that Kubernetes makes of a Secret.
///
/// Everything is checked on the open file, so that nothing can be swapped between the check and the reading.
pub(crate) fn read(path: &Path, len_max: usize, refused: u32) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    let not_regular = || CustodyError::NotRegularFile { path: path.to_owned() };
    let opened = open(path).or_else(|error| {
        let Some(real) = projected::real_path(path).filter(|_| error.raw_os_error() == Some(libc::ELOOP))
        else {
            return Err(error);
        };
        let file = open(&real)?;
        let is_ours = projected::is_ours(&file.metadata()?);
        if is_ours { Ok(file) } else { Err(error) }
    });
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => not_regular(),
        Some(_) | None => CustodyError::io("open", path)(error),
    })?;
    let metadata = file.metadata().map_err(CustodyError::io("inspect", path))?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    refuse_mode(path, projected::mode_that_counts(path, &metadata), refused)?;

    read_all(file, path, len_max)
}

/// Opens what is there itself and not what it leads to. Without `O_NONBLOCK`, opening a named pipe would wait for its
/// writer.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Reads at most `len_max` bytes to the end. `path` is what errors call it.
pub(crate) fn read_all(
    from: impl io::Read,
    path: &Path,
    len_max: usize,
) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    // One spare byte tells a file that is too long. All room is reserved first: growing a vector copies it and leaves
    // the old bytes behind.
    let room = len_max.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(64)));
    from.take(u64::try_from(room).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(CustodyError::io("read", path))?;
    if bytes.len() > len_max {
        return Err(CustodyError::TooLong { path: path.to_owned(), len_max });
    }
    Ok(bytes)
}

/// Refuses a file or directory whose `mode` has any of the bits `refused`.
pub(crate) fn refuse_mode(path: &Path, mode: u32, refused: u32) -> Result<(), CustodyError> {
    if mode & refused == 0 {
        Ok(())
    } else {
        Err(CustodyError::TooOpen { path: path.to_owned(), mode: mode & 0o777 })
    }
}

/// Creates a file that must not exist yet, with `mode`; it is on disk when this returns.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CustodyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(CustodyError::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| {
        // Half a secret is worse than none: it would be found, and not open anything. If it cannot be removed
        // either, the first error still says what went wrong.
        let _ = fs::remove_file(path);
        CustodyError::io("write", path)(source)
    })?;
    sync_parent(path)
}

/// Writes `path`, replacing what was there. After a crash it holds the old or the new bytes, never a part.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CustodyError> {
    let temporary = path.with_extension(TEMPORARY);
    match fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(CustodyError::io("remove", &temporary)(source));
        }
        Ok(()) | Err(_) => {}
    }
    write_new(&temporary, bytes, 0o600)?;
    fs::rename(&temporary, path).map_err(CustodyError::io("replace", path))?;
    sync_parent(path)
}

/// Makes what happened to the directory entry of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), CustodyError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    sync_dir(parent)
}

/// Makes what happened to the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), CustodyError> {
    File::open(dir).and_then(|open| open.sync_all()).map_err(CustodyError::io("sync", dir))
}
