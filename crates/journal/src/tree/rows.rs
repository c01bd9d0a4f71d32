//! Nodes and checkpoints, as the database keeps them.

use pursekeeper_core::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Node;
use crate::JournalError;
use crate::store::{integer, run, unsigned};

/// Most checkpoints that are kept: with one a minute, two thirds of a day at full density, and then ever fewer.
pub const CHECKPOINTS_MAX: u64 = 1_024;

/// Puts down a complete subtree.
pub(crate) fn insert_node(connection: &Connection, node: Node) -> Result<(), JournalError> {
    let Node { level, n, hash } = node;
    let sql = "INSERT INTO node (level, n, hash) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![level, integer(n)?, hash.0])?;
    Ok(())
}

/// A complete subtree that was put down.
pub(crate) fn find_node(connection: &Connection, level: u8, n: u64) -> Result<Option<Digest>, JournalError> {
    let sql = "SELECT hash FROM node WHERE level = ?1 AND n = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![level, integer(n)?], |row| row.get(0).map(Digest)).optional()?)
}

/// Keeps a checkpoint, unless there is one of this size, and thins those of long ago when there are too many. Whether it
/// was kept.
pub(crate) fn put_checkpoint(connection: &Connection, size: u64, note: &str) -> Result<bool, JournalError> {
    run(connection, "BEGIN IMMEDIATE")?;
    let sql = "INSERT INTO checkpoint (size, note) VALUES (?1, ?2) ON CONFLICT (size) DO NOTHING";
    let kept = connection.prepare_cached(sql)?.execute(params![integer(size)?, note])? == 1;
    let mut count = connection.prepare_cached("SELECT count(*) FROM checkpoint")?;
    if unsigned(count.query_row([], |row| row.get(0))?)? > CHECKPOINTS_MAX {
        // Every second of the older half, but never the oldest: what is rewritten below it is found as well.
        let sql = "DELETE FROM checkpoint WHERE size IN (
                       SELECT size FROM (
                           SELECT size, row_number() OVER (ORDER BY size) AS place FROM checkpoint
                           ORDER BY size LIMIT ?1
                       ) WHERE place % 2 = 0
                   )";
        connection.prepare_cached(sql)?.execute([integer(CHECKPOINTS_MAX.div_euclid(2))?])?;
    }
    run(connection, "COMMIT")?;
    Ok(kept)
}

/// The newest checkpoint: its size and its note.
pub(crate) fn newest_checkpoint(connection: &Connection) -> Result<Option<(u64, String)>, JournalError> {
    let sql = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1";
    let row = connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)));
    row.optional()?.map(|(size, note)| Ok((unsigned(size)?, note))).transpose()
}

/// Every checkpoint, by size.
pub(crate) fn each_checkpoint(
    connection: &Connection,
    mut tell: impl FnMut(u64, String),
) -> Result<(), JournalError> {
    let mut checkpoints = connection.prepare("SELECT size, note FROM checkpoint ORDER BY size")?;
    let mut rows = checkpoints.query([])?;
    while let Some(row) = rows.next()? {
        tell(unsigned(row.get(0)?)?, row.get(1)?);
    }
    Ok(())
}
