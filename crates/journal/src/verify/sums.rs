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
use siphasher::sip128::SipHasher13;

use super::VerifyError;

/// The key of one verification, for SipHash with 128 bits: made for keys that an adversary picks.
pub(super) struct Key(SipHasher13);

impl Default for Key {
    fn default() -> Self {
        // What the standard library draws from the operating system.
        let random = || RandomState::new().build_hasher().finish();
        Self(SipHasher13::new_with_keys(random(), random()))
    }
}

/// The sum over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowSum(u128);

impl RowSum {
    pub(super) fn add(&mut self, Key(hasher): &Key, Cells(row): &Cells) {
        self.0 = self.0.wrapping_add(hasher.hash(row).as_u128());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let rows = "CREATE TABLE t (n ANY, s ANY) STRICT;
                    INSERT INTO t VALUES (3, 'b'), (-9, 'a'), (3, 'ab'), (NULL, ''), (1000, 'b'), ('', 'x'), (NULL, 'x'), (-1, 'c')";
        connection.execute_batch(rows).unwrap();
        connection
    }

    #[test]
    fn rows_are_added_up_in_the_order_of_sqlite_and_in_no_other() {
        let (connection, key) = (database(), Key::default());
        let sum = |sql: &str, key_len| sum_in_order(&connection, &key, (sql, key_len)).unwrap();
        let all = sum("SELECT n, s FROM t ORDER BY n, s", 2);
        assert!(all.is_some());
        assert_ne!(all, sum("SELECT n, s FROM t WHERE s != 'ab' ORDER BY n, s", 2));
        assert_ne!(all, sum("SELECT n, replace(s, 'ab', 'aa') FROM t ORDER BY n, s", 2));
        assert_eq!(sum("SELECT n, s FROM t WHERE 0", 2), Some(RowSum::default()));
        for (sql, key_len) in [
            ("SELECT n, s FROM t ORDER BY n DESC, s", 2),
            ("SELECT n, s FROM t ORDER BY n, s DESC", 2),
            // Twice the same key, with another rest.
            ("SELECT n, s FROM t ORDER BY n, s", 1),
            ("SELECT n, s FROM t UNION ALL SELECT 'x', 'x' UNION ALL SELECT 'x', 'x'", 2),
            // What stands in no table of ours.
            ("SELECT 'a' || char(0) || 'b'", 1),
            ("SELECT x'00'", 1),
            ("SELECT 0.5", 1),
        ] {
            assert_eq!(sum(sql, key_len), None, "{sql}");
        }
        // Nulls are no keys, and all that is not the key may be in any order.
        assert!(sum("SELECT n, s FROM t WHERE n IS NULL ORDER BY s", 1).is_some());
        assert!(sum("SELECT 1, 'b' UNION ALL SELECT 2, 'a'", 1).is_some());
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_does() {
        let key = Key::default();
        let sum = |rows: &[&str]| {
            let mut sum = RowSum::default();
            for row in rows {
                let mut cells = Cells::default();
                cells.text(row.as_bytes()).unwrap();
                sum.add(&key, &cells);
            }
            sum
        };
        assert_eq!(sum(&["a", "b", "c"]), sum(&["c", "a", "b"]));
        assert_ne!(sum(&["a", "b", "c"]), sum(&["a", "b"]));
        assert_ne!(sum(&["a", "a"]), sum(&["a"]));
        assert_ne!(sum(&["a", "a"]), sum(&[]));
        let mut other = RowSum::default();
        let mut cells = Cells::default();
        cells.text(b"a").unwrap();
        other.add(&Key::default(), &cells);
        assert_ne!(sum(&["a"]), other, "every key is another");
    }
}
