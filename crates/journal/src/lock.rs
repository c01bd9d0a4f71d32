//! One process writes a journal. The lock dies with the process, so a crash leaves nothing to clean up.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::JournalError;

/// Longest text read from a lock file, in bytes.
const HOLDER_LEN_MAX: u64 = 128;

/// The right to write one journal, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A file that belongs to the journal at `path`: `path` and a suffix.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Lock {
    /// Takes the lock of the journal at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, JournalError> {
        let path = beside(path, ".lock");
        let failed = |source| JournalError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { holder: holder(&mut file) }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| file.write_all(own_name().as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// What others are told: the process, and when it started in clock ticks since boot, which tells two processes with
/// the same id apart.
fn own_name() -> String {
    let process = std::process::id();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything; the start is the 20th field after it (proc(5)).
    let started = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19));
    match started {
        Some(ticks) => format!("process {process}, started at tick {ticks}"),
        None => format!("process {process}"),
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(HOLDER_LEN_MAX).read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() => text,
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}
