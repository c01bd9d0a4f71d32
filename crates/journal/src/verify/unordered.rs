//! Request ids and claims: tables that are not in the order of the records.

use pursekeeper_core::{AgentName, Digest, RequestId};
use rusqlite::{Connection, OptionalExtension as _};

use super::VerifyError;
use super::sums::{Cells, Key, RowSum, sum_in_order};
use super::tables::wrong;
use crate::store::{find_request, integer, unsigned};

/// How rows are found that are not in the order of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Added up. It says whether something is wrong, and not what.
    Summed,
    /// Each one looked up when its record is read, which says what is wrong first.
    LookedUp,
}

/// How rows are read to be added up, and how many columns are their key.
const REQUESTS: (&str, usize) = ("SELECT agent, request_id, seq, fingerprint FROM request", 2);
const CLAIMS: (&str, usize) = ("SELECT permit, seq FROM claim", 2);

/// What the two tables must say, as far as the records have been read.
pub(super) struct Unordered<'c> {
    connection: &'c Connection,
    search: Search,
    key: Key,
    cells: Cells,
    requests: RowSum,
    requests_len: u64,
    claims: RowSum,
    claims_len: u64,
}

impl<'c> Unordered<'c> {
    pub(super) fn new(connection: &'c Connection, search: Search) -> Self {
        Self {
            connection,
            search,
            key: Key::default(),
            cells: Cells::default(),
            requests: RowSum::default(),
            requests_len: 0,
            claims: RowSum::default(),
            claims_len: 0,
        }
    }

    pub(super) fn search(&self) -> Search {
        self.search
    }

    /// What record `seq` permits was asked for under this id.
    pub(super) fn request(
        &mut self,
        seq: u64,
        (agent, id): (&AgentName, &RequestId),
        fingerprint: Digest,
    ) -> Result<(), VerifyError> {
        self.requests_len = self.requests_len.saturating_add(1);
        match self.search {
            Search::Summed => {
                let cells = &mut self.cells;
                cells.clear();
                // Neither has a zero byte, nor has a fingerprint another length.
                let _ = (cells.text(agent.as_str().as_bytes()), cells.text(id.as_str().as_bytes()));
                cells.integer(integer(seq)?);
                let _ = cells.blob(&fingerprint.0);
                self.requests.add(&self.key, cells);
                Ok(())
            }
            Search::LookedUp if find_request(self.connection, agent, id)? == Some((seq, fingerprint)) => {
                Ok(())
            }
            Search::LookedUp => {
                let what = format!("the request id of record {seq} is missing or differs");
                Err(wrong("request", Some(seq), what))
            }
        }
    }

    /// Record `seq` is a claim about a permit.
    pub(super) fn claim(&mut self, seq: u64, permit: u64) -> Result<(), VerifyError> {
        self.claims_len = self.claims_len.saturating_add(1);
        let not_noted = || wrong("claim", Some(seq), format!("record {seq} is not noted as a claim"));
        if permit >= seq {
            return Err(not_noted());
        }
        match self.search {
            Search::Summed => {
                self.cells.clear();
                self.cells.integer(integer(permit)?);
                self.cells.integer(integer(seq)?);
                self.claims.add(&self.key, &self.cells);
                Ok(())
            }
            Search::LookedUp => {
                let sql = "SELECT 1 FROM claim WHERE permit = ?1 AND seq = ?2";
                let mut noted = self.connection.prepare_cached(sql)?;
                let noted = noted.query_row([integer(permit)?, integer(seq)?], |_| Ok(())).optional()?;
                noted.ok_or_else(not_noted)
            }
        }
    }

    /// There are no other rows.
    pub(super) fn finish(&self) -> Result<(), VerifyError> {
        match self.search {
            Search::Summed => {
                for (table, rows, expected) in
                    [("request", REQUESTS, self.requests), ("claim", CLAIMS, self.claims)]
                {
                    if sum_in_order(self.connection, &self.key, rows)? != Some(expected) {
                        return Err(wrong(
                            table,
                            None,
                            "rows are missing, differ, or stand in the wrong place",
                        ));
                    }
                }
            }
            Search::LookedUp => {
                for (table, expected, of) in
                    [("request", self.requests_len, "permits"), ("claim", self.claims_len, "claims")]
                {
                    let sql = format!("SELECT count(*) FROM {table}");
                    let rows = unsigned(self.connection.query_row(&sql, [], |row| row.get(0))?)?;
                    // Every record's row was found, so more rows than records are rows without a record.
                    if rows != expected {
                        let what = format!("{rows} rows for {expected} {of}");
                        return Err(wrong(table, self.orphan(table)?, what));
                    }
                }
            }
        }
        Ok(())
    }

    /// The first row of a table that names a record which is not there.
    fn orphan(&self, table: &'static str) -> Result<Option<u64>, VerifyError> {
        let sql = format!("SELECT min(seq) FROM {table} WHERE seq NOT IN (SELECT seq FROM record)");
        let seq: Option<i64> = self.connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(seq.map(unsigned).transpose()?)
    }
}
