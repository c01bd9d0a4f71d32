//! Whether the file is whole: pages, rows, and the indexes over them.

use rusqlite::Connection;

use super::VerifyError;
use super::sums::{Cells, Key, RowSum, sum_in_order};

/// What the indexes over holds must say. SQLite itself would look every hold up in every index: in the order of the
/// permits, and that is at random in the order of nonces. Two scans that are added up say the same.
#[derive(Default)]
pub(super) struct HoldIndexes {
    key: Key,
    cells: Cells,
    nonces: RowSum,
    resolved: RowSum,
    unresolved: RowSum,
    to_watch: RowSum,
}

/// What of a row of holds is in indexes.
pub(super) struct Indexed<'r> {
    pub(super) seq: i64,
    pub(super) nonce: &'r [u8],
    pub(super) wallet: &'r [u8],
    pub(super) held_until: i64,
    pub(super) network: &'r [u8],
    pub(super) resolved_seq: Option<i64>,
}

/// How each index is read, from its first entry to its last and nothing but the index, and how many columns are its key.
/// Two holds may have the same nonce, but none are resolved by the same record.
const NONCES: (&str, usize) = ("SELECT nonce, wallet, seq FROM hold INDEXED BY hold_nonce", 3);
const RESOLVED: (&str, usize) = ("SELECT resolved_seq, seq FROM hold INDEXED BY sqlite_autoindex_hold_1", 1);
const UNRESOLVED: (&str, usize) =
    ("SELECT held_until, seq FROM hold INDEXED BY hold_unresolved WHERE state = 'held'", 2);
const TO_WATCH: (&str, usize) =
    ("SELECT network, seq FROM hold INDEXED BY hold_to_watch WHERE state = 'held'", 2);

/// Entries of this index say the record twice: as a column, by which SQLite looks, and as the row they lead to, which is all
/// that a scan reads. Each is looked up by the column.
const MISPLACED: &str =
    "SELECT count(*) FROM hold AS entry INDEXED BY hold_to_watch WHERE entry.state = 'held' AND NOT EXISTS
     (SELECT 1 FROM hold AS found INDEXED BY hold_to_watch
      WHERE found.state = 'held' AND found.network = entry.network AND found.seq = entry.seq)";

/// Tables that were read from end to end in the order of their keys, and have no other index.
const READ_IN_ORDER: [&str; 4] = ["record", "hold", "request", "claim"];

impl HoldIndexes {
    /// Takes note of a hold; nothing when an index cannot say what it says.
    pub(super) fn add(&mut self, hold: Indexed<'_>) -> Option<()> {
        let Self { key, cells, nonces, resolved, unresolved, to_watch } = self;
        let Indexed { seq, nonce, wallet, held_until, network, resolved_seq } = hold;
        cells.clear();
        cells.blob(nonce)?;
        cells.text(wallet)?;
        cells.integer(seq);
        nonces.add(key, cells);
        cells.clear();
        match resolved_seq {
            Some(resolved_seq) => cells.integer(resolved_seq),
            None => cells.null(),
        }
        cells.integer(seq);
        resolved.add(key, cells);
        // What is not resolved is held.
        if resolved_seq.is_none() {
            cells.clear();
            cells.integer(held_until);
            cells.integer(seq);
            unresolved.add(key, cells);
            cells.clear();
            cells.text(network)?;
            cells.integer(seq);
            to_watch.add(key, cells);
        }
        Some(())
    }

    /// Whether every index has the entries that the holds want, all of them where SQLite looks for them, and no other.
    fn agree(&self, connection: &Connection) -> Result<bool, VerifyError> {
        let Self { key, cells: _, nonces, resolved, unresolved, to_watch } = self;
        let indexes =
            [(NONCES, nonces), (RESOLVED, resolved), (UNRESOLVED, unresolved), (TO_WATCH, to_watch)];
        for (index, expected) in indexes {
            if sum_in_order(connection, key, index)?.as_ref() != Some(expected) {
                return Ok(false);
            }
        }
        let misplaced: i64 = connection.query_row(MISPLACED, [], |row| row.get(0))?;
        Ok(misplaced == 0)
    }
}

/// Whether the file is whole: an index that lacks a row answers wrongly, and no record shows it. With what the indexes
/// over holds must say, SQLite is asked no more than what has not been seen; without, everything.
pub(super) fn sound(connection: &Connection, holds: Option<&HoldIndexes>) -> Result<(), VerifyError> {
    let Some(holds) = holds else { return ask(connection, "integrity_check(1)") };
    if !holds.agree(connection)? {
        ask(connection, "integrity_check(1)")?;
        return Err(VerifyError::File("an index does not agree with its table `hold`".to_owned()));
    }
    // All that `integrity_check` asks, but for the order of rows and what is in indexes.
    ask(connection, "quick_check(1)")?;
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let mut tables = tables.query([])?;
    while let Some(row) = tables.next()? {
        let table: String = row.get(0)?;
        if !READ_IN_ORDER.contains(&table.as_str()) {
            ask(connection, &format!("integrity_check('{table}')"))?;
        }
    }
    Ok(())
}

fn ask(connection: &Connection, check: &str) -> Result<(), VerifyError> {
    let verdict: String = connection.query_row(&format!("PRAGMA {check}"), [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(VerifyError::File(verdict)) }
}

#[cfg(test)]
mod tests {
    use super::{MISPLACED, NONCES, RESOLVED, TO_WATCH, UNRESOLVED};
    use crate::fixtures::Home;

    #[test]
    fn indexes_are_read_without_their_table_and_in_their_own_order() {
        let home = Home::new();
        drop(home.create());
        for (sql, _) in [NONCES, RESOLVED, UNRESOLVED, TO_WATCH] {
            let connection = home.stranger();
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps: Vec<String> =
                plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            let index = sql.split_whitespace().skip_while(|word| *word != "BY").nth(1).unwrap();
            assert_eq!(steps, [format!("SCAN hold USING COVERING INDEX {index}")]);
        }
        let connection = home.stranger();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {MISPLACED}")).unwrap();
        let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            steps,
            [
                "SCAN entry USING COVERING INDEX hold_to_watch",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH found USING COVERING INDEX hold_to_watch (network=? AND seq=? AND rowid=?)",
            ]
        );
    }
}
