//! What a database says, whatever bytes say it.

use std::collections::BTreeMap;
use std::path::Path;

use pursekeeper_core::Digest;
use pursekeeper_journal::leaf_hash;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// Tables that carry no history, each with the reason why nobody is deceived by another row in it.
pub(crate) const WITHOUT_HISTORY: [(&str, &str); 6] = [
    ("checkpoint", "copies of checkpoints, thinned by design: what was kept elsewhere is what counts"),
    ("repeat", "counts of the running minute, which become records"),
    ("sink", "how far sinks have acknowledged"),
    (
        "void",
        "signatures that void payments: no record says their bytes, and one that is gone takes no money",
    ),
    (
        "segment",
        "which records are archived where: a row that lies about them is found, and a file is looked at before they leave",
    ),
    ("probe", "written and emptied to find out whether a full disk has room"),
];

/// A digest of every table's rows, whatever order they lie in, and of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content(BTreeMap<String, Digest>);

/// A record where it stands.
pub(crate) type Stored = (Vec<u8>, Vec<u8>, i64);

impl Content {
    /// Everything a database says.
    pub(crate) fn read(journal: &Path) -> rusqlite::Result<Self> {
        let connection = open(journal)?;
        let mut tables: BTreeMap<String, Digest> = BTreeMap::new();
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_master";
        tables.insert("(schema)".to_owned(), rows(&connection, sql)?);
        let mut names = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
        for name in names.query_map([], |row| row.get::<_, String>(0))? {
            let name = name?;
            let digest = rows(&connection, &format!("SELECT * FROM \"{name}\""))?;
            tables.insert(name, digest);
        }
        Ok(Self(tables))
    }

    /// The tables that say something else.
    pub(crate) fn differs(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>();
        names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    /// The tables that say something else and carry history.
    pub(crate) fn history_differs(&self, other: &Self) -> Vec<String> {
        let carries = |name: &String| WITHOUT_HISTORY.iter().all(|(without, _)| without != name);
        self.differs(other).into_iter().filter(carries).collect()
    }
}

/// Opens a journal to look at it.
pub(crate) fn open(journal: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        journal,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Whether SQLite itself finds the file whole, indexes included.
pub(crate) fn damage(journal: &Path) -> Option<String> {
    let check = || open(journal)?.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    check().map_or_else(|error| Some(error.to_string()), |said| (said != "ok").then_some(said))
}

/// Every record of a journal, in order.
pub(crate) fn records(journal: &Path) -> Vec<Stored> {
    let connection = open(journal).unwrap();
    let mut statement =
        connection.prepare("SELECT body, chain, high_water_ms FROM record ORDER BY seq").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The first record that is not as it was, if it can be told; one past the end when some are gone there.
pub(crate) fn first_changed(journal: &Path, original: &[Stored]) -> Option<u64> {
    let read = || -> rusqlite::Result<Option<u64>> {
        let connection = open(journal)?;
        let mut statement =
            connection.prepare("SELECT seq, body, chain, high_water_ms FROM record ORDER BY seq")?;
        let mut rows = statement.query([])?;
        for (seq, (body, chain, high_water_ms)) in (1_i64..).zip(original) {
            // What cannot be read is not as it was.
            let same = rows.next().ok().flatten().is_some_and(|row| {
                let blob = |at| row.get_ref(at).ok().and_then(|value| value.as_blob().ok());
                row.get::<_, i64>(0) == Ok(seq)
                    && blob(1) == Some(body)
                    && blob(2) == Some(chain)
                    && row.get::<_, i64>(3) == Ok(*high_water_ms)
            });
            if !same {
                return Ok(u64::try_from(seq).ok());
            }
        }
        let more = matches!(rows.next(), Ok(Some(_)));
        Ok(more.then(|| u64::try_from(original.len()).unwrap() + 1))
    };
    read().unwrap_or(Some(1))
}

/// A digest of rows, in whatever order they come.
fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Digest> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut digests: Vec<[u8; 32]> = Vec::new();
    while let Some(row) = rows.next()? {
        let mut bytes = Vec::new();
        for at in 0..columns {
            put(&mut bytes, row.get_ref(at)?);
        }
        digests.push(leaf_hash(&bytes).0);
    }
    digests.sort_unstable();
    Ok(leaf_hash(&digests.concat()))
}

/// A value, so that no two are alike.
fn put(bytes: &mut Vec<u8>, value: ValueRef<'_>) {
    let (kind, own) = match value {
        ValueRef::Null => (0, Vec::new()),
        ValueRef::Integer(number) => (1, number.to_be_bytes().to_vec()),
        ValueRef::Real(number) => (2, number.to_be_bytes().to_vec()),
        ValueRef::Text(text) => (3, text.to_vec()),
        ValueRef::Blob(blob) => (4, blob.to_vec()),
    };
    bytes.push(kind);
    bytes.extend(u64::try_from(own.len()).unwrap().to_be_bytes());
    bytes.extend(own);
}
