//! A plain database for analysis, made from segments. It is no journal, and nothing can serve it.

use std::path::{Path, PathBuf};

use pursekeeper_core::DecisionId;
use rusqlite::{Connection, params};

use super::{SegmentError, check_row};
use crate::record::DecodedRecord;
use crate::store::integer;
use crate::{StoredRecord, Summary};

/// Records written in one transaction.
const IMPORTED_PER_BATCH: u64 = 10_000;

const TABLE: &str = "
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE record (
    journal  TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    time     TEXT    NOT NULL,   -- UTC
    unix_ms  INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    verdict  TEXT,
    code     TEXT,
    agent    TEXT,
    workflow TEXT,
    wallet   TEXT,
    service  TEXT,
    endpoint TEXT,
    network  TEXT,
    asset    TEXT,
    payee    TEXT,
    amount   TEXT,               -- atomic units, decimal
    usd      TEXT,               -- decimal
    about    INTEGER,            -- the record this one is about
    body     TEXT    NOT NULL,   -- canonical JSON
    PRIMARY KEY (seq)
) STRICT;
BEGIN;";

const INDEXES: &str = "
COMMIT;
CREATE INDEX record_time ON record (unix_ms);
CREATE INDEX record_code ON record (code) WHERE code IS NOT NULL;
CREATE INDEX record_agent ON record (agent, unix_ms);
CREATE INDEX record_workflow ON record (workflow, unix_ms);
CREATE INDEX record_wallet ON record (wallet, unix_ms);
CREATE INDEX record_about ON record (about) WHERE about IS NOT NULL;";

/// What was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The first record.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// Makes a database of a row of segments, which are verified on the way. `into` must not exist, and appears only when
/// everything was found in order.
///
/// # Errors
/// [`SegmentError`] for the first thing that is wrong; then there is no database.
pub fn import(
    paths: &[PathBuf],
    into: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Option<Imported>, SegmentError> {
    let failed = |source| SegmentError::File { path: into.to_owned(), source };
    if into.symlink_metadata().is_ok() {
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "it is there already: name a new file",
        )));
    }
    let draft = crate::lock::beside(into, ".part");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let connection = Connection::open(&draft)?;
    let imported = fill(&connection, paths, &mut progress);
    let closed = connection.close().map_err(|(_, error)| SegmentError::from(error));
    let done = imported.and_then(|imported| closed.map(|()| imported));
    match done {
        // A link never replaces what somebody put there meanwhile.
        Ok(Some(imported)) => {
            std::fs::hard_link(&draft, into).and_then(|()| std::fs::remove_file(&draft)).map_err(failed)?;
            Ok(Some(imported))
        }
        other => {
            let _ = std::fs::remove_file(&draft);
            other
        }
    }
}

fn fill(
    connection: &Connection,
    paths: &[PathBuf],
    progress: &mut dyn FnMut(u64),
) -> Result<Option<Imported>, SegmentError> {
    connection.execute_batch(TABLE)?;
    let journal = super::SegmentReader::open(paths.first().map_or(Path::new(""), PathBuf::as_path))?;
    let journal = journal.header().journal;
    let mut first = None;
    let last = check_row(
        paths,
        |stored, decoded| {
            first.get_or_insert(stored.seq);
            let summary = Summary::of(DecisionId::new(journal, stored.seq), decoded);
            insert(connection, &journal.to_string(), stored, decoded, &summary)?;
            if stored.seq.is_multiple_of(IMPORTED_PER_BATCH) {
                connection.execute_batch("COMMIT; BEGIN")?;
                progress(stored.seq);
            }
            Ok::<_, SegmentError>(())
        },
        |_, _| Ok(()),
    )?;
    connection.execute_batch(INDEXES)?;
    Ok(first.zip(last).map(|(first, last)| Imported { first, last: last.last }))
}

fn insert(
    connection: &Connection,
    journal: &str,
    stored: &StoredRecord,
    decoded: &DecodedRecord,
    summary: &Summary,
) -> Result<(), SegmentError> {
    let sql = "INSERT INTO record (journal, seq, time, unix_ms, kind, verdict, code, agent, workflow, wallet, service,
               endpoint, network, asset, payee, amount, usd, about, body)
               VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3 / 1000.0, 'unixepoch'), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
               ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let endpoint = summary.endpoint.as_ref().map(|call| format!("{} {}", call.method(), call.url()));
    let body = String::from_utf8_lossy(&stored.body);
    let row = params![
        journal,
        integer(stored.seq)?,
        integer(decoded.time.unix_ms)?,
        summary.kind,
        some(summary.verdict),
        some(summary.code),
        some(&summary.agent),
        some(&summary.workflow),
        some(&summary.wallet),
        some(&summary.service),
        endpoint,
        some(&summary.network),
        some(&summary.asset),
        some(&summary.payee),
        some(&summary.amount),
        some(&summary.usd),
        summary.original_seq.map(integer).transpose()?,
        body,
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}
