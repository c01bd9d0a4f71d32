//! The SQLite file: how it is recognised, created and opened.

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pursekeeper_core::{JournalId, UnixSeconds};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, FileControl, OpenFlags, OptionalExtension as _};

use crate::JournalError;
use crate::lock::beside;
use crate::store::unsigned;

/// `PURS`, in the header of the file.
const APPLICATION_ID: i32 = 0x5055_5253;
/// The schema this version writes, in the header of the file.
const SCHEMA: i64 = 3;
/// The first version without the bug that can corrupt a write-ahead log when it is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long to wait for somebody else's write lock; only strangers ever hold it.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// To how many bytes the write-ahead log is grown at start: overwriting is half the price of appending.
const WAL_LEN_START: u64 = 4 << 20;
/// What is written to grow it: a little more, because the last pages stay in memory.
const WAL_FILLER_LEN: i64 = 9 << 19;
/// Bytes of a write-ahead log before its first record (sqlite.org/fileformat2.html §4.1).
const WAL_HEADER_LEN: u64 = 32;
/// Bytes before each page in it.
const WAL_FRAME_HEADER_LEN: u64 = 24;
/// What a write-ahead log that had to grow is cut to when it begins anew. It is never cut to nothing: a journal without a log
/// has lost it.
const WAL_LEN_KEPT: i64 = 64 << 20;
/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 64;

/// What identifies a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: JournalId,
    pub(crate) adopted: Option<UnixSeconds>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The one name of the journal at `path`, so that a symbolic link to it is not another lock.
pub(crate) fn locate(path: &Path) -> Result<PathBuf, JournalError> {
    std::fs::canonicalize(path).map_err(|source| {
        if source.kind() == ErrorKind::NotFound {
            JournalError::Absent(path.to_owned())
        } else {
            JournalError::File { path: path.to_owned(), source }
        }
    })
}

/// The one name a journal created at `path` will have.
pub(crate) fn locate_new(path: &Path) -> Result<PathBuf, JournalError> {
    let failed = |source| JournalError::File { path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = std::fs::canonicalize(parent.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
    Ok(parent.join(name))
}

/// Opens the journal at `path`; never creates one and never touches a foreign file.
pub(crate) fn open(path: &Path, access: Access) -> Result<(Connection, Meta), JournalError> {
    // INVARIANT: the file is opened through SQLite only. Closing any other descriptor of it would drop the locks that
    // every connection of this process holds (sqlite.org/howtocorrupt.html §2.2).
    one_name(path)?;
    let log_len = std::fs::metadata(beside(path, "-wal")).map_or(0, |metadata| metadata.len());
    recognise(path)?;
    let connection = connect(path, access)?;
    same_schema(&connection)?;
    let meta = read_meta(&connection)?;
    // The writer never gives up its log, and has the first batch in the database before it takes a second one. So a journal
    // that was written to and has no log has lost it, and with it every record since the last checkpoint.
    let last: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM record", [], |row| row.get(0))?;
    if last > 1 && log_len < WAL_HEADER_LEN {
        return Err(JournalError::LogLost(beside(path, "-wal")));
    }
    Ok((connection, meta))
}

/// Makes sure that the file is known by `path` only: lock and log stand beside a name, not a file.
fn one_name(path: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.nlink() == 1 {
        return Ok(());
    }
    // A crash while it was created may have left the draft's name.
    let draft = beside(path, ".new");
    let same = |metadata: std::fs::Metadata| {
        std::fs::metadata(path).is_ok_and(|own| own.ino() == metadata.ino() && own.dev() == metadata.dev())
    };
    if std::fs::symlink_metadata(&draft).is_ok_and(same) {
        remove_draft(&draft)?;
    }
    match std::fs::metadata(path).map_err(failed)?.nlink() {
        1 => Ok(()),
        _ => Err(JournalError::Linked(path.to_owned())),
    }
}

/// Makes an empty journal file with its schema, lets `fill` write the first rows in the same transaction, and puts it
/// at `path` only when it is complete and on disk: a crash leaves either no journal or a whole one.
///
/// The caller holds the lock.
pub(crate) fn create(
    path: &Path,
    fill: impl FnOnce(&Connection) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    for taken in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-journal")] {
        match std::fs::symlink_metadata(&taken) {
            Ok(_) => return Err(JournalError::Exists(taken)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(JournalError::File { path: taken, source }),
        }
    }
    let draft = beside(path, ".new");
    remove_draft(&draft)?;
    let failed = |source| JournalError::File { path: draft.clone(), source };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let connection = connect(&draft, Access::Write)?;
    connection.execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")?;
    connection.execute_batch(include_str!("schema.sql"))?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA)?;
    fill(&connection)?;
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, error)| error)?;
    // A link, unlike a rename, never replaces what somebody put there meanwhile.
    std::fs::hard_link(&draft, path).map_err(|source| {
        if source.kind() == ErrorKind::AlreadyExists {
            JournalError::Exists(path.to_owned())
        } else {
            JournalError::File { path: path.to_owned(), source }
        }
    })?;
    remove_draft(&draft)?;
    sync_directory(path)
}

/// Makes a connection ready to write: write-ahead log, every commit on disk before it returns, and a log that is as
/// long as it will need to be.
pub(crate) fn prepare_writer(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(JournalError::damaged(format!("its journal mode is `{mode}` and cannot be made `wal`")));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         -- Checkpoints are made in the open: one that SQLite makes by itself swallows the error of a failed fsync.
         PRAGMA wal_autocheckpoint = 0;",
    )?;
    connection.pragma_update(None, "journal_size_limit", WAL_LEN_KEPT)?;
    connection.file_control(Some("main"), FileControl::PersistWal(&mut 1))?;
    checkpoint(connection)?;
    grow_log(connection, path)
}

/// How long the write-ahead log is, and how much of it cannot begin anew because somebody still reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUse {
    /// Bytes that are in use, from the beginning of the file.
    pub bytes: u64,
    /// Bytes that could not be moved into the database. While there are any, the log only grows.
    pub unmoved_bytes: u64,
}

/// Copies what it can from the write-ahead log into the database, without waiting for or delaying anybody.
pub(crate) fn checkpoint(connection: &Connection) -> Result<LogUse, JournalError> {
    let page_len: i64 = connection.prepare_cached("PRAGMA page_size")?.query_row([], |row| row.get(0))?;
    let frame_len = unsigned(page_len)?.saturating_add(WAL_FRAME_HEADER_LEN);
    let (frames, moved): (i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    // Without a log, both are -1.
    let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0).saturating_mul(frame_len);
    Ok(LogUse { bytes: bytes(frames), unmoved_bytes: bytes(frames.saturating_sub(moved)) })
}

/// Writes a transaction as large as the log is to become, and takes it back: the log keeps its length, the database
/// never sees it. No space for it is no reason not to start.
fn grow_log(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let length = std::fs::metadata(beside(path, "-wal")).map_or(0, |metadata| metadata.len());
    if length >= WAL_LEN_START {
        return Ok(());
    }
    let pages: i64 = connection.query_row("PRAGMA cache_size", [], |row| row.get(0))?;
    connection.pragma_update(None, "cache_size", 16)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let grown = connection.execute("INSERT INTO probe (filler) VALUES (zeroblob(?1))", [WAL_FILLER_LEN]);
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    connection.pragma_update(None, "cache_size", pages)?;
    match grown.map_err(JournalError::from) {
        Ok(_) | Err(JournalError::Full(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks at the header before anything may be written: whose file it is, and which schema.
fn recognise(path: &Path) -> Result<(), JournalError> {
    let connection = connect(path, Access::Read)?;
    let header = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let foreign = || JournalError::Foreign(path.to_owned());
    let application = match header("application_id") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Err(foreign()),
        other => other?,
    };
    let schema = header("user_version")?;
    if application != i64::from(APPLICATION_ID) || schema < 1 {
        return Err(foreign());
    }
    let known = SCHEMA;
    match schema.cmp(&known) {
        Ordering::Less => Err(JournalError::Older { found: schema, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(JournalError::Newer { found: schema, known }),
    }
}

/// What a database is made of: type, name, table and text of everything in it.
type Schema = Vec<(String, String, String, Option<String>)>;

/// Makes sure that the tables are ours and nothing was added: a trigger would change what we write behind our back, and an
/// index that is gone makes every payment slower.
fn same_schema(connection: &Connection) -> Result<(), JournalError> {
    let expected = Connection::open_in_memory()?;
    expected.execute_batch(include_str!("schema.sql"))?;
    let (found, expected) = (schema(connection)?, schema(&expected)?);
    let Some((kind, name, ..)) = found
        .iter()
        .find(|part| !expected.contains(part))
        .or(expected.iter().find(|part| !found.contains(part)))
    else {
        return Ok(());
    };
    Err(JournalError::damaged(format!("its {kind} `{name}` is not what this version makes")))
}

fn schema(connection: &Connection) -> Result<Schema, JournalError> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
    let mut parts = connection.prepare(sql)?;
    let parts = parts.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(parts.collect::<Result<_, _>>()?)
}

fn connect(path: &Path, access: Access) -> Result<Connection, JournalError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(JournalError::SqliteTooOld(rusqlite::version()));
    }
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Whoever closes last must neither checkpoint nor delete the log: both cost the next start.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// The row that says which journal a file is.
pub(crate) fn read_meta(connection: &Connection) -> Result<Meta, JournalError> {
    let row = connection
        .query_row("SELECT journal, adopted_held_until FROM meta", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Option<i64>>(1)?))
        })
        .optional()?;
    let (id, adopted) = row.ok_or_else(|| JournalError::damaged("it does not say which journal it is"))?;
    let seconds = |secs: i64| u64::try_from(secs).map(UnixSeconds);
    let adopted = adopted.map(seconds).transpose();
    let adopted = adopted.map_err(|_| JournalError::damaged("the time of its adoption is negative"))?;
    Ok(Meta { id: JournalId(id), adopted })
}

fn remove_draft(draft: &Path) -> Result<(), JournalError> {
    for path in [draft.to_owned(), beside(draft, "-journal")] {
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(JournalError::File { path, source }),
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), JournalError> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| JournalError::File { path: directory.to_owned(), source })
}
