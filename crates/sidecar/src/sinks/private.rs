//! Files that hold secrets, of which none leaves this process.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::SinkError;

/// Largest file of this kind, in bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// What its group and everybody else may do.
const GROUP_AND_OTHERS: u32 = 0o077;

/// What a file holds that only its owner may read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SinkError> {
    let failed = |source| SinkError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & GROUP_AND_OTHERS != 0 {
        return Err(SinkError::Exposed(path.to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // One more than allowed shows that it is too long.
    let mut limited = file.by_ref().take(BYTES_MAX.saturating_add(1));
    limited.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(SinkError::TooLong { path: path.to_owned(), bytes_max: BYTES_MAX });
    }
    Ok(bytes)
}
