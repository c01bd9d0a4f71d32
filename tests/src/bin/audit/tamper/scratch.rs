//! A copy of a purse that is written to by somebody who has every file but the keys, and made as it was again.

use std::fs;

use pursekeeper_tests::Purse;
use pursekeeper_tests::overspend::Tally;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::house::{self, JOURNAL};

/// The write-ahead log.
const LOG: &str = "journal/pursekeeper.db-wal";
/// What SQLite makes anew from the log.
const INDEX: &str = "journal/pursekeeper.db-shm";

/// Whatever is written goes into the log and stays there, so that putting the log back undoes it.
pub(super) struct Scratch {
    pub(super) purse: Purse,
    log: Vec<u8>,
    database: Vec<u8>,
}

impl Scratch {
    /// A copy of a purse whose sidecar does not run.
    pub(super) fn of(purse: &Purse) -> Self {
        let copy = purse.copy();
        house::copy_journal(&purse.file("journal"), &copy.file("journal"));
        let [log, database] = [LOG, JOURNAL].map(|name| fs::read(copy.file(name)).unwrap());
        Self { purse: copy, log, database }
    }

    /// Writes something, with no rule of the schema in the way.
    pub(super) fn write<T>(&self, change: impl FnOnce(&Connection) -> T) -> T {
        let connection = Connection::open(self.purse.file(JOURNAL)).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection
            .execute_batch(
                "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON; BEGIN",
            )
            .unwrap();
        let done = change(&connection);
        connection.execute_batch("COMMIT").unwrap();
        done
    }

    /// Makes it as it was.
    pub(super) fn undo(&self) {
        fs::write(self.purse.file(LOG), &self.log).unwrap();
        let _ = fs::remove_file(self.purse.file(INDEX));
    }

    /// The database itself was never written to.
    pub(super) fn expect_untouched(&self, tally: &mut Tally) {
        let same = fs::read(self.purse.file(JOURNAL)).unwrap() == self.database;
        tally.expect(same, || "the harness or `audit verify` wrote to the database file".to_owned());
    }
}
