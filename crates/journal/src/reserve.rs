//! Room on the disk that only a stop may use: a file beside the journal whose blocks are given back when nothing else fits.
//!
//! While it is given back, nothing but stops is recorded, so that payments cannot use it up. It is made again as soon as
//! there is space.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::lock::beside;

/// Bytes kept back: the log grows by less for a thousand stops in one transaction.
const RESERVE_LEN: usize = 1 << 20;
/// What is written at a time.
const BLOCK: [u8; 4_096] = [0xa5; 4_096];

/// The file.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    whole: bool,
}

impl Reserve {
    /// The reserve of a journal, made if there is space for it.
    pub(crate) fn of(journal: &Path) -> Self {
        let mut reserve = Self { path: beside(journal, "-reserve"), whole: false };
        reserve.refill();
        reserve
    }

    /// Whether it is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Makes it again if there is space.
    pub(crate) fn refill(&mut self) {
        if self.whole {
            return;
        }
        self.whole = self.is_on_disk() || self.write().is_ok();
        if !self.whole {
            // Half of it would take the space that is missing.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Gives its blocks back. Whether there were any.
    pub(crate) fn release(&mut self) -> bool {
        let there = std::mem::replace(&mut self.whole, false);
        there && std::fs::remove_file(&self.path).is_ok()
    }

    fn is_on_disk(&self) -> bool {
        let len = u64::try_from(RESERVE_LEN).unwrap_or(u64::MAX);
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == len)
    }

    /// Real bytes: a file with holes keeps nothing back.
    fn write(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        for _ in 0..RESERVE_LEN.div_euclid(BLOCK.len()) {
            file.write_all(&BLOCK)?;
        }
        file.sync_all()
    }
}
