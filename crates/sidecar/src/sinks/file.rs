//! A file of lines that is rotated by size, and in which every line is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pursekeeper_core::JournalId;
use serde_json::Value;

use super::SinkError;
use crate::config::FileConfig;

/// How much is read at once while looking back for the end of a line, in bytes.
const LOOK_BYTES: u64 = 64 * 1024;

/// A file to append lines to.
pub(super) struct Lines {
    config: FileConfig,
    /// Which journal the lines are of, and what no line may be written to.
    journal: (JournalId, PathBuf),
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Up to where the file has only whole lines that are on disk.
    len: u64,
}

impl Lines {
    pub(super) fn new(config: FileConfig, journal: (JournalId, &Path)) -> Self {
        Self { config, journal: (journal.0, journal.1.to_owned()), open: None }
    }

    /// Opens the file and removes what a crash left of a half-written line: it was not acknowledged and comes again.
    /// The file must not be ahead of the journal, which ends at `last`.
    pub(super) fn prepare(&mut self, last: u64) -> Result<(), SinkError> {
        let mut open = self.open()?;
        let told = last_line(&mut open.file, open.len).map_err(|source| self.failed(source))?;
        let told = told.and_then(|line| self.seq_of(&line));
        if let Some(told) = told.filter(|told| *told > last) {
            return Err(SinkError::Ahead { path: self.config.path.clone(), told, last });
        }
        self.open = Some(open);
        Ok(())
    }

    /// Appends whole lines and returns once they are on disk. After a failure none of them is there.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let open = match self.open.take().filter(|open| open.is_at(&self.config.path)) {
            Some(open) => open,
            None => self.open()?,
        };
        let mut open = if open.len >= self.config.rotate_bytes_max { self.rotate(open)? } else { open };
        match open.file.write_all(lines).and_then(|()| open.file.sync_data()) {
            Ok(()) => {
                open.len = open.len.saturating_add(lines.len() as u64);
                self.open = Some(open);
                Ok(())
            }
            Err(source) => {
                // If this fails as well, the lines come twice.
                let _ = open.file.set_len(open.len);
                Err(self.failed(source))
            }
        }
    }

    fn failed(&self, source: std::io::Error) -> SinkError {
        SinkError::File { path: self.config.path.clone(), source }
    }

    fn unfit(&self, what: &'static str) -> SinkError {
        SinkError::Unfit { path: self.config.path.clone(), what }
    }

    fn open(&self) -> Result<Open, SinkError> {
        let path = &self.config.path;
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(self.unfit("is no regular file")),
            Ok(found) if self.is_journal(&found) => return Err(self.unfit("belongs to the journal")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(self.failed(source)),
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let opened = options.open(path).and_then(|mut file| {
            let (len, torn) = whole_lines(&mut file)?;
            Ok((file, len, torn))
        });
        let (file, len, torn) = opened.map_err(|source| self.failed(source))?;
        // A line of ours, or what a disk makes of one that it did not get.
        if torn.is_some_and(|first| ![b'{', 0].contains(&first)) {
            return Err(self.unfit("does not end with a line of JSON, so it is somebody else's"));
        }
        let repaired = file.set_len(len).and_then(|()| file.sync_all()).and_then(|()| sync_directory(path));
        repaired.map_err(|source| self.failed(source))?;
        Ok(Open { file, len })
    }

    /// INVARIANT: no file of the journal is ever opened here. Closing it would drop the locks of every connection of this
    /// process (sqlite.org/howtocorrupt.html §2.2).
    fn is_journal(&self, found: &fs::Metadata) -> bool {
        let beside = ["", "-wal", "-shm", "-journal", ".lock", "-reserve"].into_iter().map(|suffix| {
            let mut name = self.journal.1.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        });
        let same = |own: fs::Metadata| own.ino() == found.ino() && own.dev() == found.dev();
        beside.filter_map(|path| fs::metadata(path).ok()).any(same)
    }

    /// Moves every file on by one, deletes the oldest, and begins a new one. A crash in between loses none: a free place is
    /// used before anything is deleted.
    fn rotate(&self, full: Open) -> Result<Open, SinkError> {
        drop(full);
        let at = |number: u32| {
            let mut name = self.config.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let taken = |number: &u32| fs::symlink_metadata(at(*number)).is_ok();
        let last = (1..=self.config.files_max).find(|number| !taken(number)).unwrap_or(self.config.files_max);
        let moved =
            (1..last).rev().try_for_each(|number| fs::rename(at(number), at(number.saturating_add(1))));
        moved.and_then(|()| fs::rename(&self.config.path, at(1))).map_err(|source| self.failed(source))?;
        self.open()
    }

    /// The record that a line is about, if it is one of this journal.
    fn seq_of(&self, line: &[u8]) -> Option<u64> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let of = |journal: &str, seq: &str| {
            let journal = line.pointer(journal)?.as_str()?;
            (journal == self.journal.0.to_string()).then(|| line.pointer(seq)?.as_u64()).flatten()
        };
        of("/journal", "/seq").or_else(|| of("/metadata/log_name", "/metadata/sequence"))
    }
}

impl Open {
    /// Whether this is still the file of that name: somebody may have moved it away.
    fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(named)) = (self.file.metadata(), fs::metadata(path)) else { return false };
        own.ino() == named.ino() && own.dev() == named.dev()
    }
}

/// Up to where a file has whole lines, and the first byte of half a line that follows them.
fn whole_lines(file: &mut File) -> std::io::Result<(u64, Option<u8>)> {
    let end = file.metadata()?.len();
    let len = line_end_before(file, end)?.unwrap_or(0);
    file.seek(SeekFrom::Start(len))?;
    let mut first = [0; 1];
    let torn = file.read(&mut first)? > 0;
    let [first] = first;
    Ok((len, torn.then_some(first)))
}

/// The last line of a file of whole lines, without its end.
fn last_line(file: &mut File, len: u64) -> std::io::Result<Option<Vec<u8>>> {
    let Some(end) = len.checked_sub(1) else { return Ok(None) };
    let start = line_end_before(file, end)?.unwrap_or(0);
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    file.take(end.saturating_sub(start)).read_to_end(&mut line)?;
    Ok(Some(line))
}

/// The position after the last line feed before `end`.
fn line_end_before(file: &mut File, mut end: u64) -> std::io::Result<Option<u64>> {
    while end > 0 {
        let start = end.saturating_sub(LOOK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&mut *file).take(end.saturating_sub(start)).read_to_end(&mut bytes)?;
        if let Some(found) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start.saturating_add(found as u64).saturating_add(1)));
        }
        end = start;
    }
    Ok(None)
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn lines(&self, rotate_bytes_max: u64, files_max: u32) -> Lines {
            let config = FileConfig { path: self.path("audit.jsonl"), rotate_bytes_max, files_max };
            Lines::new(config, (JournalId([7; 16]), &self.path("journal.db")))
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let place = Place::new();
        let mut lines = place.lines(4, 2);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            lines.append(line.as_bytes()).unwrap();
        }
        let found =
            ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"].map(|name| place.read(name));
        assert_eq!(found, ["four\n", "three\n", "two\n", ""]);
        let mut lines = place.lines(100, 2);
        lines.append(b"five\n").unwrap();
        assert_eq!(place.read("audit.jsonl"), "four\nfive\n", "a larger limit");
    }

    #[test]
    fn a_crash_while_rotating_loses_nothing() {
        let place = Place::new();
        let mut lines = place.lines(4, 3);
        for line in ["one\n", "two\n", "three\n"] {
            lines.append(line.as_bytes()).unwrap();
        }
        fs::rename(place.path("audit.jsonl.2"), place.path("audit.jsonl.3")).unwrap();
        fs::rename(place.path("audit.jsonl.1"), place.path("audit.jsonl.2")).unwrap();
        let mut lines = place.lines(4, 3);
        lines.append(b"four\n").unwrap();
        let found =
            ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"].map(|name| place.read(name));
        assert_eq!(found, ["four\n", "three\n", "two\n", "one\n"]);
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let long = "{".repeat(usize::try_from(LOOK_BYTES).unwrap().saturating_add(10));
        let table = [
            (String::new(), ""),
            ("one\n".to_owned(), "one\n"),
            ("one\n{tw".to_owned(), "one\n"),
            ("{tw".to_owned(), ""),
            ("one\n\0\0".to_owned(), "one\n"),
            (format!("one\n{long}"), "one\n"),
        ];
        for (left, whole) in table {
            let place = Place::new();
            fs::write(place.path("audit.jsonl"), &left).unwrap();
            let mut lines = place.lines(1 << 30, 1);
            lines.prepare(0).unwrap();
            lines.append(b"next\n").unwrap();
            assert_eq!(place.read("audit.jsonl"), format!("{whole}next\n"), "{} bytes", left.len());
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let place = Place::new();
        let mut lines = place.lines(1 << 30, 1);
        lines.append(b"one\n").unwrap();
        fs::rename(place.path("audit.jsonl"), place.path("moved")).unwrap();
        lines.append(b"two\n").unwrap();
        fs::remove_file(place.path("audit.jsonl")).unwrap();
        lines.append(b"three\n").unwrap();
        assert_eq!(
            (place.read("moved"), place.read("audit.jsonl")),
            ("one\n".to_owned(), "three\n".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_appended_to_is_refused() {
        let place = Place::new();
        fs::write(place.path("audit.jsonl"), "one\nsomebody's").unwrap();
        assert!(place.lines(9, 1).prepare(0).unwrap_err().to_string().contains("somebody else's"));
        assert_eq!(place.read("audit.jsonl"), "one\nsomebody's");
        fs::remove_file(place.path("audit.jsonl")).unwrap();
        fs::create_dir(place.path("audit.jsonl")).unwrap();
        let error = |lines: &mut Lines| lines.append(b"one\n").unwrap_err().to_string();
        assert!(error(&mut place.lines(9, 1)).contains("regular file"));
        fs::remove_dir(place.path("audit.jsonl")).unwrap();
        fs::write(place.path("journal.db-wal"), "log").unwrap();
        std::os::unix::fs::symlink(place.path("journal.db-wal"), place.path("audit.jsonl")).unwrap();
        assert!(error(&mut place.lines(9, 1)).contains("belongs to the journal"));
        assert_eq!(place.read("journal.db-wal"), "log");
    }

    #[test]
    fn a_file_that_knows_more_than_the_journal_shows_that_the_journal_was_cut() {
        let own = JournalId([7; 16]).to_string();
        let table = [
            (format!(r#"{{"journal":"{own}","seq":9}}"#), true),
            (format!(r#"{{"metadata":{{"log_name":"{own}","sequence":9}}}}"#), true),
            (r#"{"journal":"00","seq":9}"#.to_owned(), false),
            ("no JSON".to_owned(), false),
        ];
        for (line, ahead) in table {
            let place = Place::new();
            fs::write(place.path("audit.jsonl"), format!("{{}}\n{line}\n")).unwrap();
            assert!(place.lines(9, 1).prepare(9).is_ok(), "{line}");
            let prepared = place.lines(9, 1).prepare(8);
            assert_eq!(matches!(prepared, Err(SinkError::Ahead { told: 9, last: 8, .. })), ahead, "{line}");
        }
    }
}
