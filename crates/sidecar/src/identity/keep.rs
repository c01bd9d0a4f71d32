//! What is read from files and used for as long as it is good: a bad new version keeps the old one in force.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

/// Largest file of certificates or keys, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why files are not used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// One cannot be read.
    #[error("`{path}` cannot be read: {source}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One is too large.
    #[error("`{path}` is larger than {FILE_BYTES_MAX} bytes", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Together they are not what they are for.
    #[error("`{path}`: {what}", path = path.display())]
    Unusable {
        /// The first of them.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// Something in force that may be newer on disk.
pub trait OnDisk: Send + Sync {
    /// The files it comes from.
    fn paths(&self) -> &[PathBuf];

    /// Looks again, and says whether something new is in force.
    ///
    /// # Errors
    /// [`KeptError`], once for each bad version; what was in force stays so.
    fn look(&self) -> Result<bool, KeptError>;
}

/// How files become what is used.
type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync;

/// What was last read from some files, all at once.
pub struct Kept<T> {
    paths: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    current: ArcSwap<T>,
    /// The hash of what was last looked at, good or bad, so that each is judged and reported once.
    seen: Mutex<[u8; 32]>,
}

impl<T> Kept<T> {
    /// Reads files for the first time.
    ///
    /// # Errors
    /// [`KeptError`]: at the start there is nothing older to keep.
    pub fn read(
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, KeptError> {
        let (contents, hash) = contents(&paths)?;
        let parse: Box<Parse<T>> = Box::new(parse);
        let first = parse(&contents).map_err(|what| unusable(&paths, what))?;
        Ok(Self { paths, parse, current: ArcSwap::from_pointee(first), seen: Mutex::new(hash) })
    }

    /// What is in force.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }
}

impl<T: Send + Sync> OnDisk for Kept<T> {
    fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn look(&self) -> Result<bool, KeptError> {
        let (contents, hash) = contents(&self.paths)?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == hash {
                return Ok(false);
            }
            *seen = hash;
        }
        let fresh = (self.parse)(&contents).map_err(|what| unusable(&self.paths, what))?;
        self.current.store(Arc::new(fresh));
        Ok(true)
    }
}

fn unusable(paths: &[PathBuf], what: String) -> KeptError {
    KeptError::Unusable { path: paths.first().cloned().unwrap_or_default(), what }
}

/// The bytes of all files, and what tells them from others. Certificate and key are exchanged one after the other, and
/// what is half exchanged does not fit together: it is refused and looked at again.
fn contents(paths: &[PathBuf]) -> Result<(Vec<Vec<u8>>, [u8; 32]), KeptError> {
    let mut hash = Sha256::new();
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read_bounded(path)?;
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(&bytes);
        all.push(bytes);
    }
    Ok((all, hash.finalize().into()))
}

/// Reads a file that is not too large.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, KeptError> {
    let unreadable = |source| KeptError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(KeptError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_new_version_keeps_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        let number = |files: &[Vec<u8>]| {
            let text = String::from_utf8_lossy(&files[0]).into_owned();
            text.trim().parse::<u32>().map_err(|error| error.to_string())
        };
        assert!(matches!(Kept::read(vec![path.clone()], number), Err(KeptError::Unreadable { .. })));
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(Kept::read(vec![path.clone()], number), Err(KeptError::Unusable { .. })));
        std::fs::write(&path, "1").unwrap();
        let kept = Kept::read(vec![path.clone()], number).unwrap();
        assert_eq!((kept.look().unwrap(), *kept.get()), (false, 1));
        std::fs::write(&path, "two").unwrap();
        assert!(kept.look().is_err());
        assert_eq!((kept.look().unwrap(), *kept.get()), (false, 1), "it is said once");
        std::fs::write(&path, "2").unwrap();
        assert_eq!((kept.look().unwrap(), *kept.get()), (true, 2));
        std::fs::remove_file(&path).unwrap();
        assert!(kept.look().is_err());
        assert_eq!(*kept.get(), 2);
        std::fs::write(&path, vec![b'1'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(kept.look(), Err(KeptError::TooLarge { .. })));
    }
}
