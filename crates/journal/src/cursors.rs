//! How far each sink has acknowledged the records.
//!
//! A sink's acknowledgement costs the signing path no write of its own: it is kept in memory, and written with the next
//! batch or in a quiet moment. What a crash forgets is delivered again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use crate::JournalError;
use crate::store::{integer, unsigned};

/// Every cursor, those of sinks that are not configured any more among them.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    acked: BTreeMap<String, u64>,
    unsaved: BTreeSet<String>,
}

impl Cursors {
    /// What is on disk. None may stand behind `last`, the last record.
    pub(crate) fn load(connection: &Connection, last: u64) -> Result<Self, JournalError> {
        Ok(Self { acked: read(connection, last)?, unsaved: BTreeSet::new() })
    }

    pub(crate) fn get(&self, sink: &str) -> Option<u64> {
        self.acked.get(sink).copied()
    }

    /// Moves a cursor forward; it never goes back.
    pub(crate) fn note(&mut self, sink: &str, acked: u64) {
        let known = self.acked.get(sink);
        if known.is_none_or(|known| *known < acked) {
            self.acked.insert(sink.to_owned(), acked);
            self.unsaved.insert(sink.to_owned());
        }
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.unsaved.is_empty()
    }

    /// Writes what is not on disk yet, inside the transaction of the caller.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), JournalError> {
        let sql = "INSERT INTO sink (name, acked) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET acked = excluded.acked";
        for name in &self.unsaved {
            let acked = self.get(name).unwrap_or_default();
            connection.prepare_cached(sql)?.execute(params![name, integer(acked)?])?;
        }
        Ok(())
    }

    /// Takes note that the caller's transaction is on disk.
    pub(crate) fn saved(&mut self) {
        self.unsaved.clear();
    }
}

/// The cursors on disk, by the names of their sinks.
pub(crate) fn read(connection: &Connection, last: u64) -> Result<BTreeMap<String, u64>, JournalError> {
    let mut statement = connection.prepare_cached("SELECT name, acked FROM sink ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut cursors = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (sink, acked): (String, u64) = (row.get(0)?, unsigned(row.get(1)?)?);
        if acked > last {
            return Err(JournalError::CursorAhead { sink, acked, last });
        }
        cursors.insert(sink, acked);
    }
    Ok(cursors)
}
