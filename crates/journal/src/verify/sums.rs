//! Whether two collections of rows are the same, whatever their order.
//!
//! Each row is turned into 128 bits by a keyed hash, and what comes out is added up (modulo 2¹²⁸). The same rows have the
//! same sum in any order, so that records in their order can be held against a table in its own, without looking up one
//! in the other and without keeping either.
//!
//! Why equal sums mean equal rows: the key is drawn when verification begins, after the file was written, and nothing
//! that depends on it leaves this process. To whoever wrote the file, the hashes of distinct rows are independent random
//! numbers. If the collections differ, then some row is in one of them `m` times more often than in the other; whatever
//! the sum over all other rows, at most 2ᵏ of the 2¹²⁸ values of this row's hash make the sums equal, where 2ᵏ is the
//! largest power of two that divides `m`. With fewer than 2⁴⁸ rows that is a chance below 2⁻⁸⁰, and there is no second
//! try: every verification draws another key.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};

use super::VerifyError;

/// The key of one verification. The standard library's hasher is keyed by the operating system's randomness, and made
/// for keys that an adversary picks (SipHash); two of them make 128 bits.
#[derive(Default)]
pub(super) struct Key {
    high: RandomState,
    low: RandomState,
}

/// The sum over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowSum(u128);

impl RowSum {
    pub(super) fn add(&mut self, key: &Key, Cells(row): &Cells) {
        let [high, low] = [&key.high, &key.low].map(|key| {
            let mut hasher = key.build_hasher();
            hasher.write(row);
            u128::from(hasher.finish())
        });
        self.0 = self.0.wrapping_add((high << u64::BITS) | low);
    }
}

/// What a row says, in bytes that no other row has, and in the order in which SQLite puts rows.
#[derive(Default)]
pub(super) struct Cells(Vec<u8>);

/// Bytes before a value, by its type, in the order of SQLite's types.
const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BLOB: u8 = 3;
/// Nonces and fingerprints are the only blobs that are added up.
const BLOB_LEN: usize = 32;

impl Cells {
    /// Begins a row.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn integer(&mut self, value: i64) {
        self.0.push(INTEGER);
        // With the sign turned, the bytes are in the order of the numbers.
        self.0.extend_from_slice(&(value ^ i64::MIN).to_be_bytes());
    }

    pub(super) fn null(&mut self) {
        self.0.push(NULL);
    }

    /// Nothing for a text with a zero byte, which none that is added up has.
    pub(super) fn text(&mut self, text: &[u8]) -> Option<()> {
        self.0.push(TEXT);
        self.0.extend_from_slice(text);
        self.0.push(0);
        (!text.contains(&0)).then_some(())
    }

    /// Nothing for one of another length.
    pub(super) fn blob(&mut self, blob: &[u8]) -> Option<()> {
        self.0.push(BLOB);
        self.0.extend_from_slice(blob);
        (blob.len() == BLOB_LEN).then_some(())
    }

    fn value(&mut self, value: ValueRef<'_>) -> Option<()> {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Integer(value) => self.integer(value),
            ValueRef::Text(text) => self.text(text)?,
            ValueRef::Blob(blob) => self.blob(blob)?,
            ValueRef::Real(_) => return None,
        }
        Some(())
    }
}

/// The sum over the rows that a query finds, of which the first `key_len` columns are the key: nothing unless every key is
/// greater than the one before it, as it has to be for SQLite to find it. Nulls are no keys: where there is one, the
/// whole row is.
pub(super) fn sum_in_order(
    connection: &Connection,
    key: &Key,
    (sql, key_len): (&str, usize),
) -> Result<Option<RowSum>, VerifyError> {
    let summed = || -> Result<Option<RowSum>, rusqlite::Error> {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut sum = RowSum::default();
        let (mut cells, mut before) = (Cells::default(), (Cells::default(), 0));
        while let Some(row) = rows.next()? {
            cells.clear();
            let (mut end, mut null) = (0, false);
            for column in 0..columns {
                let value = row.get_ref(column)?;
                if cells.value(value).is_none() {
                    return Ok(None);
                }
                null |= value == ValueRef::Null;
                if column < key_len || null {
                    end = cells.0.len();
                }
            }
            let (last, last_end) = &before;
            if cells.0.get(..end) <= last.0.get(..*last_end) {
                return Ok(None);
            }
            sum.add(key, &cells);
            before = (std::mem::replace(&mut cells, before.0), end);
        }
        Ok(Some(sum))
    };
    match summed() {
        // What cannot be read is looked into by whoever asked.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(None),
        other => Ok(other?),
    }
}
