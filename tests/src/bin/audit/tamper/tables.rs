//! Rows of every table but `record`, changed, deleted and inserted.

use pursekeeper_tests::overspend::Random;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Tries to make a row the schema takes.
const TRIES: usize = 50;

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) rows: u64,
    /// Each column: its name, its type, its place in the primary key from 1, or 0.
    columns: Vec<(String, String, u64)>,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Change,
    Delete,
    Insert,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Change, Self::Delete, Self::Insert];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Insert => "insert",
        }
    }
}

/// Every table but that of the records.
pub(super) fn all(connection: &Connection) -> Vec<Table> {
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name != 'record'
               ORDER BY name";
    let mut names = connection.prepare(sql).unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let table = |name: String| {
        let mut columns = connection.prepare("SELECT name, type, pk FROM pragma_table_info(?1)").unwrap();
        let column = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, u64::try_from(row.get::<_, i64>(2)?).unwrap()))
        };
        let columns = columns.query_map([&name], column).unwrap().map(Result::unwrap).collect();
        let count = format!("SELECT count(*) FROM \"{name}\"");
        let rows = connection.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap();
        Table { name, rows: u64::try_from(rows).unwrap(), columns }
    };
    names.into_iter().map(table).collect()
}

/// Whether there was a row to do it to.
pub(super) fn change(connection: &Connection, table: &Table, way: Way, random: &mut Random) -> bool {
    let row = pick(connection, table, random);
    match (way, row) {
        (Way::Change, Some(row)) => (0..TRIES).any(|_| change_one(connection, table, &row, random)),
        (Way::Delete, Some(row)) => {
            let sql = format!("DELETE FROM \"{}\" WHERE {}", table.name, key_of(table));
            connection.execute(&sql, params_from_iter(key(table, &row))).unwrap() == 1
        }
        (Way::Insert, row) => (0..TRIES).any(|_| insert(connection, table, row.as_deref(), random)),
        (Way::Change | Way::Delete, None) => false,
    }
}

/// A random row.
fn pick(connection: &Connection, table: &Table, random: &mut Random) -> Option<Vec<Value>> {
    let count = usize::try_from(table.rows).unwrap();
    let at = if count == 0 { return None } else { random.below(count) };
    let sql = format!("SELECT * FROM \"{}\" LIMIT 1 OFFSET {at}", table.name);
    let columns = table.columns.len();
    connection.query_row(&sql, [], |row| (0..columns).map(|at| row.get::<_, Value>(at)).collect()).ok()
}

/// The columns that tell a row from others: its primary key, or all of it.
fn is_key(table: &Table, at: usize) -> bool {
    let keyed = table.columns.iter().any(|(_, _, place)| *place > 0);
    !keyed || table.columns[at].2 > 0
}

fn key_of(table: &Table) -> String {
    let places = (0..table.columns.len()).filter(|at| is_key(table, *at));
    let terms = places.zip(1..).map(|(at, parameter)| format!("\"{}\" IS ?{parameter}", table.columns[at].0));
    terms.collect::<Vec<_>>().join(" AND ")
}

fn key(table: &Table, row: &[Value]) -> Vec<Value> {
    (0..table.columns.len()).filter(|at| is_key(table, *at)).map(|at| row[at].clone()).collect()
}

/// Another value in one column, unless the schema refuses it.
fn change_one(connection: &Connection, table: &Table, row: &[Value], random: &mut Random) -> bool {
    let at = random.below(table.columns.len());
    let (name, kind, _) = &table.columns[at];
    let new = other(&row[at], kind, random);
    let mut values = key(table, row);
    let sql =
        format!("UPDATE \"{}\" SET \"{name}\" = ?{} WHERE {}", table.name, values.len() + 1, key_of(table));
    values.push(new);
    connection.execute(&sql, params_from_iter(values)).is_ok_and(|changed| changed == 1)
}

/// A row like another with another key, or one of thin air.
fn insert(connection: &Connection, table: &Table, row: Option<&[Value]>, random: &mut Random) -> bool {
    let value = |(at, (_, kind, _)): (usize, &(String, String, u64))| match row {
        Some(row) if !is_key(table, at) => row[at].clone(),
        Some(row) => other(&row[at], kind, random),
        None => fresh(kind, random),
    };
    let values: Vec<Value> = table.columns.iter().enumerate().map(value).collect();
    let places: Vec<String> = (1..=values.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO \"{}\" VALUES ({})", table.name, places.join(", "));
    connection.execute(&sql, params_from_iter(values)).is_ok()
}

/// Some value of a type.
fn fresh(kind: &str, random: &mut Random) -> Value {
    match kind {
        "TEXT" => Value::Text(format!("x{}", random.below(1_000))),
        "BLOB" => Value::Blob((0..32).map(|_| u8::try_from(random.below(256)).unwrap()).collect()),
        _ => Value::Integer(i64::try_from(random.below(10_000)).unwrap()),
    }
}

/// Another value of the same type.
fn other(value: &Value, kind: &str, random: &mut Random) -> Value {
    match value {
        Value::Null | Value::Real(_) => fresh(kind, random),
        Value::Integer(number) => {
            let far = i64::try_from(random.below(1_000)).unwrap() + 1;
            Value::Integer(if random.below(2) == 0 { number + far } else { number - far })
        }
        Value::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            if bytes.is_empty() {
                return fresh(kind, random);
            }
            let at = random.below(bytes.len());
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        Value::Blob(bytes) => {
            let mut bytes = bytes.clone();
            let at = random.below(bytes.len().max(1));
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << random.below(8));
            Value::Blob(bytes)
        }
    }
}
