//! The journal's records, read with nothing but SQLite.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// A record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) body: Value,
}

impl Record {
    /// Every record of a journal, which may be in use, in order.
    pub(crate) fn all(journal: &Path) -> Vec<Self> {
        let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut statement = connection.prepare("SELECT seq, body FROM record ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let record = |(seq, body): (i64, Vec<u8>)| Self {
            seq: u64::try_from(seq).unwrap(),
            body: serde_json::from_slice(&body).unwrap(),
        };
        rows.unwrap().map(|row| record(row.unwrap())).collect()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }

    fn kind(&self) -> &str {
        self.text("/kind").unwrap()
    }

    /// Whether it lets a signature leave.
    pub(crate) fn releases(&self) -> bool {
        matches!(self.kind(), "payment" | "reissue" | "sign-in") && self.is_permit()
    }

    /// Whether it says yes.
    pub(crate) fn is_permit(&self) -> bool {
        self.text("/verdict") == Some("permit")
    }

    /// The code of a denial.
    pub(crate) fn code(&self) -> Option<&str> {
        self.text("/denial/code")
    }

    /// The verb of an operator's act.
    pub(crate) fn verb(&self) -> Option<&str> {
        self.text("/act/verb").filter(|_| self.kind() == "lifecycle")
    }

    /// What an act is about: its kind, and its name or address.
    pub(crate) fn subject(&self) -> Option<(String, String)> {
        Some((self.text("/act/subject/kind")?.to_owned(), self.text("/act/subject/name")?.to_owned()))
    }

    /// What a signature that leaves is about.
    pub(crate) fn signs_for(&self) -> Vec<(String, String)> {
        let what = if self.body.get("sign_in").is_some() { "sign_in" } else { "intent" };
        let columns = [
            ("agent", "agent"),
            ("workflow", "workflow"),
            ("wallet", "wallet_address"),
            ("service", "service"),
        ];
        let named = columns.iter().filter_map(|(kind, column)| {
            let name = self.text(&format!("/{what}/{column}"))?;
            Some(((*kind).to_owned(), name.to_owned()))
        });
        named.collect()
    }

    /// The statuses that changed without anybody's act: kind, name, status.
    pub(crate) fn changes(&self) -> Vec<((String, String), String)> {
        let changes = self.body.get("changes").and_then(Value::as_array).into_iter().flatten();
        let text =
            |change: &Value, pointer: &str| change.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        changes
            .map(|change| {
                ((text(change, "/subject/kind"), text(change, "/subject/name")), text(change, "/status"))
            })
            .collect()
    }

    /// The wallets that an act suspended besides.
    pub(crate) fn cascade(&self) -> Vec<String> {
        let cascade = self.body.get("cascade").and_then(Value::as_array).into_iter().flatten();
        cascade.map(|address| address.as_str().unwrap().to_owned()).collect()
    }
}
